import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../../scripts/jobs.js';
import { judge, runSuite, type SuiteResult } from '../../scripts/suites.js';
import { until } from '../support/until.js';
import { isAlive } from '../support/processes.js';

describe('test runner', () => {
  let folder = '';

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'mainstay-suites-'));
  });

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a suite of one file holding `body`. */
  function run(
    body: string,
    limits: { maxMs?: number; lingerMs?: number } = {},
  ): Promise<SuiteResult> {
    const file = join(
      folder,
      `${String(body.length)}-${Math.random().toString(36).slice(2)}.test.mts`,
    );
    writeFileSync(file, body);
    return runSuite(
      { name: 'sample', files: [file] },
      { maxMs: 30_000, lingerMs: 5_000, quiet: true, ...limits },
    );
  }

  it('counts passed, failed and skipped tests', async () => {
    const result = await run(
      "it('a', () => {}); it('b', () => { throw new Error('planted'); }); it('c');",
    );
    expect([result.passed, result.failed, result.skipped]).to.deep.equal([1, 1, 1]);
    expect(result.failures.join()).to.include('planted');
    expect(result.skips).to.deep.equal(['c']);
  });

  it('counts a failed hook, behind which tests did not run', async () => {
    const result = await run("before(() => { throw new Error('planted'); }); it('a', () => {});");
    expect([result.passed, result.failed]).to.deep.equal([0, 1]);
  });

  it('fails when a test file cannot be loaded', async () => {
    const result = await run("import 'node:planted'; it('a', () => {});");
    expect([result.passed, result.failed]).to.deep.equal([0, 1]);
  });

  it('fails when the process dies in a test', async () => {
    const result = await run("it('a', () => {}); it('dies', () => process.exit(0));");
    expect(result.failed).to.equal(1);
    expect(result.failures.join()).to.include('at: dies');
  });

  it('fails when a test hangs longer than the suite may take', async () => {
    const result = await run("it('hangs', () => { for (;;); });", { maxMs: 3_000 });
    expect(result.failed).to.equal(1);
    expect(result.failures.join()).to.include('it was at: hangs');
  });

  it('fails when something is left open after the last test', async () => {
    const result = await run("it('a', () => { setInterval(() => {}, 1000); });", { lingerMs: 200 });
    expect([result.passed, result.failed]).to.deep.equal([1, 1]);
  });

  it('fails when a test leaves a process running', async () => {
    const body =
      "import { spawn } from 'node:child_process'; it('a', () => { spawn('sleep', ['60'], { stdio: 'ignore' }).unref(); });";
    const result = await run(body, { lingerMs: 300 });
    expect([result.passed, result.failed]).to.deep.equal([1, 1]);
  });

  it('ends a process that left the group of its suite', async () => {
    const pidFile = join(folder, 'detached.pid');
    const body = `
      import { spawn } from 'node:child_process';
      import { writeFileSync } from 'node:fs';
      it('a', () => {
        const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
        child.unref();
        writeFileSync('${pidFile}', String(child.pid));
      });`;
    const result = await run(body, { lingerMs: 300 });
    expect(result.failures.join()).to.include('still running');
    await until(() => !isAlive(Number(readFileSync(pidFile, 'utf8'))));
  });

  it('leaves nothing behind when it is killed, even while a test hangs', async () => {
    const pidFile = join(folder, 'killed.pid');
    const file = join(folder, 'hangs.test.mts');
    writeFileSync(
      file,
      `import { spawn } from 'node:child_process';
       import { writeFileSync } from 'node:fs';
       it('hangs', () => {
         const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
         writeFileSync('${pidFile}', process.pid + ' ' + child.pid);
         for (;;);
       });`,
    );
    const suite = JSON.stringify({ name: 'sample', files: [file] });
    const code = `
      const { runSuite } = await import('./scripts/suites.ts');
      await runSuite(${suite}, { maxMs: 60000, lingerMs: 5000, quiet: true });`;
    const runner = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: ROOT,
      stdio: 'ignore',
    });
    await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').includes(' '));
    const pids = readFileSync(pidFile, 'utf8').split(' ').map(Number);
    expect(pids.filter(isAlive)).to.have.length(2);
    runner.kill('SIGKILL');
    await until(() => !pids.some(isAlive));
  });

  it('reports how slow the machine is when a test took too long', async () => {
    const slow = await run("it('waits', () => new Promise(() => {})).timeout(50);");
    expect(slow.failures.join()).to.match(
      /times slower than usual \(load [\d.]+ on \d+ processors\)/,
    );
    const hung = await run("it('hangs', () => { for (;;); });", { maxMs: 100 });
    expect(hung.failures.join()).to.match(/ran longer than \d+ s \(limit 0.1 s; the machine is/);
  });

  it('refuses a test marked as the only one', async () => {
    const result = await run("it.only('a', () => {});");
    expect(result.failed).to.equal(1);
  });
});

describe('verdict', () => {
  const result = (passed: number, failed: number, skipped: number): SuiteResult => ({
    name: 'sample',
    passed,
    failed,
    skipped,
    seconds: 0,
    failures: [],
    skips: [],
    slow: [],
  });

  it('is good when all passed, and adds up the folders', () => {
    const verdict = judge([result(2, 0, 0), result(3, 0, 1)], [], false);
    expect(verdict).to.deep.equal({ ok: true, reasons: [], line: '5 passed, 0 failed, 1 skipped' });
  });

  it('is bad when a test failed', () => {
    expect(judge([result(2, 1, 0)], [], false).ok).to.equal(false);
  });

  it('is bad when a static check failed, which counts as a failure', () => {
    const verdict = judge([result(2, 0, 0)], ['lint'], false);
    expect([verdict.ok, verdict.line]).to.deep.equal([false, '2 passed, 1 failed, 0 skipped']);
  });

  it('is bad when nothing ran', () => {
    expect(judge([], [], false).ok).to.equal(false);
    expect(judge([result(0, 0, 3)], [], false).ok).to.equal(false);
  });

  it('is bad when CI skipped a test', () => {
    expect(judge([result(2, 0, 1)], [], true).ok).to.equal(false);
  });
});
