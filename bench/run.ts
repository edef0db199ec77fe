import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, formatValue, type CaseGroup } from './case.js';
import { checkPerf } from './cases/check-perf.js';
import { failover } from './cases/failover.js';
import { flat, million, stall } from './cases/large.js';
import { lease } from './cases/lease.js';
import { latency, put, range, txn } from './cases/one-node.js';
import { snapshot } from './cases/snapshot.js';
import { three } from './cases/three-nodes.js';
import { watch } from './cases/watch.js';
import { describeMachine } from './machine.js';
import { Cluster, ROOT, versionOf, type Kind } from './peers.js';
import { plotGroup } from './plot.js';
import { reportOf } from './report.js';
import {
  median,
  mergeGroups,
  readResults,
  rowsOf,
  type GroupResult,
  type Row,
  type Sample,
} from './results.js';

/**
 * `npm run bench`: a real etcd and mainstay in turn, on the same disk, under the same loads.
 *
 * Each round starts both servers anew, in alternating order. Results go to docs/benchmarks; groups that are
 * not measured this time keep the numbers they have there.
 */

const GROUPS: readonly CaseGroup[] = [
  put,
  range,
  txn,
  latency,
  three,
  watch,
  lease,
  million,
  snapshot,
  stall,
  flat,
  failover,
  checkPerf,
];

const HELP = `npm run bench -- [options]

  --quick            short loads, one round, the groups marked * (under 5 minutes)
  --cases a,b        only these groups
  --rounds N         rounds instead of each group's own number
  --only KIND        only etcd or only mainstay; prints, writes nothing
  --dir DIR          where the servers keep their data (default: tmp/bench in the project)
  --out DIR          where results go (default: docs/benchmarks)

Groups, with rounds and minutes of a full run:
${GROUPS.map((group) => `  ${(group.name + (group.quick ? '*' : '')).padEnd(12)}${String(group.rounds)}  ${group.minutes.toFixed(1).padStart(4)}  ${group.title}`).join('\n')}
All together: ${GROUPS.reduce((sum, { minutes }) => sum + minutes, 0).toFixed(0)} minutes.

The etcd is the one on PATH unless MAINSTAY_BENCH_ETCD names another.`;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    cases: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    dir: { type: 'string', default: join(ROOT, 'tmp', 'bench') },
    out: { type: 'string', default: join(ROOT, 'docs', 'benchmarks') },
    help: { type: 'boolean', default: false },
  },
});

if (options.help) console.log(HELP);
else await main();

async function main(): Promise<void> {
  const kinds = kindsToRun();
  const groups = groupsToRun();
  const dir = resolve(options.dir);
  const machine = describeMachine(dir);
  const versions = { etcd: versionOf('etcd'), mainstay: versionOf('mainstay') };
  console.log(`etcd ${versions.etcd}, mainstay ${versions.mainstay}`);
  console.log(
    `${machine.cpu}, ${String(machine.cores)} cores, ${machine.fileSystem}, fdatasync ${String(machine.fdatasyncUs)} us`,
  );
  const began = performance.now();
  const done: GroupResult[] = [];
  for (const group of groups) {
    const rounds =
      options.rounds === undefined ? (options.quick ? 1 : group.rounds) : Number(options.rounds);
    const estimate = options.quick
      ? ''
      : `, about ${minutesText((group.minutes * rounds) / group.rounds)}`;
    console.log(`\n${group.title}: ${String(rounds)} round${rounds === 1 ? '' : 's'}${estimate}`);
    const groupBegan = performance.now();
    const rows = rowsOf(await runGroup(group, kinds, rounds, dir));
    done.push({
      name: group.name,
      title: group.title,
      rounds,
      measuredAt: new Date().toISOString(),
      versions,
      machine,
      rows,
    });
    if (kinds.length === 2) {
      printRows(rows);
      // After every group, so that a run that is cut short leaves what it has.
      write(done);
    }
    console.log(`  took ${minutesText((performance.now() - groupBegan) / 60_000)}`);
  }
  rmSync(dir, { recursive: true, force: true });
  console.log(`\n${minutesText((performance.now() - began) / 60_000)} in all`);
}

async function runGroup(
  group: CaseGroup,
  kinds: readonly Kind[],
  rounds: number,
  dir: string,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? kinds : [...kinds].reverse();
    for (const kind of order) {
      try {
        for (const measurement of await runOnce(group, kind, dir))
          samples.push({ kind, round, measurement });
      } catch (error) {
        console.log(
          `  ${kind.padEnd(9)}failed: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  }
  return samples;
}

async function runOnce(group: CaseGroup, kind: Kind, dir: string): Promise<Bench['measurements']> {
  const cluster = await Cluster.start(kind, group.members, dir, group.flags);
  const bench = new Bench(group.name, cluster, options.quick);
  try {
    await group.run(bench);
  } catch (error) {
    // Rows measured before still count.
    console.log(
      `  ${kind.padEnd(9)}stopped: ${error instanceof Error ? error.message : String(error)}`,
    );
  } finally {
    await cluster.stop();
  }
  return bench.measurements;
}

function minutesText(minutes: number): string {
  return `${minutes.toFixed(1)} minutes`;
}

function printRows(rows: readonly Row[]): void {
  console.log(
    `  ${'case'.padEnd(67)}${'etcd'.padStart(12)}${'mainstay'.padStart(12)}${'ratio'.padStart(9)}`,
  );
  for (const row of rows) {
    const [etcd, mainstay, ratio] = [median(row.etcd), median(row.mainstay), median(row.ratios)];
    const cell = (value: number | undefined, width: number): string =>
      (value === undefined ? '-' : formatValue(value)).padStart(width);
    console.log(
      `  ${`${row.label} [${row.unit}]`.padEnd(67)}${cell(etcd, 12)}${cell(mainstay, 12)}${cell(ratio, 9)}`,
    );
  }
}

function write(fresh: readonly GroupResult[]): void {
  const out = resolve(options.out);
  const name = options.quick ? 'quick' : 'results';
  const path = join(out, `${name}.json`);
  const order = GROUPS.map((group) => group.name);
  const groups = mergeGroups(readResults(path), fresh, order);
  const results = { quick: options.quick, groups };
  mkdirSync(out, { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, undefined, 1)}\n`);
  writeFileSync(join(out, options.quick ? 'quick.md' : 'README.md'), reportOf(results));
  if (options.quick) return;
  for (const group of groups) writeFileSync(join(out, `${group.name}.svg`), plotGroup(group));
}

function kindsToRun(): readonly Kind[] {
  switch (options.only) {
    case undefined:
      return ['etcd', 'mainstay'];
    case 'etcd':
    case 'mainstay':
      return [options.only];
    default:
      return exitWith(`--only takes etcd or mainstay, not ${options.only}`);
  }
}

function groupsToRun(): readonly CaseGroup[] {
  if (options.cases === undefined) return GROUPS.filter((group) => !options.quick || group.quick);
  return options.cases.split(',').map((name) => {
    const group = GROUPS.find((each) => each.name === name);
    return (
      group ??
      exitWith(
        `no group is called ${name}; there are: ${GROUPS.map((each) => each.name).join(' ')}`,
      )
    );
  });
}

function exitWith(text: string): never {
  console.error(text);
  process.exit(2);
}
