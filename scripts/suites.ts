import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { SuiteMessage } from '../test/support/reporter.js';
import { ROOT } from './jobs.js';
import { describeSlowness, slowness } from './machine.js';
import { ProcessTree } from './process-tree.js';

/** Runs one suite of mocha tests in a process of its own, and sums up a set of results. */

export interface Suite {
  readonly name: string;
  readonly files: readonly string[];
}

export interface SuiteResult {
  readonly name: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  readonly failures: string[];
  readonly skips: string[];
  readonly slow: string[];
}

/** For a quiet machine; a slow or busy one gets several times as much (scripts/machine.ts). */
export interface SuiteLimits {
  /** Longest time for the whole suite. */
  readonly maxMs: number;
  /** A finished suite that keeps its process alive longer than this has left something open. */
  readonly lingerMs: number;
  /** Drops what the tests print. */
  readonly quiet?: boolean;
}

export interface Verdict {
  readonly ok: boolean;
  /** Reasons for which it is not ok although no test failed; empty otherwise. */
  readonly reasons: readonly string[];
  /** `N passed, N failed, N skipped`; each failed static check counts as one failure. */
  readonly line: string;
}

export function judge(
  results: readonly SuiteResult[],
  failedChecks: readonly string[],
  inCi: boolean,
): Verdict {
  let passed = 0;
  let failed = failedChecks.length;
  let skipped = 0;
  for (const result of results) {
    passed += result.passed;
    failed += result.failed;
    skipped += result.skipped;
  }
  const reasons: string[] = [];
  if (failedChecks.length > 0) reasons.push(`static checks failed: ${failedChecks.join(', ')}`);
  if (inCi && skipped > 0) reasons.push('CI=true: a skipped test fails the run');
  if (passed + failed === 0) reasons.push('no test ran');
  return {
    ok: failed === 0 && reasons.length === 0,
    reasons,
    line: `${passed} passed, ${failed} failed, ${skipped} skipped`,
  };
}

/** Never rejects: every error is a failure in the result. */
export function runSuite(suite: Suite, limits: SuiteLimits): Promise<SuiteResult> {
  const began = performance.now();
  const result: SuiteResult = {
    name: suite.name,
    passed: 0,
    failed: 0,
    skipped: 0,
    seconds: 0,
    failures: [],
    skips: [],
    slow: [],
  };
  let running = 'loading its files';
  let ended = false;
  const output = limits.quiet === true ? 'ignore' : 'inherit';
  const tree = new ProcessTree();
  tree.guard();
  const child = fork(join(ROOT, 'test/support/run-suite.ts'), suite.files, {
    cwd: ROOT,
    // Ctrl-C in a terminal ends this process, whose end then ends the suite.
    detached: true,
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, ...tree.env },
    stdio: ['ignore', output, output, 'ipc'],
  });
  const fail = (text: string): void => {
    result.failed++;
    result.failures.push(`FAILED test/${suite.name}: ${text}`);
  };
  return new Promise((done) => {
    const watch = new Deadline(limits.maxMs, () => {
      fail(`ran longer than ${watch.text}; it was at: ${running}`);
      ended = true;
      tree.kill();
    });
    let linger: Deadline | undefined;
    child.on('message', (message: SuiteMessage) => {
      if (message.kind === 'running') running = message.title;
      else if (message.kind === 'failed')
        result.failures.push(`FAILED ${message.title}\n${message.file}\n${message.error}`);
      else if (message.kind === 'pending') result.skips.push(message.title);
      else if (message.kind === 'slow')
        result.slow.push(`${message.title} (${message.seconds.toFixed(0)} s)`);
      else {
        ended = true;
        result.passed += message.passed;
        result.failed += message.failed;
        result.skipped += message.pending;
        watch.cancel();
        linger = new Deadline(limits.lingerMs, () => {
          fail(
            'its process did not end after the last test: a socket, timer or child was left open',
          );
          tree.kill();
        });
      }
    });
    child.on('error', (error) => {
      fail(String(error));
    });
    child.on('exit', (code, signal) => {
      watch.cancel();
      linger?.cancel();
      const how = signal ?? `code ${String(code)}`;
      if (!ended) fail(`its process ended (${how}) at: ${running}`);
      else if (code !== 0 && result.failed === 0)
        fail(`its process ended with ${how} after the last test`);
      awaitEnd(tree, limits.lingerMs, (left) => {
        if (left && result.failed === 0)
          fail('processes that its tests started were still running at its end');
        tree.kill();
        tree.release();
        result.seconds = (performance.now() - began) / 1000;
        done(result);
      });
    });
  });
}

/** A limit in time that grows with the slowness of the machine, also while it runs. */
class Deadline {
  private readonly maxMs: number;
  private readonly beganMs = performance.now();
  private readonly passed: () => void;
  private timer: NodeJS.Timeout;

  constructor(maxMs: number, passed: () => void) {
    this.maxMs = maxMs;
    this.passed = passed;
    this.timer = setTimeout(this.look, maxMs * slowness());
  }

  /** Duration, for a message. */
  get text(): string {
    const seconds = (performance.now() - this.beganMs) / 1000;
    return `${seconds.toFixed(0)} s (limit ${this.maxMs / 1000} s; ${describeSlowness()})`;
  }

  cancel(): void {
    clearTimeout(this.timer);
  }

  private readonly look = (): void => {
    const leftMs = this.beganMs + this.maxMs * slowness() - performance.now();
    if (leftMs <= 1) this.passed();
    else this.timer = setTimeout(this.look, leftMs);
  };
}

/** Polls until no process of the tree is left, or `maxMs` passed. */
function awaitEnd(tree: ProcessTree, maxMs: number, done: (left: boolean) => void): void {
  const deadline = performance.now() + maxMs * slowness();
  const look = (): void => {
    const left = tree.pids().length > 0;
    if (!left || performance.now() > deadline) done(left);
    else setTimeout(look, 50);
  };
  look();
}
