import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseCommandLine } from '../../../src/base/flags/command-line.js';
import { parseEnv } from '../../../src/base/flags/env.js';
import { readConfigFile } from '../../../src/base/flags/file.js';
import { helpText, usageText } from '../../../src/base/flags/help.js';
import { assembleSettings } from '../../../src/base/flags/settings.js';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import { closest } from '../../../src/base/flags/suggest.js';
import { FlagTable } from '../../../src/base/flags/table.js';
import { UsageError } from '../../../src/base/flags/usage-error.js';

/** A program that is no etcd: the machinery may not depend on the server's names. */
const TABLE = new FlagTable({
  command: 'lamp',
  summary: 'Lights a lamp.',
  envPrefix: 'LAMP_',
  groups: ['Light'],
  served: [
    { name: 'watts', type: 'uint', default: '40', group: 'Light', effect: 'served', doc: 'Power.' },
    {
      name: 'colours',
      type: 'list',
      choices: ['red', 'green'],
      default: 'red',
      group: 'Light',
      effect: 'served',
      aliases: ['colors'],
      fileKey: 'look.colours',
      doc: 'Hues.',
    },
  ] as const,
  others: [
    { name: 'wick', type: 'legacy', default: '', group: 'Light', effect: 'ignored', doc: 'Gone.' },
    {
      name: 'fuse',
      type: 'bool',
      default: 'false',
      group: 'Light',
      effect: 'refused',
      note: 'is missing',
      doc: 'Safety.',
    },
  ],
  deprecations: { colors: '--colors is deprecated.' },
  formerKeys: ['oil'],
});

describe('a table of flags', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'flags-test-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  const file = (text: string): string => {
    const path = join(dir, 'lamp.yml');
    writeFileSync(path, text);
    return path;
  };

  it('reads command line, variables and file into one shape', () => {
    const sources = [
      parseCommandLine(TABLE, ['--watts', '0x10', '--colours=green,red']).assignments,
      parseEnv(TABLE, { LAMP_WATTS: '16', LAMP_COLOURS: 'green, red', ETCD_NAME: 'x' }, [])
        .assignments,
      readConfigFile(TABLE, file('watts: 16\nlook: { colours: [green, red] }')).assignments,
    ];
    for (const assignments of sources) {
      const settings = assembleSettings(TABLE, assignments);
      const { watts, colours } = settings.values;
      expect({ watts, colours }).deep.equal({ watts: 16, colours: ['green', 'red'] });
      expect(settings.warnings).deep.equal([]);
      expect([...settings.explicit].sort()).deep.equal(['colours', 'watts']);
    }
  });

  it('warns about deprecated names, flags without an effect, unknown variables and former keys', () => {
    const { assignments } = parseCommandLine(TABLE, ['--colors=red', '--wick']);
    const { warnings } = assembleSettings(TABLE, assignments);
    expect(warnings).deep.equal(['--colors is deprecated.', '--wick has no effect']);
    expect(parseEnv(TABLE, { LAMP_OIL: '1' }, []).warnings).deep.equal([
      'unrecognized environment variable LAMP_OIL',
    ]);
    expect(readConfigFile(TABLE, file('oil: 3')).warnings.join()).contain('key "oil"');
  });

  it('refuses ambiguous settings', () => {
    const both = parseCommandLine(TABLE, ['--colors=red', '--colours=red']).assignments;
    expect(() => assembleSettings(TABLE, both)).throw(StartupError, 'at the same time');
    const fuse = parseCommandLine(TABLE, ['--fuse']).assignments;
    expect(() => assembleSettings(TABLE, fuse)).throw(StartupError, '--fuse is missing');
    const watts = parseCommandLine(TABLE, ['--watts=1']).assignments;
    expect(() => parseEnv(TABLE, { LAMP_WATTS: '1' }, watts)).throw(StartupError, 'shadowed');
    expect(() => parseCommandLine(TABLE, ['--colours=blue'])).throw(UsageError, 'red, green');
    expect(() => parseCommandLine(TABLE, ['--wats=1'])).throw(UsageError, 'mean "--watts"?');
    expect(() => readConfigFile(TABLE, file('look: { colour: red }'))).throw(
      StartupError,
      'mean "look.colours"?',
    );
  });

  it('explains itself by its own names', () => {
    expect(helpText(TABLE)).match(/^Usage: lamp \[flags\]\n\nLights a lamp\. .*LAMP_SOME_FLAG/s);
    expect(helpText(TABLE)).contain(
      "  --colours 'red'\n      Hues. One of: red, green.\n  --wick '' [accepted, no effect]\n",
    );
    expect(usageText(TABLE)).contain('  lamp --help\n      Explain all 4 flags.\n');
  });
});

describe('closest', () => {
  it('finds a name with a letter missing, added, changed or swapped', () => {
    for (const word of ['nam', 'namee', 'nane', 'nmae']) {
      expect(closest(word, ['data-dir', 'name'])).equal('name');
    }
  });

  it('finds nothing when the words have little in common', () => {
    for (const word of ['foo', 'x', 'frobnicate', 'election']) {
      expect(closest(word, ['name', 'cors', 'election-timeout'])).equal(undefined);
    }
  });
});
