import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_NESTING, readJson } from '../../../../src/cluster/api/codec/json-reader.js';

function messageOf(text: string): string {
  try {
    readJson(text);
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
}

describe('codec/json-reader', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(undefined, 1, '\t'), (json, indent) => {
        const value: unknown = JSON.parse(json);
        const text = JSON.stringify(value, undefined, indent);
        expect(readJson(text).value).to.eql(value);
        expect(readJson(text).duplicates.size).to.equal(0);
      }),
    );
  });

  it('accepts nothing that JSON.parse refuses, and refuses nothing that it accepts', () => {
    const piece = fc.constantFrom(
      ...'{}[],:"\\-+.eE01 \nxtrufalsn/',
      '"a"',
      'null',
      'true',
      '\\u00e9',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('');
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect(messageOf(text) === 'accepted', text).to.equal(isJson);
      }),
      { numRuns: 2000 },
    );
  });

  it('finds names that occur twice, whatever their names', () => {
    const { value, duplicates } = readJson(
      '{"a":1,"b":{"c":1,"c":2},"a":3,"__proto__":4,"__proto__":5}',
    );
    expect(JSON.stringify(value)).to.equal('{"a":3,"b":{"c":2},"__proto__":5}');
    expect([...duplicates.values()]).to.have.deep.members([
      [{ name: 'c', position: 1 }],
      [
        { name: 'a', position: 2 },
        { name: '__proto__', position: 3 },
      ],
    ]);
    expect(readJson('{"constructor":1}').duplicates.size).to.equal(0);
  });

  it('replaces half a surrogate pair', () => {
    expect(readJson('"\\ud800x\\ude00\\ud83d\\ude00"').value).to.equal('\ufffdx\ufffd\u{1f600}');
  });

  it("says what is wrong in the words of Go's encoding/json", () => {
    const errors: Readonly<Record<string, string>> = {
      '': 'unexpected end of JSON input',
      '{"a"': 'unexpected end of JSON input',
      '{a': "invalid character 'a' looking for beginning of object key string",
      '{"a" 1': "invalid character '1' after object key",
      '{"a":1 "b"': "invalid character '\"' after object key:value pair",
      '{"a":1,}': "invalid character '}' looking for beginning of object key string",
      '[1 2]': "invalid character '2' after array element",
      '[1,]': "invalid character ']' looking for beginning of value",
      '1 2': "invalid character '2' after top-level value",
      '01': "invalid character '1' after top-level value",
      '-x': "invalid character 'x' in numeric literal",
      '1.x': "invalid character 'x' after decimal point in numeric literal",
      '1ex': "invalid character 'x' in exponent of numeric literal",
      trux: "invalid character 'x' in literal true (expecting 'e')",
      '"\n"': "invalid character '\\n' in string literal",
      '"\x01"': "invalid character '\\x01' in string literal",
      '"\\x"': "invalid character 'x' in string escape code",
      '"\\u12g4"': "invalid character 'g' in \\u hexadecimal character escape",
      "'": "invalid character '\\'' looking for beginning of value",
      é: "invalid character 'Ã' looking for beginning of value",
    };
    for (const [text, message] of Object.entries(errors))
      expect(messageOf(text), text).to.equal(message);
  });

  it('bounds nesting', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(messageOf(nested(MAX_NESTING))).to.equal('accepted');
    expect(messageOf(nested(MAX_NESTING + 1))).to.equal("invalid character '[' exceeded max depth");
    expect(messageOf('{"a":'.repeat(100_000))).to.equal("invalid character '{' exceeded max depth");
  });
});
