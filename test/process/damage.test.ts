import { expect } from 'chai';
import { describeDamage, makeWorkDir, removeTree, runCases } from './damage/cases.js';
import { makeSamples, type Sample } from './damage/sample.js';

/**
 * Stopped members whose files are damaged at random must refuse to start with a finding, or hold exactly what was
 * written. SEED chooses the damage, CASES how much of it; test/process/damage-run.ts runs as many as wanted.
 */
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const CASES = Number(process.env['CASES'] ?? 400);
const BINARY_CASES = Math.ceil(CASES / 50);

describe('damage to the files of a stopped member', function () {
  this.timeout(300_000);
  let dir: string;
  let single: Sample[];
  let three: Sample[];

  before(async () => {
    dir = makeWorkDir();
    single = await makeSamples(`${dir}/single`, 1, SEED);
    three = await makeSamples(`${dir}/three`, 3, SEED);
  });

  after(() => removeTree(dir));

  async function run(samples: readonly Sample[], cases: number, isBinary: boolean): Promise<void> {
    const kinds = new Map<string, number>();
    const bad: string[] = [];
    await runCases({
      samples,
      cases,
      seed: SEED,
      workDir: dir,
      isBinary,
      onCase: ({ number, sample, member, damage, outcome }) => {
        kinds.set(outcome.kind, (kinds.get(outcome.kind) ?? 0) + 1);
        if (outcome.kind === 'equal' || outcome.kind === 'refused') return;
        const where = `${sample.name}, member ${member + 1}, ${describeDamage(damage)}`;
        bad.push(`case ${number} (${where}): ${outcome.kind} ${outcome.text}`);
      },
    });
    expect(bad, `SEED=${SEED}`).to.deep.equal([]);
    // Damage of bytes that are never read would make every case equal.
    expect([...kinds.keys()], `SEED=${SEED}`).to.include('refused');
  }

  it(`is refused with a finding or changes nothing, alone and in a cluster (SEED=${SEED})`, () =>
    run([...single, ...three], CASES, false));

  it(`ends the program with a finding and a next step, or changes nothing (SEED=${SEED})`, () =>
    run(single, BINARY_CASES, true));
});
