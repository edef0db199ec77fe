import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const ENTRY = fileURLToPath(new URL('../support/mainstay-main.ts', import.meta.url));
const BIN = fileURLToPath(new URL('../../bin/mainstay.js', import.meta.url));

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function mainstay(...args: string[]): Result {
  const result = spawnSync(process.execPath, ['--import', 'tsx', ENTRY, ...args], {
    encoding: 'utf8',
    env: withoutEtcd(),
  });
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

function withoutEtcd(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_')),
  );
}

describe('the mainstay command', () => {
  it('explains itself when it is given nothing, or --help', () => {
    for (const args of [[], ['--help'], ['help']]) {
      const { code, stdout, stderr } = mainstay(...args);
      expect(code).equal(0);
      expect(stderr).equal('');
      for (const name of ['server', 'up', 'down', 'kubectl', 'image', 'wal'])
        expect(stdout).match(new RegExp(`^ +${name} `, 'm'));
    }
  });

  it('explains each command', () => {
    expect(mainstay('up', '--help').stdout).contain('--client-port');
    expect(mainstay('wal', 'repair', '--help').stdout).contain('--data-dir');
    expect(mainstay('help', 'up').stdout).contain('--nodes');
  });

  it('prints its version', () => {
    expect(mainstay('--version').stdout).match(
      /^mainstay \d+\.\d+\.\d+ \(etcd API 3\.\d+\.\d+\)\n$/,
    );
  });

  it('refuses unknown commands', () => {
    const unknown = mainstay('frobnicate');
    expect(unknown.code).equal(1);
    expect(unknown.stderr).contain('frobnicate');
    expect(mainstay('up', '--nodes', '0').stderr).contain('from 1 to 50');
    expect(mainstay('up', '--store-members', '10').stderr).contain('from 1 to 9');
    expect(mainstay('up', '--publish', '1:2:3').stderr).contain('PORT:NODEPORT');
    expect(mainstay('up', '--store-only', '--nodes', '3').stderr).contain('--store-members');
    expect(mainstay('up', '--keep-containers').stderr).contain('add --dir');
    expect(mainstay('down', '--dir', '/nonexistent').stderr).contain('holds no cluster');
    expect(mainstay('node', '--name', 'node-1').stderr).contain('--dir');
    expect(mainstay('up', '--client-port', 'x').stderr).contain('from 1 to 65535');
    expect(mainstay('wal', 'repair').stderr).contain('--data-dir');
  });

  it('finds no log to repair in an empty directory', () => {
    const dir = mkdtempSync(join(tmpdir(), 'cli-test-'));
    const { code, stderr } = mainstay('wal', 'repair', '--data-dir', dir);
    rmSync(dir, { recursive: true });
    expect(code).equal(1);
    expect(stderr).contain('there is no log of a member');
    expect(stderr).contain('next step: check --data-dir');
  });

  it("hands the server command to etcd's flags", () => {
    expect(mainstay('server', '--version').stdout).match(/^etcd Version: 3\./);
    expect(mainstay('server', '--help').stdout).contain('--initial-cluster-token');
    const unknown = mainstay('server', '--foo');
    expect(unknown.code).equal(2);
    expect(unknown.stderr).match(/^flag provided but not defined: -foo\n/);
    expect(mainstay('server', 'extra').code).equal(1);
  });

  it('can be called as etcd by a two-line script', () => {
    const dir = mkdtempSync(join(tmpdir(), 'cli-test-'));
    const script = join(dir, 'etcd');
    writeFileSync(
      script,
      `#!/bin/sh\nexec "${process.execPath}" --import tsx "${ENTRY}" server "$@"\n`,
    );
    chmodSync(script, 0o755);
    const result = spawnSync(script, ['--version'], { encoding: 'utf8', env: withoutEtcd() });
    rmSync(dir, { recursive: true });
    expect(result.stdout).match(/^etcd Version: /);
    expect(result.status).equal(0);
  });

  /** bin/ alone, in a package that is a checkout if it has `src`. */
  function runWithoutDist(isCheckout: boolean): Result {
    const dir = mkdtempSync(join(tmpdir(), 'cli-test-'));
    cpSync(dirname(BIN), join(dir, 'bin'), { recursive: true });
    if (isCheckout) mkdirSync(join(dir, 'src'));
    const result = spawnSync(process.execPath, [join(dir, 'bin/mainstay.js'), 'up'], {
      encoding: 'utf8',
    });
    rmSync(dir, { recursive: true });
    return { code: result.status, stdout: result.stdout, stderr: result.stderr };
  }

  it('prints how to build a checkout that is not built', () => {
    const { code, stderr } = runWithoutDist(true);
    expect(code).equal(1);
    expect(stderr).contain('npm run build');
  });

  it('names no build to users without a checkout', () => {
    const { code, stderr } = runWithoutDist(false);
    expect(code).equal(1);
    expect(stderr).contain('install the package again');
    expect(stderr).not.match(/npm (run|start)|checkout/);
  });

  it('fits its help to 80 columns', () => {
    for (const args of [
      ['--help'],
      ['up', '--help'],
      ['down', '--help'],
      ['image', 'load', '--help'],
      ['wal', 'repair', '--help'],
      ['server', '--help'],
    ]) {
      const { stdout } = mainstay(...args);
      for (const line of stdout.split('\n')) expect(line.length, line).most(80);
    }
  });
});
