import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkAll } from './check.js';
import { ROOT, runPool } from './jobs.js';
import { describeSlowness, slowness } from './machine.js';
import { judge, runSuite, type Suite, type SuiteLimits, type SuiteResult } from './suites.js';

/**
 * Runs the tests: each folder below test/ in a process of its own, two at a time, and one count at the end.
 *
 *   tsx scripts/test.ts                 the static checks, then every folder
 *   tsx scripts/test.ts --only [names]  only the named folders (all when none is named), without the checks
 *
 * Fails when a test or a static check fails, when a folder's process dies, hangs, or stays alive
 * after its last test, and when nothing ran. In CI (CI=true) it also fails when a test was skipped.
 */

const LIMITS: SuiteLimits = { maxMs: 9 * 60_000, lingerMs: 10_000 };
const LANES = 2;
/** From here on the machine is worth a line. */
const SLOW = 2;
/** Longest first, so that the last lane does not wait for one long folder. */
const LONG_FOLDERS = ['sim', 'process', 'conformance', 'cli', 'mvcc'];

const args = process.argv.slice(2);
const only = args[0] === '--only';
const names = only ? args.slice(1) : args;
const inCi = process.env['CI'] === 'true';
process.exitCode = (await main()) ? 0 : 1;

async function main(): Promise<boolean> {
  const began = performance.now();
  const suites = selectSuites();
  if (slowness() >= SLOW) console.log(`${describeSlowness()}; limits are longer by as much`);
  const checks = only ? [] : await checkAll();
  const results = await runPool(
    suites.map((suite) => async () => {
      const result = await runSuite(suite, LIMITS);
      report(result);
      return result;
    }),
    LANES,
  );
  const failedChecks = checks.filter((outcome) => !outcome.ok).map((outcome) => outcome.name);
  const verdict = judge(results, failedChecks, inCi);
  for (const result of results) for (const line of result.slow) console.log(`slow: ${line}`);
  for (const result of results) for (const line of result.skips) console.log(`skipped: ${line}`);
  for (const result of results) for (const line of result.failures) console.log(`\n${line}`);
  for (const reason of verdict.reasons) console.log(`\n${reason}`);
  console.log(`\n${suites.length} folders in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  console.log(verdict.line);
  return verdict.ok;
}

function report(result: SuiteResult): void {
  const skips = result.skipped > 0 ? `, ${result.skipped} skipped` : '';
  const counts = `${result.passed} passed, ${result.failed} failed${skips}`;
  console.log(`test  ${result.name.padEnd(12)} ${counts}  ${result.seconds.toFixed(1)} s`);
}

function selectSuites(): Suite[] {
  const all = readdirSync(join(ROOT, 'test'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => ({ name: entry.name, files: testFiles(`test/${entry.name}`) }))
    .filter((suite) => suite.files.length > 0);
  for (const name of names) {
    if (!all.some((suite) => suite.name === name)) {
      console.error(
        `there are no tests in test/${name}; there are: ${all.map((suite) => suite.name).join(' ')}`,
      );
      process.exit(1);
    }
  }
  const rank = (suite: Suite): number =>
    LONG_FOLDERS.includes(suite.name) ? LONG_FOLDERS.indexOf(suite.name) : LONG_FOLDERS.length;
  return all
    .filter((suite) => names.length === 0 || names.includes(suite.name))
    .sort((a, b) => rank(a) - rank(b));
}

function testFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
    .map((name) => `${folder}/${name}`);
}
