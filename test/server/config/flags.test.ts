import { expect } from 'chai';
import { parseFlagText } from '../../../src/base/flags/settings.js';
import { DEPRECATIONS } from '../../../src/server/config/deprecations.js';
import { SERVER_FLAGS } from '../../../src/server/config/flags.js';
import { FLAG_GROUPS } from '../../../src/server/config/groups.js';
import { parseServerConfig } from '../../../src/server/config/parse.js';

const FLAGS = SERVER_FLAGS.rows;

function help(): string {
  const result = parseServerConfig(['--help'], {});
  if (result.kind === 'run') throw new Error('--help started a member');
  expect(result).include({ code: 0, stderr: '' });
  return result.stdout;
}

describe('the table of server flags', () => {
  it('gives every name to one flag', () => {
    const names = FLAGS.flatMap((spec) => [spec.name, ...(spec.aliases ?? [])]);
    expect(new Set(names).size).equal(names.length);
    expect([...SERVER_FLAGS.names].sort()).deep.equal([...names].sort());
    for (const name of names) expect(SERVER_FLAGS.find(name)).not.equal(undefined);
  });

  it('has defaults that its own parsers accept', () => {
    for (const spec of FLAGS)
      expect(() => parseFlagText(spec, spec.default), spec.name).not.throw();
  });

  it('gives the reason for every flag that is not served', () => {
    for (const spec of FLAGS) {
      if (spec.effect !== 'served') expect(spec.note, spec.name).be.a('string');
    }
  });

  it('deprecates names that exist only', () => {
    for (const name of Object.keys(DEPRECATIONS)) expect(SERVER_FLAGS.names).contain(name);
  });

  it('accepts every flag at its default without a complaint', () => {
    for (const spec of FLAGS) {
      if (spec.type === 'legacy' || spec.gate !== undefined || spec.name === 'config-file')
        continue;
      const argv = [`--${spec.name}=${spec.default}`];
      // An explicit address for clients must also be advertised.
      if (spec.name === 'listen-client-urls') argv.push('--advertise-client-urls=http://a:1');
      if (spec.name !== 'name') argv.push('--name=a');
      const result = parseServerConfig(argv, {});
      expect(result.kind, spec.name).equal('run');
      const warnings = result.kind === 'run' ? result.warnings : [];
      const deprecation = DEPRECATIONS[spec.name];
      expect(warnings, spec.name).deep.equal(deprecation === undefined ? [] : [deprecation]);
    }
  });

  it('is wholly in --help, which fits a terminal of 80 columns', () => {
    const text = help();
    const words = text.replace(/\s+/g, ' ');
    for (const spec of FLAGS) {
      expect(text).contain(`\n  --${spec.name} '${spec.default}'`);
      expect(words).contain(spec.doc);
    }
    for (const group of FLAG_GROUPS) expect(text).contain(`\n${group}:\n`);
    for (const line of text.split('\n')) {
      expect(line.length, line).most(80);
      expect(line).match(/^($|\S|( {2}| {6})\S)/);
    }
  });
});
