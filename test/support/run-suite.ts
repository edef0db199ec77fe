import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import Mocha from 'mocha';
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

const mocha = new Mocha({ timeout: settings.timeout, forbidOnly: settings.forbidOnly });
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
