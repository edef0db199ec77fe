import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import {
  flagsOf,
  freePort,
  occupy,
  ServerProcesses,
  type Running,
} from '../support/server-processes.js';
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
  let processes: ServerProcesses;
  let dir: string;

  beforeEach(() => {
    processes = new ServerProcesses();
    ({ dir } = processes);
  });
  afterEach(() => processes.stop());

  const start = (args: readonly string[]): Running => processes.mainstay(args);
  const flags = (client: number, peer: number, ...more: string[]): string[] =>
    flagsOf('a', client, peer, ...more);

  function entriesOf(running: Running): Record<string, unknown>[] {
    const lines = running.text.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
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
    for (const line of lines) expect(JSON.parse(line)).include.keys('level', 'ts', 'caller', 'msg');
  });

  it('logs its whole configuration once, with the fields of etcd', async () => {
    const [client, peer] = [await freePort(), await freePort()];
    const server = start(flags(client, peer, '--feature-gates=LeaseCheckpoint=true'));
    await until(() => server.text.includes('ready to serve client requests'));
    const starts = entriesOf(server).filter(({ msg }) => msg === 'starting an etcd server');
    expect(starts).have.length(1);
    expect(starts[0]).deep.include({
      'etcd-version': '3.6.16',
      'member-initialized': false,
      name: 'a',
      'member-dir': 'a.etcd/member',
      'heartbeat-interval': '100ms',
      'election-timeout': '1s',
      'listen-client-urls': [`http://127.0.0.1:${client}`],
      'listen-metrics-urls': [],
      cors: ['*'],
      'initial-cluster': `a=http://127.0.0.1:${peer}`,
      'quota-backend-bytes': 2 * 1024 ** 3,
      'feature-gates': 'LeaseCheckpoint=true',
      'auto-compaction-retention': '0s',
    });
  });

  it('outlives SIGUSR1, SIGUSR2, SIGHUP and SIGQUIT, and logs its state', async () => {
    const server = start(flags(await freePort(), await freePort()));
    await until(() => server.text.includes('ready to serve client requests'));
    const log = (msg: string): Record<string, unknown>[] =>
      entriesOf(server).filter((entry) => entry['msg'] === msg);
    await until(() => server.text.includes('became leader'));
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGQUIT'] as const) {
      server.child.kill(signal);
    }
    await until(() => log('state of the process').length === 1);
    await until(() => log('log files were opened anew').length === 1);
    await until(() => log('a signal without a meaning here is ignored').length === 2);
    expect(server.text).not.contain('Debugger listening');
    expect(log('state of the member')[0]).include({ role: 'leader', watchers: 0 });
    expect(log('state of the member')[0]).include.keys('term', 'commit-index', 'proposals-pending');
    expect(log('state of the process')[0]).include.keys(
      'resident-mib',
      'open-descriptors',
      'connections',
      'open-handles',
    );
    server.child.kill('SIGTERM');
    await until(() => server.code !== undefined);
    expect(server.code).equal(0);
  });

  it('writes to a new log file after SIGHUP', async () => {
    const file = join(dir, 'm.log');
    const server = start(flags(await freePort(), await freePort(), `--log-outputs=${file}`));
    const logged = (path: string, text: string): boolean =>
      existsSync(path) && readFileSync(path, 'utf8').includes(text);
    await until(() => logged(file, 'ready to serve client requests'));
    renameSync(file, `${file}.1`);
    server.child.kill('SIGHUP');
    await until(() => logged(file, 'log files were opened anew'));
    expect(logged(`${file}.1`, 'log files were opened anew')).equal(false);
  });

  it('gives the reason as its last words, and in its log file too', async () => {
    const { port, server: holder } = await occupy();
    try {
      const toTerminal = start(flags(port, await freePort()));
      await until(() => toTerminal.code !== undefined);
      expect(toTerminal.text.trimEnd().split('\n').at(-2)).match(
        /^mainstay: cannot start: .*in use/,
      );
      expect(toTerminal.text.trimEnd().split('\n').at(-1)).match(/^ {2}next step: /);
      const file = join(dir, 'm.log');
      const toFile = start(flags(port, await freePort(), `--log-outputs=${file}`));
      await until(() => toFile.code !== undefined);
      const last = readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '';
      expect(JSON.parse(last)).include({ level: 'fatal', msg: 'cannot start' });
      expect(toFile.text).match(/^mainstay: cannot start: .*in use/);
    } finally {
      holder.close();
    }
  });

  it('serves although its log is on a full disk', async () => {
    const client = await freePort();
    const server = start(flags(client, await freePort(), '--log-outputs=/dev/full'));
    await until(async () => {
      if (server.code !== undefined) throw new Error(server.text);
      return fetch(`http://127.0.0.1:${client}/health`).then(
        (answer) => answer.status === 200,
        () => false,
      );
    });
    server.child.kill('SIGTERM');
    await until(() => server.code !== undefined);
    expect(server.code).equal(0);
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
