import {
  decodeDeleteRangeResponse,
  decodeLeaseGrantResponse,
  decodeLeaseKeepAliveResponse,
  decodePutResponse,
  decodeRangeResponse,
  decodeTxnResponse,
  decodeWatchResponse,
  encodeCompactionRequest,
  encodeDeleteRangeRequest,
  encodeLeaseGrantRequest,
  encodeLeaseKeepAliveRequest,
  encodeLeaseRevokeRequest,
  encodePutRequest,
  encodeRangeRequest,
  encodeTxnRequest,
  encodeWatchRequest,
  type WatchResponse,
} from '../../src/gen/rpc.js';
import type { Timer } from '../../src/base/env/env.js';
import { LocalCaller } from '../../src/rpc/local-call.js';
import type { LocalStream } from '../../src/rpc/local-call.js';
import { RpcError } from '../../src/rpc/service.js';
import type { ServiceTable } from '../../src/rpc/service.js';
import type { Checker, ModelChange } from './checker.js';
import type { Host } from './host.js';
import type { Random, Scheduler } from './scheduler.js';

/**
 * Simulated clients. They call the service handlers with encoded messages, as a transport would,
 * and judge every answer against the shared history. I11: reads are not older than earlier
 * acknowledgements. I13: answers fit one order of revisions. I15, I16: watches are ordered,
 * complete and without repeats. I20: leases do not expire early.
 */

const CLIENT_TIMEOUT_MS = 12_000;
/** A few answers to a watch: a client that is slower than its events fills this often. */
const STREAM_BYTES = 512;
const text = (s: string): Uint8Array => Buffer.from(s, 'latin1');

type Outcome = (error: RpcError | null, reply: Uint8Array | null) => void;

/** Sends one unary request to a host's process; `done` runs once, with neither when the client gives up waiting. */
export function callUnary(
  scheduler: Scheduler,
  host: Host,
  path: string,
  request: Uint8Array,
  done: Outcome,
): void {
  let ended = false;
  const end: Outcome = (error, reply) => {
    if (ended) return;
    ended = true;
    done(error, reply === null ? null : Uint8Array.from(reply));
  };
  scheduler.after(CLIENT_TIMEOUT_MS, () => end(null, null));
  host.process()(() => {
    if (host.table === null) return;
    callerFor(host.table, scheduler).unary(path, request, { peer: 'sim' }, (outcome) => {
      if (outcome instanceof RpcError) end(outcome, null);
      else end(null, outcome);
    });
  });
}

/** Makes calls on a host's services; they have no deadline, so that only the time is asked for. */
function callerFor(table: ServiceTable, scheduler: Scheduler): LocalCaller {
  const clock = { monoMs: () => scheduler.now, wallMs: () => scheduler.now };
  const after = (ms: number, callback: () => void): Timer => ({
    cancel: scheduler.after(ms, callback),
  });
  return new LocalCaller({ table, env: { clock, after, defer: (run) => scheduler.after(0, run) } });
}

export interface Load {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly checker: Checker;
  readonly hosts: readonly Host[];
  /** Highest revision any client has seen acknowledged or read: the floor for what begins later. */
  floor: number;
  acknowledged: number;
  unknown: number;
  /** Refusals by text. */
  readonly refused: Map<string, number>;
  watchEvents: number;
}

const KEYS = 12;
const MEAN_THINK_MS = 30;

function keyName(random: Random): string {
  return random.chance(0.4) ? `hot${random.below(2)}` : `k${random.below(KEYS)}`;
}

/** A client that issues one request at a time, each to a host of its choice. */
export class Writer {
  private readonly load: Load;
  private readonly name: string;
  private sequence = 0;
  private leases: { readonly id: bigint; readonly ttlSec: number }[] = [];
  stopped = false;

  constructor(load: Load, name: string) {
    this.load = load;
    this.name = name;
  }

  start(): void {
    this.pause();
  }

  private pause(): void {
    const { scheduler, random } = this.load;
    if (this.stopped) return;
    scheduler.after(random.exponential(MEAN_THINK_MS), () => this.issue());
  }

  private issue(): void {
    const { random, hosts } = this.load;
    const host = random.pick(hosts);
    if (!host.isRunning) return this.pause();
    const draw = random.unit();
    if (draw < 0.4) this.put(host);
    else if (draw < 0.6) this.txn(host);
    else if (draw < 0.85) this.range(host);
    else if (draw < 0.92) this.deleteKey(host);
    else if (draw < 0.97) this.lease(host);
    else this.compact(host);
  }

  private send(
    host: Host,
    path: string,
    request: Uint8Array,
    onReply: (reply: Uint8Array, floor: number) => void,
  ): void {
    const { load } = this;
    const { floor } = load;
    callUnary(load.scheduler, host, path, request, (error, reply) => {
      if (reply !== null) {
        load.acknowledged++;
        onReply(reply, floor);
      } else if (error === null) {
        load.unknown++;
      } else {
        load.refused.set(error.message, (load.refused.get(error.message) ?? 0) + 1);
      }
      this.pause();
    });
  }

  /** A change acknowledged at `revision` must be newer than everything acknowledged before it began (I13). */
  private acknowledge(what: string, revision: number, floor: number, changes: boolean): void {
    const { checker } = this.load;
    if (changes ? revision <= floor : revision < floor) {
      checker.fail(
        'I13 real-time order',
        `${this.name}: ${what} at revision ${revision}, but ${floor} was known before it began`,
      );
    }
    this.load.floor = Math.max(this.load.floor, revision);
  }

  private value(): string {
    return `${this.name}.${++this.sequence}`;
  }

  private expectChange(revision: number, key: string, value: string): void {
    const changes = this.load.checker.history.get(revision);
    if (changes?.some((c) => c.key === key && c.type === 'put' && c.value === value) !== true) {
      this.load.checker.fail(
        'I14 acknowledged is applied',
        `${this.name}: put of ${key}=${value} acknowledged at ${revision} is not in the history`,
      );
    }
  }

  private put(host: Host): void {
    const { random } = this.load;
    const key = keyName(random);
    const value = this.value();
    const lease =
      this.leases.length > 0 && random.chance(0.3) ? random.pick(this.leases) : undefined;
    const request = encodePutRequest({
      key: text(key),
      value: text(value),
      lease: lease?.id ?? 0n,
    });
    this.send(host, '/etcdserverpb.KV/Put', request, (reply, floor) => {
      const revision = decodePutResponse(reply).header?.revision ?? 0;
      this.acknowledge(`put ${key}`, revision, floor, true);
      this.expectChange(revision, key, value);
    });
  }

  /** Compare-and-swap on the version the client read last, with a read in the other branch. */
  private txn(host: Host): void {
    const { random, checker } = this.load;
    const key = keyName(random);
    const other = keyName(random);
    const value = this.value();
    const believed = checker.stateAt(checker.maxRevision, key, `${key}\0`)[0]?.mod ?? 0;
    const success = [{ requestPut: { key: text(key), value: text(value) } }];
    if (other !== key) success.push({ requestPut: { key: text(other), value: text(value) } });
    const request = encodeTxnRequest({
      compare: [{ key: text(key), target: 2, result: 0, modRevision: believed }],
      success,
      failure: [{ requestRange: { key: text(key) } }],
    });
    this.send(host, '/etcdserverpb.KV/Txn', request, (reply, floor) => {
      const r = decodeTxnResponse(reply);
      const revision = r.header?.revision ?? 0;
      this.acknowledge(`txn ${key}`, revision, floor, r.succeeded);
      if (!r.succeeded) return;
      this.expectChange(revision, key, value);
      const before = checker.stateAt(revision - 1, key, `${key}\0`)[0]?.mod ?? 0;
      if (before !== believed) {
        checker.fail(
          'I13 compare and swap',
          `txn on ${key} succeeded at ${revision} believing ${believed}, it was ${before}`,
        );
      }
    });
  }

  private deleteKey(host: Host): void {
    const key = keyName(this.load.random);
    const request = encodeDeleteRangeRequest({ key: text(key) });
    this.send(host, '/etcdserverpb.KV/DeleteRange', request, (reply, floor) => {
      const r = decodeDeleteRangeResponse(reply);
      this.acknowledge(`delete ${key}`, r.header?.revision ?? 0, floor, r.deleted > 0);
    });
  }

  private range(host: Host): void {
    const { random, checker } = this.load;
    const serializable = random.chance(0.3);
    const single = random.chance(0.5);
    const start = single ? keyName(random) : 'a';
    const end = single ? `${start}\0` : null;
    const request = encodeRangeRequest({
      key: text(start),
      rangeEnd: single ? new Uint8Array(0) : text('\0'),
      serializable,
    });
    this.send(host, '/etcdserverpb.KV/Range', request, (reply, floor) => {
      const r = decodeRangeResponse(reply);
      const revision = r.header?.revision ?? 0;
      if (!serializable && revision < floor) {
        checker.fail(
          'I11 reads are current',
          `${host.name} reads at ${revision}, ${floor} was acknowledged before`,
        );
      }
      if (!serializable) this.load.floor = Math.max(this.load.floor, revision);
      const expected = checker.stateAt(revision, start, end);
      const got = r.kvs.map(
        (kv) =>
          `${Buffer.from(kv.key).toString('latin1')}=${Buffer.from(kv.value).toString('latin1')}@${kv.modRevision}`,
      );
      const want = expected.map((kv) => `${kv.key}=${kv.value}@${kv.mod}`);
      if (got.join() !== want.join() || r.count !== want.length) {
        checker.fail(
          'I12 reads equal the model',
          `${host.name} at ${revision}: got ${got.join()} want ${want.join()}`,
        );
      }
    });
  }

  private lease(host: Host): void {
    const { random, scheduler } = this.load;
    const known = this.leases.length > 0 ? random.pick(this.leases) : undefined;
    if (known === undefined || random.chance(0.3)) {
      const ttlSec = 2 + random.below(8);
      // The answer may come long after the leader applied the grant: its time runs from the question at the earliest.
      const askedAt = scheduler.now;
      this.send(
        host,
        '/etcdserverpb.Lease/LeaseGrant',
        encodeLeaseGrantRequest({ TTL: ttlSec }),
        (reply) => {
          const r = decodeLeaseGrantResponse(reply);
          this.leases.push({ id: r.ID, ttlSec: r.TTL });
          leaseBook(this.load).granted(r.ID, r.TTL, askedAt);
        },
      );
      return;
    }
    if (random.chance(0.2)) {
      this.leases = this.leases.filter((l) => l !== known);
      leaseBook(this.load).mayGo(known.id);
      this.send(
        host,
        '/etcdserverpb.Lease/LeaseRevoke',
        encodeLeaseRevokeRequest({ ID: known.id }),
        (reply) => void reply,
      );
      return;
    }
    const askedAt = scheduler.now;
    const stream = new ClientStream(
      this.load,
      host,
      '/etcdserverpb.Lease/LeaseKeepAlive',
      (message) => {
        const r = decodeLeaseKeepAliveResponse(message);
        if (r.TTL > 0) leaseBook(this.load).renewed(r.ID, askedAt);
        stream.cancel();
      },
    );
    stream.send(encodeLeaseKeepAliveRequest({ ID: known.id }));
    this.pause();
  }

  private compact(host: Host): void {
    const { random, checker } = this.load;
    const revision = Math.max(1, checker.maxRevision - random.below(20));
    const request = encodeCompactionRequest({ revision });
    this.send(host, '/etcdserverpb.KV/Compact', request, (reply) => void reply);
  }
}

/** One streaming call to a host; gone with the host's process. */
class ClientStream {
  private hasEnded = false;
  private stream: LocalStream | undefined;
  readonly host: Host;
  private readonly member: unknown;
  private readonly run: (callback: () => void) => void;
  private readonly load: Load;
  private readonly receive: (message: Uint8Array) => void;

  constructor(load: Load, host: Host, path: string, receive: (message: Uint8Array) => void) {
    this.load = load;
    this.host = host;
    this.receive = receive;
    this.member = host.member;
    this.run = host.process();
    this.run(() => {
      if (host.table === null) return;
      this.stream = callerFor(host.table, load.scheduler).stream(
        path,
        { peer: 'sim', highWaterBytes: STREAM_BYTES },
        { onMessage: this.onMessage, onEnd: () => (this.hasEnded = true) },
      );
    });
  }

  /** False once the process at the other end is gone. */
  get isAlive(): boolean {
    return !this.hasEnded && this.host.member === this.member && this.member !== null;
  }

  send(request: Uint8Array): void {
    this.run(() => this.stream?.send(request));
  }

  cancel(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.run(() => this.stream?.cancel());
  }

  /** The client reads at its own pace, one message at a time; a slow one lets the stream fill. */
  private readonly onMessage = (message: Uint8Array): void => {
    const { random, scheduler } = this.load;
    const bytes = Uint8Array.from(message);
    this.stream?.pause();
    const delay = random.chance(0.02) ? 500 : random.exponential(2);
    scheduler.after(delay, () => {
      if (!this.isAlive) return;
      this.receive(bytes);
      this.run(() => this.stream?.resume());
    });
  };
}

/** Watches keys from some revision on, over and over, resuming where the last stream broke. */
export class Watcher {
  private readonly load: Load;
  private readonly name: string;
  private readonly start: string;
  private readonly end: string | null;
  /** The next revision not yet seen. */
  private next: number;
  private lastSub = -1;
  private stream: ClientStream | null = null;
  stopped = false;

  constructor(load: Load, name: string) {
    this.load = load;
    this.name = name;
    const single = load.random.chance(0.5);
    this.start = single ? keyName(load.random) : load.random.pick(['a', 'k', 'k3']);
    this.end = single ? `${this.start}\0` : load.random.chance(0.5) ? null : 'k7';
    this.next = 1;
  }

  run(): void {
    const { scheduler, random, hosts } = this.load;
    if (this.stopped) return;
    if (this.stream === null || !this.stream.isAlive || random.chance(0.01)) {
      this.stream?.cancel();
      const host = random.pick(hosts);
      if (host.isRunning) this.open(host);
    }
    scheduler.after(random.between(50, 300), () => this.run());
  }

  private open(host: Host): void {
    const stream = new ClientStream(this.load, host, '/etcdserverpb.Watch/Watch', (message) => {
      if (this.stream === stream) this.onResponse(decodeWatchResponse(message));
    });
    this.stream = stream;
    this.lastSub = -1;
    stream.send(
      encodeWatchRequest({
        createRequest: {
          key: text(this.start),
          rangeEnd:
            this.end === null
              ? text('\0')
              : this.end === `${this.start}\0`
                ? new Uint8Array(0)
                : text(this.end),
          startRevision: this.next,
          prevKv: this.load.random.chance(0.3),
          progressNotify: true,
        },
      }),
    );
  }

  private matches(c: ModelChange): boolean {
    return c.key >= this.start && (this.end === null || c.key < this.end);
  }

  private onResponse(r: WatchResponse): void {
    const { checker } = this.load;
    if (r.compactRevision > 0) {
      // History before the compaction is gone: go on from there.
      if (this.next >= r.compactRevision) {
        checker.fail(
          'I17 resumable',
          `${this.name} from ${this.next} refused as compacted at ${r.compactRevision}`,
        );
      }
      this.next = r.compactRevision;
      this.stream?.cancel();
      this.stream = null;
      return;
    }
    if (r.canceled) {
      this.stream = null;
      return;
    }
    for (const e of r.events) {
      const kv = e.kv;
      if (kv === undefined) continue;
      const mod = kv.modRevision;
      this.load.watchEvents++;
      const expected = this.expectedNext();
      const key = Buffer.from(kv.key).toString('latin1');
      if (expected === undefined || expected.revision !== mod || expected.key !== key) {
        checker.fail(
          'I16 watch complete and unique',
          `${this.name} on [${this.start}, ${this.end ?? ''}) got ${key}@${mod}, expected ${expected === undefined ? 'nothing' : `${expected.key}@${expected.revision}`}`,
        );
        return;
      }
      const value = Buffer.from(kv.value).toString('latin1');
      if ((e.type === 0) !== (expected.type === 'put') || value !== expected.value) {
        checker.fail('I15 watch events', `${this.name} got another change of ${key}@${mod}`);
      }
      this.next = mod;
      this.lastSub = expected.sub;
    }
    if (r.events.length > 0) {
      // All events of one revision come together.
      const rest = this.expectedNext();
      if (rest !== undefined && rest.revision === this.next) {
        checker.fail('I15 watch atomic', `${this.name} got a part of revision ${this.next}`);
      }
      this.next++;
      this.lastSub = -1;
    } else if (!r.created && r.header !== undefined) {
      const missed = this.expectedNext();
      if (missed !== undefined && missed.revision <= r.header.revision) {
        checker.fail(
          'I18 progress',
          `${this.name} told of ${r.header.revision} before ${missed.key}@${missed.revision}`,
        );
      }
    }
  }

  /** The first matching change of the shared history that was not delivered yet. */
  private expectedNext(): ModelChange | undefined {
    const { history, maxRevision } = this.load.checker;
    for (let revision = this.next; revision <= maxRevision; revision++) {
      for (const c of history.get(revision) ?? []) {
        if (revision === this.next && c.sub <= this.lastSub) continue;
        if (this.matches(c)) return c;
      }
    }
    return undefined;
  }

  /** Everything up to the end of history has been delivered. */
  get isCaughtUp(): boolean {
    return this.expectedNext() === undefined;
  }
}

// ---- leases ----

interface LeaseRecord {
  readonly ttlSec: number;
  /** Start of the last request that granted or renewed it for certain. */
  renewedAt: number;
  mayGo: boolean;
}

/** I20: keys go with their lease, and a lease does not end before its time to live has passed since its last renewal. */
class LeaseBook {
  private readonly leases = new Map<bigint, LeaseRecord>();
  private readonly attached = new Map<string, bigint>();
  private readonly load: Load;

  constructor(load: Load) {
    this.load = load;
    load.checker.onRevision = (_revision, changes) => this.onChanges(changes);
  }

  granted(id: bigint, ttlSec: number, askedAt: number): void {
    const known = this.leases.get(id);
    this.leases.set(id, {
      ttlSec,
      renewedAt: known?.renewedAt ?? askedAt,
      mayGo: known?.mayGo ?? false,
    });
  }

  renewed(id: bigint, askedAt: number): void {
    const lease = this.leases.get(id);
    if (lease !== undefined) lease.renewedAt = Math.max(lease.renewedAt, askedAt);
  }

  /** A client asked for its end. */
  mayGo(id: bigint): void {
    const lease = this.leases.get(id);
    if (lease !== undefined) lease.mayGo = true;
  }

  private onChanges(changes: readonly ModelChange[]): void {
    const { checker, scheduler } = this.load;
    const deletedOf = new Map<bigint, string[]>();
    for (const c of changes) {
      if (c.type === 'put') {
        if (c.leaseId === 0n) this.attached.delete(c.key);
        else this.attached.set(c.key, c.leaseId);
        continue;
      }
      const id = this.attached.get(c.key);
      this.attached.delete(c.key);
      if (id !== undefined) deletedOf.set(id, [...(deletedOf.get(id) ?? []), c.key]);
    }
    // A revision that deletes one key may be a client's delete; several of one lease at once are its end.
    for (const [id, keys] of deletedOf) {
      const lease = this.leases.get(id);
      if (keys.length < 2 || lease === undefined || lease.mayGo) continue;
      const age = scheduler.now - lease.renewedAt;
      if (age < lease.ttlSec * 1000) {
        checker.fail(
          'I20 leases last',
          `lease ${id} of ${lease.ttlSec} s ended ${age.toFixed(0)} ms after its last renewal`,
        );
      }
      const left = [...this.attached].filter(([, owner]) => owner === id);
      if (left.length > 0) {
        checker.fail(
          'I20 leases end whole',
          `lease ${id} ended but ${left.map(([k]) => k).join()} stayed`,
        );
      }
    }
  }
}

const books = new WeakMap<Load, LeaseBook>();

function leaseBook(load: Load): LeaseBook {
  let book = books.get(load);
  if (book === undefined) {
    book = new LeaseBook(load);
    books.set(load, book);
  }
  return book;
}
