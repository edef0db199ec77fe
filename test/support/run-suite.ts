import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import Mocha from 'mocha';
import { slowness } from '../../scripts/machine.js';
import { MessageReporter, type SuiteMessage } from './reporter.js';
import './verify.js';

/**
 * One process of a test run: loads the test files given as arguments, runs them in order, and sends what happens to
 * the parent process. Mocha's own settings (.mocharc.json) apply, so `npx mocha <file>` behaves the same.
 */
const root = resolve(import.meta.dirname, '../..');
const settings = JSON.parse(readFileSync(resolve(root, '.mocharc.json'), 'utf8')) as {
  timeout: number;
  forbidOnly: boolean;
};

/** For hooks, and for tests that set no limit of their own. */
const commonTimeout = settings.timeout * slowness();
const mocha = new Mocha({ timeout: commonTimeout, forbidOnly: settings.forbidOnly });
// Tests with a limit of their own do not scale with the machine, which may have become busier
// since.
mocha.suite.beforeEach(function () {
  const test = this.currentTest;
  if (test === undefined) return;
  const limit = test.timeout() === commonTimeout ? settings.timeout : test.timeout();
  test.timeout(limit * slowness());
});
for (const file of process.argv.slice(2)) mocha.addFile(resolve(root, file));
await mocha.loadFilesAsync();
mocha.reporter(
  class {
    constructor(runner: Mocha.Runner) {
      new MessageReporter(runner, send);
    }
  } as unknown as Mocha.ReporterConstructor,
);
mocha.run((failures) => {
  process.exitCode = failures === 0 ? 0 : 1;
});

function send(message: SuiteMessage): void {
  process.send?.(message);
}
