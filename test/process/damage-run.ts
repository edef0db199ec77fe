import { parseArgs } from 'node:util';
import { describeDamage, makeWorkDir, removeTree, runCases, type Case } from './damage/cases.js';
import { makeSamples } from './damage/sample.js';

/**
 * Damages the data directories of stopped members at random and starts them again:
 *
 *   tsx test/process/damage-run.ts [--cases N] [--seed S] [--from N] [--dir DIR] [--binary]
 *
 * With --binary the program itself is started, on directories of a single member.
 *
 * Prints the outcomes of the cases, by kind of file. Ends with status 1 when one was neither
 * refused with a finding nor equal to the truth. `--seed S --from N --cases N+1` runs case N again.
 */

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    from: { type: 'string', default: '0' },
    dir: { type: 'string' },
    binary: { type: 'boolean', default: false },
  },
});
/** Characters shown of what a case ended with. */
const TEXT_MAX = 600;
const seed = Number(values.seed);
const cases = Number(values.cases);
const counts = new Map<string, Map<string, number>>();
const bad: Case[] = [];

function kindOf(file: string): string {
  const name = file.replace(/^.*\//, '');
  return name.replace(/^MANIFEST-\d+$/, 'MANIFEST').replace(/^[0-9a-f-]+\./, '*.');
}

function count(done: Case): void {
  const { damage, outcome, sample } = done;
  const row = `${sample.name}: ${kindOf(damage.file)} ${damage.what}`;
  const of = counts.get(row) ?? new Map<string, number>();
  of.set(outcome.kind, (of.get(outcome.kind) ?? 0) + 1);
  counts.set(row, of);
  if (outcome.kind !== 'equal' && outcome.kind !== 'refused') {
    bad.push(done);
    console.log(
      `case ${done.number} (${sample.name}, member ${done.member + 1}, ${describeDamage(damage)}): ` +
        `${outcome.kind} ${outcome.text.slice(0, TEXT_MAX)}`,
    );
  }
}

const dir = makeWorkDir(values.dir);
try {
  const samples = await makeSamples(`${dir}/single`, 1, seed);
  if (!values.binary) samples.push(...(await makeSamples(`${dir}/three`, 3, seed)));
  const from = performance.now();
  await runCases({
    samples,
    cases,
    seed,
    workDir: dir,
    from: Number(values.from),
    isBinary: values.binary,
    onCase: count,
  });
  console.log(
    `seed ${seed}: ${cases - Number(values.from)} cases in ${((performance.now() - from) / 1000).toFixed(0)} s`,
  );
  for (const row of [...counts.keys()].sort()) {
    const of = [...(counts.get(row) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    console.log(`  ${row.padEnd(44)} ${of.map(([kind, n]) => `${kind} ${n}`).join(', ')}`);
  }
  const totals = new Map<string, number>();
  for (const of of counts.values()) {
    for (const [kind, n] of of) totals.set(kind, (totals.get(kind) ?? 0) + n);
  }
  console.log(`  ${[...totals].map(([kind, n]) => `${kind} ${n}`).join(', ')}`);
} finally {
  removeTree(dir);
}
process.exit(bad.length === 0 ? 0 : 1);
