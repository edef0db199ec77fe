import { spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const BIN = dirname(fileURLToPath(new URL('../../bin/mainstay.js', import.meta.url)));

describe('the loader of bundles', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'load-test-'));
    cpSync(BIN, join(dir, 'bin'), { recursive: true });
    mkdirSync(join(dir, 'dist'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  /** Writes a bundle whose main() runs `body` and returns an exit code. */
  function writeMain(body: string, build = '0123456789abcdef'): void {
    const head = '(function (exports, require, module, __filename, __dirname) {';
    const main = `exports.main = async (argv) => { ${body} };`;
    writeFileSync(join(dir, 'dist/main.cjs'), `${head}${main}})\n//# build=${build}\n`);
  }

  function run(env: Record<string, string> = {}, ...args: string[]): SpawnSyncReturns<string> {
    return spawnSync(process.execPath, [join(dir, 'bin/mainstay.js'), ...args], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
  }

  const keep = { MAINSTAY_KEEP_CODE: '1' };
  const codeFiles = (): string[] =>
    readdirSync(join(dir, 'dist')).filter((name) => name.endsWith('.code'));
  const inode = (name: string | undefined): number => statSync(join(dir, 'dist', name ?? '')).ino;

  it('runs main with the arguments and exits with its code', () => {
    writeMain('console.log(argv.join()); return 7;');
    const { status, stdout } = run({}, 'a', 'b');
    expect({ status, stdout }).deep.equal({ status: 7, stdout: 'a,b\n' });
  });

  it('keeps compiled code once, for this build, release and set of flags', () => {
    writeMain('return 0;');
    run(keep);
    const [first] = codeFiles();
    expect(first).contain(`0123456789abcdef-${process.version}-${process.arch}`);
    const before = inode(first);
    run(keep);
    expect(codeFiles()).deep.equal([first]);
    expect(inode(first)).equal(before);
    run({ ...keep, NODE_OPTIONS: '--max-old-space-size=500' });
    expect(codeFiles()).have.length(2);
  });

  it('never runs the code of another build, also of one whose text is as long', () => {
    writeMain('console.log("one"); return 0;', '1'.repeat(16));
    expect(run(keep).stdout).equal('one\n');
    writeMain('console.log("two"); return 0;', '2'.repeat(16));
    expect(run(keep).stdout).equal('two\n');
    expect(run(keep).stdout).equal('two\n');
    expect(codeFiles()).have.length(2);
  });

  it('runs on, and keeps good code again, when the kept code is spoilt', () => {
    writeMain('console.log("fine"); return 0;');
    run(keep);
    const path = join(dir, 'dist', codeFiles()[0] ?? '');
    writeFileSync(path, 'spoilt');
    expect(run(keep).stdout).equal('fine\n');
    expect(statSync(path).size).greaterThan(100);
  });

  it('keeps nothing of a run that failed or was too short', () => {
    writeMain('return 3;');
    run(keep);
    writeMain('return 0;');
    run();
    expect(codeFiles()).deep.equal([]);
  });

  it('loads another bundle by its name', () => {
    const head = '(function (exports, require, module, __filename, __dirname) {';
    writeFileSync(join(dir, 'dist/other.cjs'), `${head}exports.answer = 42;})\n//# build=0\n`);
    writeMain('return require("./other.cjs").answer;');
    expect(run().status).equal(42);
  });

  it('ignores SIGUSR1 and SIGUSR2 before anything else is loaded', () => {
    writeMain(
      'process.kill(process.pid, "SIGUSR1"); process.kill(process.pid, "SIGUSR2");' +
        'await new Promise((done) => setTimeout(done, 100)); return 5;',
    );
    const { status, stderr } = run();
    expect({ status, stderr }).deep.equal({ status: 5, stderr: '' });
  });
});
