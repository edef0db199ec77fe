import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { until } from '../support/until.js';

const ENTRY = fileURLToPath(new URL('../support/mainstay-main.ts', import.meta.url));
// The server runs in a directory of its own, from which the name alone would not be found.
const TSX = import.meta.resolve('tsx');

/** Changes the name that the member published of itself, in the middle of its log. */
function damageFirstCommand(path: string): void {
  const bytes = readFileSync(path);
  const at = bytes.indexOf('http://', 1);
  if (at < 0) throw new Error(`${path} holds no command that names a URL`);
  bytes[at] = 0x58;
  writeFileSync(path, bytes);
}

describe('mainstay server', () => {
  let dir: string;
  const children: ChildProcess[] = [];

  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'server-process-test-'))));
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  });

  interface Running {
    readonly child: ChildProcess;
    text: string;
    code: number | null | undefined;
  }

  function start(args: readonly string[]): Running {
    const child = spawn(process.execPath, ['--import', TSX, ENTRY, 'server', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: dir,
    });
    children.push(child);
    const running: Running = { child, text: '', code: undefined };
    const collect = (chunk: Buffer): void => {
      running.text += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('close', (code) => (running.code = code));
    return running;
  }

  function occupy(): Promise<{ port: number; server: Server }> {
    const server = createServer();
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () =>
        resolve({ port: (server.address() as AddressInfo).port, server }),
      );
    });
  }

  async function freePort(): Promise<number> {
    const { port, server } = await occupy();
    await new Promise((resolve) => server.close(resolve));
    return port;
  }

  function flags(client: number, peer: number, ...more: string[]): string[] {
    const peerUrl = `http://127.0.0.1:${peer}`;
    const clientUrl = `http://127.0.0.1:${client}`;
    return [
      '--name=a',
      `--listen-client-urls=${clientUrl}`,
      `--advertise-client-urls=${clientUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      ...more,
    ];
  }

  it('serves until a signal, then stops with exit code 0', async () => {
    const client = await freePort();
    const server = start(flags(client, await freePort()));
    await until(() => server.text.includes('ready to serve client requests'));
    await until(async () => (await fetch(`http://127.0.0.1:${client}/health`)).status === 200);
    server.child.kill('SIGTERM');
    await until(() => server.code !== undefined);
    expect(server.code).equal(0);
    const lines = server.text.trimEnd().split('\n');
    for (const line of lines) expect(JSON.parse(line)).include.keys('level', 'ts', 'msg');
  });

  it('names the port that is taken', async () => {
    const { port, server } = await occupy();
    try {
      const client = start(flags(port, await freePort()));
      await until(() => client.code !== undefined);
      expect(client.code).equal(1);
      expect(client.text).contain(`http://127.0.0.1:${port} is already in use`);
      expect(client.text).contain('--listen-client-urls');
      const peer = start(flags(await freePort(), port));
      await until(() => peer.code !== undefined);
      expect(peer.code).equal(1);
      expect(peer.text).contain('--listen-peer-urls');
    } finally {
      server.close();
    }
  });

  it('names the data directory it cannot use', async () => {
    // Permissions would not do: for root every directory is writable.
    const data = join(dir, 'file', 'data');
    writeFileSync(join(dir, 'file'), '');
    const server = start(flags(await freePort(), await freePort(), `--data-dir=${data}`));
    await until(() => server.code !== undefined);
    expect(server.code).equal(1);
    expect(server.text).contain(`the data directory ${data} is not a directory`);
  });

  it('refuses a damaged log, and starts again after it was repaired', async () => {
    const [client, peer] = [await freePort(), await freePort()];
    const data = join(dir, 'data');
    const args = flags(client, peer, `--data-dir=${data}`);
    const first = start(args);
    await until(() => first.text.includes('became leader'));
    await until(async () => (await fetch(`http://127.0.0.1:${client}/health`)).status === 200);
    first.child.kill('SIGTERM');
    await until(() => first.code !== undefined);

    const wal = join(data, 'member/wal');
    damageFirstCommand(join(wal, readdirSync(wal)[0] ?? ''));
    const damaged = start(args);
    await until(() => damaged.code !== undefined);
    expect(damaged.code).equal(1);
    expect(damaged.text).contain('the write-ahead log is damaged');
    expect(damaged.text).contain(`mainstay wal repair --data-dir ${data}`);

    const repair = spawnSync(
      process.execPath,
      ['--import', TSX, ENTRY, 'wal', 'repair', '--data-dir', data],
      { encoding: 'utf8' },
    );
    expect(repair.stdout).contain('The member can be started again.');
    expect(repair.status).equal(0);
    const again = start(args);
    await until(() => again.text.includes('became leader'));
    const locked = spawnSync(
      process.execPath,
      ['--import', TSX, ENTRY, 'wal', 'repair', '--data-dir', data],
      { encoding: 'utf8' },
    );
    expect(locked.status).equal(1);
    expect(locked.stderr).contain(`is in use by process ${again.child.pid ?? 0}`);
  });

  it('refuses an initial cluster without itself, but only while it has no data', async () => {
    const [client, peer] = [await freePort(), await freePort()];
    const wrong = '--initial-cluster=b=http://127.0.0.1:1';
    const refused = start(flags(client, peer, wrong));
    await until(() => refused.code !== undefined);
    expect(refused.code).equal(1);
    expect(refused.text).contain('couldn\'t find local name "a"');

    const first = start(flags(client, peer));
    await until(() => first.text.includes('ready to serve'));
    first.child.kill('SIGINT');
    await until(() => first.code !== undefined);
    const second = start(flags(client, peer, wrong));
    await until(() => second.text.includes('ready to serve'));
  });
});
