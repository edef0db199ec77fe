import { expect } from 'chai';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EtcdClient } from '../../src/client/client.js';
import { contentOf } from '../support/content.js';
import {
  ServerProcesses,
  fingerprint,
  flagsOf,
  freePort,
  occupy,
  type Running,
} from '../support/server-processes.js';
import {
  CLIENT_ENV,
  etcdProgram,
  etcdctlProgram,
  skipWithout,
  versionOf,
} from '../support/servers.js';
import { until } from '../support/until.js';

const READY = 'ready to serve client requests';

describe('a start', function () {
  this.timeout(120_000);
  let servers: ServerProcesses;
  let data: string;

  beforeEach(() => {
    servers = new ServerProcesses();
    data = join(servers.dir, 'new', 'data');
  });
  afterEach(() => servers.stop());

  async function ready(running: Running): Promise<Running> {
    await until(() => running.text.includes(READY) || running.code !== undefined);
    if (running.code !== undefined) throw new Error(`it ended: ${running.text}`);
    return running;
  }

  async function startMember(...more: string[]): Promise<Running & { readonly port: number }> {
    const port = await freePort();
    const flags = flagsOf('a', port, await freePort(), `--data-dir=${data}`, ...more);
    return Object.assign(await ready(servers.mainstay(flags)), { port });
  }

  describe('that fails', () => {
    for (const flag of ['listen-peer-urls', 'listen-client-urls', 'listen-metrics-urls']) {
      it(`for a taken port of --${flag} leaves nothing, so corrected flags count`, async () => {
        const { port, server } = await occupy();
        const [client, peer] = [await freePort(), await freePort()];
        const flags = flagsOf('a', client, peer, `--data-dir=${data}`);
        const wrong = [...flags, `--${flag}=http://127.0.0.1:${port}`];
        const peerUrl = `--initial-advertise-peer-urls=http://127.0.0.1:1`;
        const cluster = '--initial-cluster=a=http://127.0.0.1:1';
        expect(await servers.refusal([...wrong, peerUrl, cluster])).contain('is already in use');
        server.close();
        expect(existsSync(join(servers.dir, 'new'))).equal(false);

        await ready(servers.mainstay(flags));
        const members = await (await fetch(`http://127.0.0.1:${peer}/members`)).json();
        expect(members).to.have.nested.property('[0].peerURLs[0]', `http://127.0.0.1:${peer}`);
      });
    }

    it('after the directory was made leaves none, and an empty one empty', async () => {
      writeFileSync(join(servers.dir, 'file'), '');
      const flags = flagsOf('a', await freePort(), await freePort(), `--data-dir=${data}`);
      const wrong = [...flags, `--wal-dir=${join(servers.dir, 'file', 'wal')}`];
      expect(await servers.refusal(wrong)).contain('is not a directory');
      expect(existsSync(join(servers.dir, 'new'))).equal(false);
      mkdirSync(join(data, 'member'), { recursive: true });
      await servers.refusal(wrong);
      expect(readdirSync(join(data, 'member'))).deep.equal([]);
    });

    it('after the state of a new member was written leaves none of it', async () => {
      const wal = join(servers.dir, 'wal');
      // A directory where the log prepares its first segment.
      mkdirSync(join(wal, 'spare.tmp'), { recursive: true });
      const flags = flagsOf('a', await freePort(), await freePort(), `--data-dir=${data}`);
      const text = await servers.refusal([...flags, `--wal-dir=${wal}`]);
      expect(text).contain(`the data directory ${data} cannot be used`);
      expect(existsSync(join(servers.dir, 'new'))).equal(false);
      expect(readdirSync(wal)).deep.equal(['spare.tmp']);
    });

    it('prints the reason last, in two lines', async () => {
      const { port, server } = await occupy();
      const flags = flagsOf('a', port, await freePort(), `--data-dir=${data}`);
      const lines = (await servers.refusal(flags)).trimEnd().split('\n');
      server.close();
      expect(lines.at(-2)).match(/^mainstay: cannot start: .* is already in use/);
      expect(lines.at(-1)).match(/^ {2}next step: /);
    });
  });

  describe('on a directory in use', () => {
    it('names the process and touches nothing, also of a process without a mark', async () => {
      const first = await startMember();
      const member = join(data, 'member');
      const mark = readdirSync(member).find((name) => name.startsWith('lock-')) ?? '';
      const flags = flagsOf('a', await freePort(), await freePort(), `--data-dir=${data}`);
      for (const isMarked of [true, false]) {
        if (!isMarked) rmSync(join(member, mark));
        const before = readdirSync(data, { recursive: true }).sort();
        const text = await servers.refusal(flags);
        expect(text).contain(
          `is in use by process ${first.child.pid ?? 0}; nothing in it was touched`,
        );
        expect(readdirSync(data, { recursive: true }).sort()).deep.equal(before);
      }
    });

    it('goes on after kill -9, and removes the mark that was left', async () => {
      const first = await startMember();
      await servers.end(first, 'SIGKILL');
      const marks = (): string[] =>
        readdirSync(join(data, 'member')).filter((name) => name.startsWith('lock-'));
      const [left] = marks();
      const second = await startMember();
      expect(marks()).to.have.length(1).and.not.include(left);
      await servers.end(second);
      expect(marks()).deep.equal([]);
    });
  });

  it('refuses damaged files of LevelDB with finding, consequence and next step', async () => {
    await servers.end(await startMember());
    const db = join(data, 'member', 'db-0000000000000000');
    const manifest = readdirSync(db).find((name) => name.startsWith('MANIFEST')) ?? '';
    const whole = readFileSync(join(db, manifest));
    const flags = flagsOf('a', await freePort(), await freePort(), `--data-dir=${data}`);
    const damages: Record<string, () => void> = {
      'other bytes': () => writeFileSync(join(db, manifest), Buffer.alloc(whole.length, 7)),
      'no MANIFEST': () => rmSync(join(db, manifest)),
    };
    for (const [what, damage] of Object.entries(damages)) {
      damage();
      const text = await servers.refusal(flags);
      expect(text, what)
        .match(/the state .* is damaged/)
        .and.match(/next step: [\s\S]*backup/)
        .and.not.match(/Database failed to open|unexpected error|\n {4}at /);
      writeFileSync(join(db, manifest), whole);
    }
    await ready(servers.mainstay(flags));
  });

  it('judges an entry by no limit for new requests', async () => {
    const first = await startMember('--max-request-bytes=10485760');
    const client = new EtcdClient(`127.0.0.1:${first.port}`);
    await client.kv.put({ key: Buffer.from('big'), value: Buffer.alloc(5 << 20, 97) });
    client.close();
    await servers.end(first, 'SIGKILL');
    const again = await startMember();
    const reader = new EtcdClient(`127.0.0.1:${again.port}`);
    const reply = await reader.kv.range({ key: Buffer.from('big') });
    reader.close();
    expect(reply.kvs[0]?.value.length).equal(5 << 20);
  });

  it('is ready only once there is a leader', async () => {
    const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    const [clientA, peerA, clientB, peerB] = ports;
    const cluster = `--initial-cluster=a=http://127.0.0.1:${peerA},b=http://127.0.0.1:${peerB}`;
    const a = servers.mainstay(flagsOf('a', clientA, peerA, `--data-dir=${data}`, cluster));
    await until(async () => (await statusOf(clientA)) === 503);
    expect(a.text).not.contain(READY);
    const other = `--data-dir=${join(servers.dir, 'b')}`;
    const b = servers.mainstay(flagsOf('b', clientB, peerB, other, cluster));
    await Promise.all([ready(a), ready(b)]);
    expect(await statusOf(clientA)).equal(200);
  });

  it('waits where another cluster serves its peer URL, so a cluster is rebuilt member by member', async () => {
    const names = ['a', 'b', 'c'];
    const clients = await Promise.all(names.map(() => freePort()));
    const peers = await Promise.all(names.map(() => freePort()));
    const cluster = names.map((name, i) => `${name}=http://127.0.0.1:${peers[i] ?? 0}`).join();
    const start = (i: number, token: string): Running =>
      servers.mainstay(
        flagsOf(
          names[i] ?? '',
          clients[i] ?? 0,
          peers[i] ?? 0,
          `--data-dir=${join(servers.dir, `${token}-${i}`)}`,
          `--initial-cluster=${cluster}`,
          `--initial-cluster-token=${token}`,
        ),
      );
    const old = names.map((_, i) => start(i, 'old'));
    await Promise.all(old.map(ready));
    const renewed: Running[] = [];
    for (const [i, member] of old.entries()) {
      await servers.end(member);
      const next = start(i, 'renewed');
      renewed.push(next);
      await until(async () => (await statusOf(clients[i] ?? 0)) !== 0);
      expect(next.code, next.text).equal(undefined);
    }
    await Promise.all(renewed.map(ready));
    const ids = await Promise.all(
      peers.map(async (port) =>
        (await fetch(`http://127.0.0.1:${port}/members`)).headers.get('x-etcd-cluster-id'),
      ),
    );
    expect(new Set(ids).size).equal(1);
  });

  describe('on the directory of a real etcd', () => {
    it('is refused, and nothing in it is changed or made', async function () {
      if (versionOf(etcdProgram(), '--version') === null) return skipWithout(this, 'etcd');
      const port = await freePort();
      const etcd = servers.run(
        etcdProgram(),
        flagsOf('a', port, await freePort(), `--data-dir=${data}`),
        { ...CLIENT_ENV, ETCD_UNSUPPORTED_ARCH: process.arch },
      );
      await until(async () => (await statusOf(port)) === 200);
      await servers.end(etcd);
      const before = fingerprint(data);
      const flags = flagsOf('a', await freePort(), await freePort(), `--data-dir=${data}`);
      const text = await servers.refusal(flags);
      expect(text).contain(`${data} is the data directory of an etcd member`);
      expect(text).contain('make-mirror').and.not.contain('wal repair');
      expect(fingerprint(data)).deep.equal(before);

      const separate = `--wal-dir=${join(data, 'member', 'wal')}`;
      const moved = `--data-dir=${join(servers.dir, 'other')}`;
      const elsewhere = await servers.refusal([...flags, moved, separate]);
      expect(elsewhere).contain('is the data directory of an etcd member');
      expect(fingerprint(data)).deep.equal(before);
    });

    it('names a way that works: make-mirror copies every key', async function () {
      const isThere = versionOf(etcdProgram(), '--version') !== null;
      if (!isThere || versionOf(etcdctlProgram(), 'version') === null)
        return skipWithout(this, 'etcd and etcdctl');
      const [port, target] = [await freePort(), await startMember()];
      servers.run(
        etcdProgram(),
        flagsOf('e', port, await freePort(), `--data-dir=${join(servers.dir, 'etcd')}`),
        { ...CLIENT_ENV, ETCD_UNSUPPORTED_ARCH: process.arch },
      );
      await until(async () => (await statusOf(port)) === 200);
      const source = new EtcdClient(`127.0.0.1:${port}`);
      const copy = new EtcdClient(`127.0.0.1:${target.port}`);
      for (let i = 0; i < 20; i++) {
        await source.kv.put({ key: Buffer.from(`k${i}`), value: Buffer.from(`v${i}`) });
      }
      const args = [`--endpoints=127.0.0.1:${port}`, 'make-mirror', `127.0.0.1:${target.port}`];
      servers.run(etcdctlProgram(), args, CLIENT_ENV);
      await until(async () => (await contentOf(copy)).kvs.length === 20);
      source.close();
      copy.close();
    });
  });
});

/** The status of /health; 0 without an answer. */
async function statusOf(port: number): Promise<number> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/health`)).status;
  } catch {
    return 0;
  }
}
