import { describeSlowness } from '../../scripts/machine.js';
import type { Runner, Test } from 'mocha';

/** Messages of a suite's process to its parent while it runs. */
export type SuiteMessage =
  | { readonly kind: 'running'; readonly title: string }
  | {
      readonly kind: 'failed';
      readonly title: string;
      readonly file: string;
      readonly error: string;
    }
  | { readonly kind: 'pending'; readonly title: string }
  | { readonly kind: 'slow'; readonly title: string; readonly seconds: number }
  | {
      readonly kind: 'end';
      readonly passed: number;
      readonly failed: number;
      readonly pending: number;
    };

/** A test slower than this is named in the summary. */
const SLOW_SECONDS = 20;

/**
 * A mocha reporter that reports to a function instead of a terminal.
 *
 * A failed hook counts as a failure, although mocha counts no test for it: the tests behind it did not run.
 */
export class MessageReporter {
  constructor(runner: Runner, send: (message: SuiteMessage) => void) {
    let passed = 0;
    let failed = 0;
    let pending = 0;
    runner.on('test', (test) => {
      send({ kind: 'running', title: test.fullTitle() });
    });
    runner.on('pass', (test) => {
      passed++;
      const seconds = (test.duration ?? 0) / 1000;
      if (seconds > SLOW_SECONDS) send({ kind: 'slow', title: test.fullTitle(), seconds });
    });
    runner.on('fail', (test: Test, error: unknown) => {
      failed++;
      send({
        kind: 'failed',
        title: test.fullTitle(),
        file: test.file ?? '',
        error: `${describeError(error)}${isTimeout(error) ? `\n  ${describeSlowness()}` : ''}`,
      });
    });
    runner.on('pending', (test) => {
      pending++;
      send({ kind: 'pending', title: test.fullTitle() });
    });
    runner.on('end', () => {
      send({ kind: 'end', passed, failed, pending });
    });
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MOCHA_TIMEOUT';
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.stack ?? String(error);
  const values = error as { actual?: unknown; expected?: unknown; showDiff?: boolean };
  if (values.showDiff !== true) return text;
  return `${text}\n  expected: ${show(values.expected)}\n  actual:   ${show(values.actual)}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_key, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v));
  return text.length > 2000 ? `${text.slice(0, 2000)}...` : text;
}
