import { expect } from 'chai';
import { ClientError, EtcdClient } from '../../src/client/client.js';
import {
  type RangeRequestInit,
  type RangeResponse,
  type RequestOpInit,
  type ResponseOp,
  type TxnRequestInit,
} from '../../src/gen/rpc.js';
import { Random, testSeed } from '../gen/plain.js';
import {
  etcdProgram,
  skipWithout,
  startCluster,
  versionOf,
  type TestCluster,
} from '../support/servers.js';
import { bytes } from './support/targets.js';
import { WatchStream } from './support/watch.js';

/** The same random history and requests must get the same answers here and from a real etcd, from the first revision on. */

const STEPS = 1500;
const LEASES = [11n, 12n, 2n ** 63n - 1n];
const KEYS = ['a', 'b', 'bb', 'b\0', 'c', 'd', 'ÿ', 'ÿÿ', '\0'];
const VALUES = ['', '1', '2', '10', 'long'.repeat(20)];
const MAX_DEPTH = 2;
const SORT_KEY = 0;

type Request =
  | { readonly kind: 'range'; readonly request: RangeRequestInit }
  | { readonly kind: 'put'; readonly request: NonNullable<RequestOpInit['requestPut']> }
  | { readonly kind: 'delete'; readonly request: NonNullable<RequestOpInit['requestDeleteRange']> }
  | { readonly kind: 'txn'; readonly request: TxnRequestInit }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'grant' | 'revoke'; readonly lease: bigint };

describe('random requests', () => {
  let clusters: TestCluster[] = [];
  let servers: Server[] = [];
  let failed = false;

  before(async function () {
    if (versionOf(etcdProgram(), '--version') === null) skipWithout(this, 'etcd to compare with');
    const options = [
      { kind: 'mainstay', size: 1 },
      { kind: 'mainstay', size: 3 },
      { kind: 'etcd', size: 1 },
    ] as const;
    const starts = await Promise.allSettled(options.map(startCluster));
    // Those that started are stopped at the end, also when another did not.
    clusters = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    const failure = starts.find(({ status }) => status === 'rejected');
    if (failure !== undefined) throw (failure as PromiseRejectedResult).reason;
    servers = clusters.map((cluster) => new Server(cluster));
  });

  afterEach(function () {
    failed ||= this.currentTest?.state === 'failed';
  });

  after(async () => {
    for (const server of servers) server.close();
    await Promise.all(clusters.map((cluster) => cluster.stop(failed)));
  });

  it('get the same answers', async () => {
    const requests = new Requests(new Random(testSeed('requests')));
    const answered = new Map<string, number>();
    let refused = 0;
    for (let step = 0; step < STEPS; step++) {
      const request = requests.next();
      const answers = await Promise.all(servers.map((server) => server.ask(request)));
      const [one = '', three = '', etcd = ''] = answers.map(([answer]) => answer);
      const revision = answers[0]?.[1] ?? 0;
      expect(one, `step ${step}: ${show(request)}`).to.equal(etcd);
      expect(three, `step ${step}, three members: ${show(request)}`).to.equal(etcd);
      if (revision > 0) requests.revision = revision;
      if (revision === 0) refused++;
      else answered.set(request.kind, (answered.get(request.kind) ?? 0) + 1);
    }
    for (const kind of ['range', 'put', 'delete', 'txn', 'compact', 'grant', 'revoke']) {
      expect(answered.get(kind), kind).to.be.greaterThan(0);
    }
    expect(refused).to.be.within(STEPS / 20, STEPS / 2);
  });

  it('leave the same history for watchers and for hashes', async () => {
    const last = await Promise.all(
      servers.map((server) => server.ask({ kind: 'put', request: { key: bytes('last') } })),
    );
    const end = last[0]?.[1] ?? 0;
    expect(last.map(([, revision]) => revision)).to.deep.equal([end, end, end]);
    const clients = servers.flatMap((server) => server.clients);
    // A linearizable read through each member: then all have applied everything.
    await Promise.all(clients.map((client) => client.kv.range({ key: bytes('last') })));
    const hashes = await Promise.all(
      clients.map(async (client) => {
        const { hash, compactRevision } = await client.maintenance.hashKv(0);
        return { hash, compactRevision };
      }),
    );
    for (const hash of hashes) expect(hash).to.deep.equal(hashes[0]);
    const from = hashes[0]?.compactRevision ?? 0;
    for (const prevKv of [false, true]) {
      const [first, ...others] = await Promise.all(
        clients.map((client) => history(client, from + 1, end, prevKv)),
      );
      for (const other of others) expect(other).to.deep.equal(first);
    }
  });
});

/** A server under comparison: requests go through its members in turn. */
class Server {
  readonly clients: readonly EtcdClient[];
  private turn = 0;
  /** Gave the last answer that was no refusal, so it has applied everything so far: serializable reads are asked there. */
  private upToDate = 0;

  constructor(cluster: TestCluster) {
    this.clients = cluster.endpoints.map((endpoint) => new EtcdClient(endpoint));
  }

  async ask(request: Request): Promise<[string, number]> {
    if (mayReadLocally(request)) return ask(this.clients[this.upToDate] as EtcdClient, request);
    const at = this.turn++ % this.clients.length;
    const answer = await ask(this.clients[at] as EtcdClient, request);
    // A refusal may come from a member that has not applied what another acknowledged.
    if (answer[1] > 0) this.upToDate = at;
    return answer;
  }

  close(): void {
    for (const client of this.clients) client.close();
  }
}

/** Also a transaction without operations counts as a serializable read. */
function mayReadLocally(request: Request): boolean {
  if (show(request).includes('"serializable":true')) return true;
  if (request.kind !== 'txn') return false;
  const { success = [], failure = [] } = request.request;
  return success.length + failure.length === 0;
}

/** All events from one revision to another. */
async function history(
  client: EtcdClient,
  from: number,
  to: number,
  prevKv: boolean,
): Promise<string[]> {
  const stream = new WatchStream(client);
  const events: string[] = [];
  try {
    const all = Uint8Array.of(0);
    await stream.create({ key: all, rangeEnd: all, startRevision: from, prevKv });
    for (let last = 0; last < to;) {
      for (const event of (await stream.next((r) => r.events.length > 0)).events) {
        last = event.kv?.modRevision ?? 0;
        events.push(show(event));
      }
    }
  } finally {
    stream.close();
  }
  return events;
}

/** Draws requests that fit a store at `revision`, most of them sensible. */
class Requests {
  revision = 1;
  private readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  next(): Request {
    const n = this.random.below(100);
    if (n < 35) return { kind: 'range', request: this.range() };
    if (n < 60) return { kind: 'put', request: this.put() };
    if (n < 68) return { kind: 'delete', request: this.deleteRange() };
    if (n < 92) return { kind: 'txn', request: this.txn(MAX_DEPTH) };
    // Not at 0: some releases then answer HashKV with a hash of before.
    if (n < 94) {
      const revision = this.someRevision();
      return { kind: 'compact', revision: revision === 0 ? -1 : revision };
    }
    return { kind: n < 98 ? 'grant' : 'revoke', lease: this.random.pick(LEASES) };
  }

  private key(): Uint8Array {
    return this.random.chance(2) ? new Uint8Array(0) : bytes(this.random.pick(KEYS));
  }

  private rangeEnd(): Uint8Array {
    if (this.random.chance(40)) return new Uint8Array(0);
    return this.random.chance(40) ? Uint8Array.of(0) : bytes(this.random.pick(KEYS));
  }

  private someRevision(): number {
    if (this.random.chance(50)) return 0;
    return this.random.below(this.revision + 3) - 1;
  }

  private bound(): number {
    return this.random.chance(85) ? 0 : this.random.below(this.revision + 2);
  }

  private range(): RangeRequestInit {
    return {
      key: this.key(),
      rangeEnd: this.rangeEnd(),
      limit: this.random.chance(60) ? 0 : this.random.below(7) - 1,
      revision: this.someRevision(),
      sortOrder: this.random.below(3),
      sortTarget: this.random.chance(50) ? SORT_KEY : this.random.below(5),
      serializable: this.random.chance(30),
      keysOnly: this.random.chance(20),
      countOnly: this.random.chance(10),
      minModRevision: this.bound(),
      maxModRevision: this.bound(),
      minCreateRevision: this.bound(),
      maxCreateRevision: this.bound(),
    };
  }

  private put(): NonNullable<RequestOpInit['requestPut']> {
    const keepsValue = this.random.chance(8);
    const keepsLease = this.random.chance(8);
    return {
      key: this.key(),
      value: bytes(keepsValue && this.random.chance(90) ? '' : this.random.pick(VALUES)),
      lease: this.random.chance(80) ? 0n : this.random.pick(LEASES),
      prevKv: this.random.chance(50),
      ignoreValue: keepsValue,
      ignoreLease: keepsLease,
    };
  }

  private deleteRange(): NonNullable<RequestOpInit['requestDeleteRange']> {
    return { key: this.key(), rangeEnd: this.rangeEnd(), prevKv: this.random.chance(50) };
  }

  private txn(depth: number): TxnRequestInit {
    const list = <T>(make: () => T, most: number): T[] =>
      Array.from({ length: this.random.below(most + 1) }, make);
    return {
      compare: list(() => this.compare(), 2),
      success: list(() => this.op(depth), 4),
      failure: list(() => this.op(depth), 4),
    };
  }

  private op(depth: number): RequestOpInit {
    const n = this.random.below(100);
    if (n < 35) return { requestRange: this.range() };
    if (n < 70) return { requestPut: this.put() };
    if (n < 85 || depth === 0) {
      const request = this.deleteRange();
      // Older releases crash on a put that keeps what an open-ended delete of the same transaction removed.
      const isOpenEnded = request.rangeEnd?.length === 1 && request.rangeEnd[0] === 0;
      return { requestDeleteRange: isOpenEnded ? { ...request, rangeEnd: bytes('~') } : request };
    }
    return { requestTxn: this.txn(depth - 1) };
  }

  private compare(): NonNullable<TxnRequestInit['compare']>[number] {
    const target = this.random.below(5);
    const number = this.random.below(this.random.chance(50) ? 3 : this.revision + 2);
    return {
      key: this.key(),
      rangeEnd: this.random.chance(70) ? new Uint8Array(0) : this.rangeEnd(),
      target,
      result: this.random.below(4),
      ...[
        { version: number },
        { createRevision: number },
        { modRevision: number },
        { value: bytes(this.random.pick(VALUES)) },
        { lease: this.random.chance(50) ? 0n : this.random.pick(LEASES) },
      ][this.random.chance(95) ? target : this.random.below(5)],
    };
  }
}

/** The answer as text that two servers must agree on, and the store's revision after it. */
async function ask(client: EtcdClient, request: Request): Promise<[string, number]> {
  try {
    const reply = await call(client, request);
    return [show(withoutIds(request, reply)), reply.header?.revision ?? 0];
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return [`${error.code} ${error.message}`, 0];
  }
}

async function call(
  client: EtcdClient,
  request: Request,
): Promise<{ header: { revision: number } | undefined }> {
  switch (request.kind) {
    case 'range':
      return client.kv.range(request.request);
    case 'put':
      return client.kv.put(request.request);
    case 'delete':
      return client.kv.deleteRange(request.request);
    case 'txn':
      return client.kv.txn(request.request);
    case 'compact':
      return client.kv.compact({ revision: request.revision, physical: true });
    case 'grant':
      return client.lease.grant({ ID: request.lease, TTL: 100_000 });
    case 'revoke':
      return client.lease.revoke(request.lease);
  }
}

/** Members have ids of their own; and where a sort leaves the order of rows open, only what is sorted by is kept. */
function withoutIds(request: Request, reply: object): object {
  if (request.kind === 'range') return openOrder(request.request, reply as RangeResponse);
  if (request.kind !== 'txn') return reply;
  const txn = reply as { succeeded: boolean; responses: ResponseOp[] };
  const ops = (txn.succeeded ? request.request.success : request.request.failure) ?? [];
  return { ...reply, responses: txn.responses.map((op, i) => openOrderOp(ops[i], op)) };
}

function openOrderOp(request: RequestOpInit | undefined, op: ResponseOp): object {
  if (request?.requestRange !== undefined && op.responseRange !== undefined) {
    return { responseRange: openOrder(request.requestRange, op.responseRange) };
  }
  if (request?.requestTxn !== undefined && op.responseTxn !== undefined) {
    const nested: Request = { kind: 'txn', request: request.requestTxn };
    return { responseTxn: withoutIds(nested, op.responseTxn) };
  }
  return op;
}

function openOrder(request: RangeRequestInit, reply: RangeResponse): object {
  const target = request.sortTarget ?? SORT_KEY;
  if (target === SORT_KEY) return reply;
  const sortedBy = reply.kvs.map(
    (kv) => [kv.version, kv.createRevision, kv.modRevision, show(kv.value)][target - 1],
  );
  const { header, more, count } = reply;
  // Values that are not shown cannot be compared.
  return {
    header,
    more,
    count,
    rows: request.keysOnly === true && target === 4 ? reply.kvs.length : sortedBy,
  };
}

function show(value: unknown): string {
  return JSON.stringify(value, (name, v: unknown) => {
    if (name === 'clusterId' || name === 'memberId' || name === 'raftTerm') return undefined;
    if (typeof v === 'bigint') return String(v);
    return v instanceof Uint8Array ? Buffer.from(v).toString('latin1') : v;
  });
}
