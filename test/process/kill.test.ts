import { expect } from 'chai';
import { EtcdClient } from '../../src/client/client.js';
import type { Event } from '../../src/gen/kv.js';
import { decodeWatchResponse, encodeWatchRequest } from '../../src/gen/rpc.js';
import { startCluster, until, type TestCluster, type TestServer } from '../support/servers.js';
import { isAlive } from '../support/processes.js';

/**
 * Real processes: three members under writes, killed with kill -9 at random moments and paused with
 * SIGSTOP. Every acknowledged write must be on every member afterwards, and a watch must have
 * delivered each change once, in order. SEED chooses the order of faults, KILLS how many.
 */
const KILLS = Number(process.env['KILLS'] ?? 30);
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
const WRITERS = 4;
const KEYS_PER_WRITER = 25;

interface Written {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

function random(seed: number): () => number {
  let state = Math.max(1, seed >>> 0);
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x100000000;
  };
}

/** Writes one value after the other, to whichever member answers, and remembers what was acknowledged. */
class Writer {
  readonly acknowledged: Written[] = [];
  /** Values whose fate is unknown: each may or may not appear. */
  readonly unknown = new Set<string>();
  private stopped = false;
  private readonly clients: EtcdClient[];
  private readonly id: number;

  constructor(id: number, endpoints: readonly string[]) {
    this.id = id;
    this.clients = endpoints.map((e) => new EtcdClient(e));
  }

  async run(): Promise<void> {
    for (let n = 0; !this.stopped; n++) {
      const key = `w${this.id}/k${n % KEYS_PER_WRITER}`;
      const value = `${this.id}.${n}`;
      const client = this.clients[n % this.clients.length] as EtcdClient;
      try {
        const reply = await client.kv.put(
          { key: Buffer.from(key), value: Buffer.from(value) },
          { timeoutMs: 2000 },
        );
        this.acknowledged.push({ key, value, revision: reply.header?.revision ?? 0 });
      } catch {
        // Refused, timed out or cut off: the write may still have happened.
        this.unknown.add(value);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  stop(): void {
    this.stopped = true;
  }

  close(): void {
    for (const client of this.clients) client.close();
  }
}

/** Watches everything from revision 1, resuming on another member whenever a stream breaks. */
class Observer {
  readonly events: Event[] = [];
  problem = '';
  /** An empty store is at revision 1; the first change makes revision 2. */
  private next = 2;
  private stopped = false;
  private readonly clients: EtcdClient[];
  private stream: ReturnType<EtcdClient['stream']> | null = null;

  constructor(endpoints: readonly string[]) {
    this.clients = endpoints.map((e) => new EtcdClient(e));
  }

  async run(): Promise<void> {
    for (let i = 0; !this.stopped; i++) {
      await this.follow(this.clients[i % this.clients.length] as EtcdClient);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  private follow(client: EtcdClient): Promise<void> {
    return new Promise((resolve) => {
      const stream = client.stream('/etcdserverpb.Watch/Watch');
      this.stream = stream;
      stream.on('data', (bytes: Uint8Array) => this.onResponse(decodeWatchResponse(bytes)));
      stream.on('error', () => resolve());
      stream.on('end', () => resolve());
      stream.write(
        encodeWatchRequest({
          createRequest: {
            key: Buffer.from('\0'),
            rangeEnd: Buffer.from('\0'),
            startRevision: this.events.length === 0 ? 1 : this.next,
          },
        }),
      );
    });
  }

  private onResponse(r: ReturnType<typeof decodeWatchResponse>): void {
    for (const e of r.events) {
      const revision = e.kv?.modRevision ?? 0;
      if (revision !== this.next) {
        this.problem ||= `revision ${revision} came where ${this.next} was due`;
      }
      this.events.push(e);
      this.next = revision + 1;
    }
  }

  get lastRevision(): number {
    return this.next - 1;
  }

  stop(): void {
    this.stopped = true;
    this.stream?.cancel();
    for (const client of this.clients) client.close();
  }
}

describe('three members killed at random', function () {
  this.timeout(10 * 60_000);
  let cluster: TestCluster;

  before(async () => {
    cluster = await startCluster({
      kind: 'mainstay',
      size: 3,
      // Small numbers, so that log compaction and snapshots to followers happen within the run.
      flags: { 'snapshot-count': '500', 'snapshot-catchup-entries': '100' },
    });
  });

  after(async function () {
    await cluster.stop(this.currentTest?.state === 'failed');
  });

  /** The member that leads, by its own status; null while none does. */
  async function leaderIndex(): Promise<number | null> {
    for (const [i, member] of cluster.members.entries()) {
      const client = new EtcdClient(member.endpoint);
      try {
        const status = await client.maintenance.status({ timeoutMs: 500 });
        if (status.leader !== 0n && status.leader === status.header?.memberId) return i;
      } catch {
        // Down or paused: ask the next.
      } finally {
        client.close();
      }
    }
    return null;
  }

  async function signal(member: TestServer, name: NodeJS.Signals): Promise<void> {
    if (member.pid !== undefined) process.kill(member.pid, name);
    return Promise.resolve();
  }

  it(`loses nothing it acknowledged over ${KILLS} kills`, async () => {
    console.log(`      SEED=${SEED} KILLS=${KILLS}`);
    const next = random(SEED);
    const writers = Array.from({ length: WRITERS }, (_, i) => new Writer(i, cluster.endpoints));
    const observer = new Observer(cluster.endpoints);
    const writing = writers.map((w) => w.run());
    const watching = observer.run();

    for (let kill = 0; kill < KILLS; kill++) {
      await new Promise((resolve) => setTimeout(resolve, 100 + next() * 900));
      const leader = await leaderIndex();
      const victim = cluster.member(
        leader !== null && next() < 0.5 ? leader : Math.floor(next() * 3),
      );
      if (kill % 5 === 4) {
        // A paused member wakes up with its timers due and must not act as leader.
        await signal(victim, 'SIGSTOP');
        await new Promise((resolve) => setTimeout(resolve, 500 + next() * 2500));
        await signal(victim, 'SIGCONT');
      }
      await victim.kill('SIGKILL');
      if (next() < 0.15) {
        const second = cluster.member(Math.floor(next() * 3));
        await second.kill('SIGKILL');
        second.start();
      }
      await new Promise((resolve) => setTimeout(resolve, next() * 800));
      if (victim.pid === undefined || !isAlive(victim.pid)) victim.start();
    }
    await Promise.all(cluster.members.map((m) => m.healthy()));
    for (const w of writers) w.stop();
    await Promise.all(writing);

    await verify(writers, observer);
    await watching;
  });

  async function verify(writers: readonly Writer[], observer: Observer): Promise<void> {
    const clients = cluster.endpoints.map((e) => new EtcdClient(e));
    try {
      const tip = await clients[0]?.kv.range({ key: Buffer.from('tip') });
      const revision = tip?.header?.revision ?? 0;
      await until('the watch has told everything', () =>
        observer.lastRevision >= revision ? true : null,
      );
      observer.stop();
      expect(observer.problem).to.equal('');
      expect(observer.events.length).to.equal(revision - 1);

      const told = new Map(
        observer.events.map((e) => [
          e.kv?.modRevision ?? 0,
          `${text(e.kv?.key)}=${text(e.kv?.value)}`,
        ]),
      );
      const acknowledged = writers.flatMap((w) => w.acknowledged);
      const missing = acknowledged.filter((a) => told.get(a.revision) !== `${a.key}=${a.value}`);
      expect(missing).to.deep.equal([]);
      expect(acknowledged.length).to.be.greaterThan(20 * KILLS);
      console.log(
        `      ${acknowledged.length} acknowledged, ${writers.reduce((n, w) => n + w.unknown.size, 0)} unknown, ${revision} revisions`,
      );

      const hashes = await Promise.all(clients.map((c) => sameHash(c, revision)));
      expect(new Set(hashes).size).to.equal(1);
      for (const client of clients) await expectState(client, revision, observer.events);
    } finally {
      observer.stop();
      for (const client of clients) client.close();
      for (const w of writers) w.close();
    }
  }

  async function sameHash(client: EtcdClient, revision: number): Promise<number> {
    await until('the member has applied everything', async () => {
      const { header } = await client.kv.range({ key: Buffer.from('tip') });
      return (header?.revision ?? 0) >= revision ? true : null;
    });
    return (await client.maintenance.hashKv(revision)).hash;
  }

  /** The member's own, local state at the last revision is what the events add up to. */
  async function expectState(
    client: EtcdClient,
    revision: number,
    events: readonly Event[],
  ): Promise<void> {
    const expected = new Map<string, string>();
    for (const e of events) expected.set(text(e.kv?.key), text(e.kv?.value));
    const reply = await client.kv.range({
      key: Buffer.from('\0'),
      rangeEnd: Buffer.from('\0'),
      revision,
      serializable: true,
    });
    const got = new Map(reply.kvs.map((kv) => [text(kv.key), text(kv.value)]));
    expect([...got].sort()).to.deep.equal([...expected].sort());
  }
});

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? new Uint8Array(0)).toString('latin1');
}
