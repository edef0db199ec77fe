import { expect } from 'chai';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { decodeObject } from '../../../../src/cluster/api/codec/decode.js';
import { fieldProblems } from '../../../../src/cluster/api/codec/field-validation.js';
import { readYaml } from '../../../../src/cluster/api/codec/yaml-reader.js';

const CONFIG_MAP = { group: '', version: 'v1', kind: 'ConfigMap', message: 'core.v1.ConfigMap' };

function messageOf(text: string): string {
  try {
    readYaml(text);
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
}

describe('codec/yaml-reader', () => {
  it('reads what the library writes of any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
        const plain: unknown = JSON.parse(JSON.stringify(value));
        // YAML 1.2 has no sign for the control characters that YAML 1.1 refuses.
        fc.pre(!/\\u00|\\[bf]|[\x7f-\x9f]|__proto__/.test(JSON.stringify(plain)));
        const text = stringify(plain, { version: '1.1', schema: 'yaml-1.1' });
        expect(readYaml(text).value, text).to.eql(plain);
      }),
    );
  });

  it('tells scalars of YAML 1.1 as Kubernetes does', () => {
    const scalars: readonly (readonly [string, unknown])[] = [
      ['y', true],
      ['No', false],
      ['off', false],
      ['~', null],
      ['', null],
      ['017', 15],
      ['0o17', 15],
      ['0b11', 3],
      ['-0x1F', -31],
      ['1_000', 1000],
      ['08', 8],
      ['1e+3', 1000],
      ['.5', 0.5],
      ['1e3', '1e3'],
      ['1.2.3', '1.2.3'],
      ['12:30:45', '12:30:45'],
      ['2026-01-01', '2026-01-01'],
      ['"5"', '5'],
      ["'yes'", 'yes'],
      ['!!str 5', '5'],
      ['!!int "7"', 7],
      ['!!binary aGVsbG8=', 'hello'],
      ['!own text', 'text'],
    ];
    for (const [text, value] of scalars)
      expect(readYaml(`a: ${text}`).value, text).to.eql({ a: value });
    expect(readYaml('{5: a, yes: b, 1.5: c}').value).to.eql({ '5': 'a', true: 'b', '1.5': 'c' });
  });

  it('reads the first document only', () => {
    expect(readYaml('a: 1\n---\nb: 2\n').value).to.eql({ a: 1 });
    expect(readYaml('---\n# nothing\n---\nb: 2\n').value).to.equal(null);
    expect(readYaml('').value).to.equal(null);
  });

  it('merges maps, of which the first and what stands later count', () => {
    const anchors = 'x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\n';
    expect(readYaml(`${anchors}z:\n  <<: [*x, *y]\n  a: 3`).value).to.deep.include({
      z: { a: 3, b: 1, c: 2 },
    });
    expect(messageOf('a: {<<: 5}')).to.match(/^yaml: map merge requires map or sequence of maps/);
  });

  it('finds keys that occur twice and warns of each', () => {
    const text = 'kind: ConfigMap\ndata:\n  a: "1"\n  a: "2"\n  b: "3"\n  b: "4"\nfoo: 1\n';
    const { object, unknownFields } = decodeObject(
      Buffer.from(text),
      'application/yaml; charset=utf-8',
      CONFIG_MAP,
    );
    expect(object).to.deep.include({ data: { a: '2', b: '4' } });
    expect(fieldProblems(unknownFields, 'Warn')).to.eql([
      'line 4: key "a" already set in map',
      'line 6: key "b" already set in map',
      'unknown field "foo"',
    ]);
    expect(() => fieldProblems(unknownFields, 'Strict')).to.throw(
      'strict decoding error: yaml: unmarshal errors:\n  line 4: key "a" already set in map\n' +
        '  line 6: key "b" already set in map, unknown field "foo"',
    );
    expect(readYaml('{"a":1,"a":2}').repeated).to.eql(['line 1: key "a" already set in map']);
  });

  it('says what is wrong', () => {
    const errors: Readonly<Record<string, string>> = {
      'a: b: c': 'yaml: line 1: mapping values are not allowed in this context',
      'a: *x': "yaml: unknown anchor 'x' referenced",
      '&a [*a]': "yaml: anchor 'a' value contains itself",
      'a: .inf': 'json: unsupported value: +Inf',
      'a: .NaN': 'json: unsupported value: NaN',
      '? [a]\n: b': 'yaml: invalid map key: ["a"]',
      'a: "\x00"': 'yaml: control characters are not allowed',
    };
    for (const [text, message] of Object.entries(errors))
      expect(messageOf(text), text).to.equal(message);
    expect(messageOf('a: [1, 2')).to.match(/^yaml: line 1: /);
  });

  it('bounds nesting and aliases', () => {
    expect(messageOf('['.repeat(150) + ']'.repeat(150))).to.equal('accepted');
    expect(messageOf('['.repeat(250) + ']'.repeat(250))).to.match(/exceeded max depth/);
    for (const deep of ['['.repeat(100_000), '- '.repeat(100_000), '{a: '.repeat(100_000)])
      expect(messageOf(deep)).to.equal('yaml: exceeded max depth of 200');
    const levels = Array.from({ length: 9 }, (_, index) => {
      const name = `a${index}`;
      return `${name}: &${name} [${Array(9)
        .fill(index === 0 ? 'x' : `*a${index - 1}`)
        .join()}]`;
    });
    expect(messageOf(levels.join('\n'))).to.equal('yaml: document contains excessive aliasing');
  });
});
