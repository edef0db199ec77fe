/**
 * Runs simulator seeds from the command line:
 *
 *   npm run sim -- [--seed N] [--runs N] [--ms SIMULATED_MS] [--workers N]
 *
 * A violation prints the seed, the invariant, and the one command that replays it.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { simulate, type RunResult } from './simulation.js';

export interface Batch {
  readonly seeds: readonly number[];
  readonly simulatedMs: number;
}

export interface Totals {
  runs: number;
  events: number;
  acknowledged: number;
  unknown: number;
  revisions: number;
  leaderChanges: number;
  crashes: number;
  stops: number;
  watchEvents: number;
  platterChecks: number;
  readonly violations: { readonly seed: number; readonly text: string }[];
}

export function emptyTotals(): Totals {
  return {
    runs: 0,
    events: 0,
    acknowledged: 0,
    unknown: 0,
    revisions: 0,
    leaderChanges: 0,
    crashes: 0,
    stops: 0,
    watchEvents: 0,
    platterChecks: 0,
    violations: [],
  };
}

/** One in this many seeds is run twice, to prove that a seed determines its run. */
const TWICE_EVERY = 20;

function addResult(totals: Totals, r: RunResult): void {
  totals.runs++;
  totals.events += r.events;
  totals.acknowledged += r.acknowledged;
  totals.unknown += r.unknown;
  totals.revisions += r.revisions;
  totals.leaderChanges += r.leaderChanges;
  totals.crashes += r.crashes;
  totals.stops += r.stops;
  totals.watchEvents += r.watchEvents;
  totals.platterChecks += r.platterChecks;
  if (r.violation !== null) totals.violations.push({ seed: r.seed, text: r.violation.message });
}

export function runBatch(batch: Batch): Totals {
  const totals = emptyTotals();
  for (const seed of batch.seeds) {
    const result = simulate({ seed, simulatedMs: batch.simulatedMs });
    addResult(totals, result);
    if (seed % TWICE_EVERY === 0) {
      const again = simulate({ seed, simulatedMs: batch.simulatedMs });
      if (again.trace !== result.trace || again.events !== result.events) {
        totals.violations.push({
          seed,
          text: `determinism: two runs differ (${result.events} events, trace ${result.trace}; ${again.events}, ${again.trace})`,
        });
      }
    }
  }
  return totals;
}

function merge(into: Totals, from: Totals): void {
  into.runs += from.runs;
  into.events += from.events;
  into.acknowledged += from.acknowledged;
  into.unknown += from.unknown;
  into.revisions += from.revisions;
  into.leaderChanges += from.leaderChanges;
  into.crashes += from.crashes;
  into.stops += from.stops;
  into.watchEvents += from.watchEvents;
  into.platterChecks += from.platterChecks;
  into.violations.push(...from.violations);
}

/** Spreads the seeds over processes. */
export async function runParallel(batch: Batch, workers: number): Promise<Totals> {
  const shares: number[][] = Array.from({ length: workers }, () => []);
  batch.seeds.forEach((seed, i) => shares[i % workers]?.push(seed));
  const totals = emptyTotals();
  await Promise.all(
    shares.map(
      (seeds) =>
        new Promise<void>((resolve, reject) => {
          const worker = fork(fileURLToPath(import.meta.url), ['--worker'], {
            execArgv: ['--import', 'tsx'],
          });
          worker.once('message', (result: Totals) => {
            merge(totals, result);
            resolve();
          });
          worker.once('error', reject);
          worker.once('exit', (code) => {
            if (code !== 0) reject(new Error(`a simulator process ended with status ${code}`));
          });
          worker.send({ seeds, simulatedMs: batch.simulatedMs } satisfies Batch);
        }),
    ),
  );
  return totals;
}

export function replayCommand(seed: number, simulatedMs: number): string {
  return `npm run sim -- --seed ${seed} --runs 1 --ms ${simulatedMs}`;
}

export function describe(totals: Totals, wallMs: number, simulatedMs: number): string {
  const hours = (totals.runs * simulatedMs) / 3_600_000;
  return (
    `${totals.runs} runs, ${hours.toFixed(2)} simulated hours in ${(wallMs / 1000).toFixed(1)} s: ` +
    `${totals.events} events, ${totals.acknowledged} acknowledged and ${totals.unknown} unknown requests, ${totals.revisions} revisions, ` +
    `${totals.leaderChanges} leaders, ${totals.crashes} crashes, ${totals.stops} stops, ${totals.watchEvents} watch events, ${totals.platterChecks} platter checks`
  );
}

function option(name: string, fallback: number): number {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}

async function main(): Promise<void> {
  const first = option('seed', Math.floor(Math.random() * 1e9));
  const runs = option('runs', 20);
  const simulatedMs = option('ms', 60_000);
  const workers = option('workers', runs > 1 ? 2 : 1);
  const seeds = Array.from({ length: runs }, (_, i) => first + i);
  const started = performance.now();
  const totals =
    workers > 1
      ? await runParallel({ seeds, simulatedMs }, workers)
      : runBatch({ seeds, simulatedMs });
  console.log(describe(totals, performance.now() - started, simulatedMs));
  for (const v of totals.violations) {
    console.log(`\nseed ${v.seed}: ${v.text}\nreplay: ${replayCommand(v.seed, simulatedMs)}`);
  }
  if (totals.violations.length > 0) process.exitCode = 1;
}

if (process.argv.includes('--worker')) {
  process.once('message', (batch: Batch) => {
    process.send?.(runBatch(batch), () => process.disconnect());
  });
} else if (process.argv[1]?.endsWith('sim/run.ts') === true) {
  await main();
}
