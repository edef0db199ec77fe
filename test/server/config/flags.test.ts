import { expect } from 'chai';
import { FLAG_GROUPS } from '../../../src/base/flags/spec.js';
import { FLAGS, findFlag, flagNames } from '../../../src/server/config/flags.js';
import { flagsMarkdown, helpText } from '../../../src/server/config/help.js';
import { parseServerConfig } from '../../../src/server/config/parse.js';
import { parseFlagText } from '../../../src/server/config/settings.js';

describe('the table of flags', () => {
  it('gives every name to one flag', () => {
    const names = FLAGS.flatMap((spec) => [spec.name, ...(spec.aliases ?? [])]);
    expect(new Set(names).size).equal(names.length);
    expect([...flagNames()].sort()).deep.equal([...names].sort());
    for (const name of names) expect(findFlag(name)).not.equal(undefined);
  });

  it('has defaults that its own parsers accept', () => {
    for (const spec of FLAGS)
      expect(() => parseFlagText(spec, spec.default), spec.name).not.throw();
  });

  it('says why for every flag that is not served', () => {
    for (const spec of FLAGS) {
      if (spec.effect !== 'served') expect(spec.note, spec.name).be.a('string');
    }
  });

  it('accepts every flag at its default without a complaint', () => {
    for (const spec of FLAGS) {
      if (spec.type === 'legacy' || spec.gate !== undefined || spec.name === 'config-file')
        continue;
      // These two only make sense together with another flag, or are a warning by themselves.
      const argv = ['--name=a', `--${spec.name}=${spec.default}`];
      if (spec.name === 'listen-client-urls') argv.push('--advertise-client-urls=http://a:1');
      if (spec.name === 'name') argv.shift();
      const result = parseServerConfig(argv, {});
      expect(result.kind, spec.name).equal('run');
      if (result.kind === 'run' && spec.name !== 'name')
        expect(result.warnings, spec.name).deep.equal([]);
    }
  });

  it('is wholly in --help and in the documentation table', () => {
    const help = helpText();
    const table = flagsMarkdown();
    for (const spec of FLAGS) {
      expect(help).contain(`  --${spec.name} `);
      expect(table).contain(`| \`--${spec.name}\` |`);
      expect(help).contain(spec.doc);
    }
    for (const group of FLAG_GROUPS) expect(help).contain(`\n${group}:\n`);
    const result = parseServerConfig(['--help'], {});
    expect(result).deep.equal({ kind: 'exit', code: 0, stdout: help, stderr: '' });
  });
});
