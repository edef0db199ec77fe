import { performance, PerformanceObserver } from 'node:perf_hooks';
import type { Env } from '../../src/base/env/env.js';
import { bytesOf } from '../../src/base/collections/interval.js';
import { Store } from '../../src/mvcc/store.js';
import { RawNode } from '../../src/raft/raw-node.js';
import type { Entry, MemberId, Message } from '../../src/raft/types.js';
import { Backend } from '../../src/storage/backend.js';
import type { Engine } from '../../src/storage/engine.js';
import { WatchHub } from '../../src/watch/hub.js';

/**
 * Cost of a put to a leader of three beside disk, network and encoding: consensus core, store,
 * watch hub.
 *
 *   node --expose-gc --import tsx bench/micro/put.ts [puts] [watchers]
 *
 * Prints processor time and scavenge time per put, and the bytes that outlive a young collection per put. All three
 * cores run in this process; only the leader has a store.
 */

const PUTS = Number(process.argv[2] ?? 300_000);
const WATCHERS = Number(process.argv[3] ?? 1);
const VALUE_BYTES = 256;
const PER_TURN = 50;
const KEYS = 20_000;
const KEPT_ENTRIES = 5_000;

const deferred: (() => void)[] = [];
const env: Env = {
  clock: { monoMs: () => performance.now(), wallMs: () => Date.now() },
  disk: undefined as never,
  after: () => ({ cancel: () => undefined }),
  defer: (callback) => void deferred.push(callback),
  randomU32: () => 1,
  fatal: (what, _next, cause) => {
    throw new Error(what, { cause });
  },
};

/** Takes everything and keeps nothing. */
const nowhere: Engine = {
  get: () => undefined,
  write: (_batch, _sync, done) => env.defer(() => done(null)),
  load: (_batch, done) => env.defer(() => done(null)),
  iterate: () => ({
    next: (_max, done) => env.defer(() => done(null, [])),
    close: () => undefined,
  }),
  compactRange: (_gte, _lt, done) => env.defer(() => done(null)),
  forgetReads: (done) => env.defer(() => done(null)),
  sizeBytes: () => 0,
  close: (done) => env.defer(() => done(null)),
};

function runDeferred(): void {
  for (const callback of deferred.splice(0)) callback();
}

function settle(): void {
  while (deferred.length > 0) runDeferred();
}

const IDS = [1n, 2n, 3n];
const confState = { voters: IDS, learners: [] };

function coreOf(id: MemberId): RawNode {
  return new RawNode(
    {
      id,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: true,
      checkQuorum: true,
      maxAppendBytes: 1 << 20,
      maxInflightMessages: 512,
      maxInflightBytes: 1 << 26,
      maxUncommittedBytes: 1 << 30,
      maxCommittedBytesPerReady: 1 << 24,
      incarnation: Number(id),
      random: () => 0,
    },
    {
      hardState: { term: 0, vote: 0n, commit: 0 },
      confState,
      compactedIndex: 0,
      compactedTerm: 0,
      entries: [],
      applied: 0,
    },
  );
}

const cores = new Map(IDS.map((id) => [id, coreOf(id)]));
const network: Message[] = [];

/** Does one Ready of a core, its write being durable at once; `apply` gets what is committed. */
function pump(core: RawNode, apply: (entry: Entry) => void): void {
  while (core.hasReady()) {
    const rd = core.ready();
    for (const m of rd.messages) network.push(m);
    const last = rd.entries[rd.entries.length - 1];
    if (rd.mustSync) core.synced(last?.index ?? 0, last?.term ?? rd.hardState?.term ?? 0);
    for (const m of rd.messagesAfterSync) network.push(m);
    for (const entry of rd.committed) apply(entry);
    const applied = rd.committed[rd.committed.length - 1];
    if (applied !== undefined) {
      core.applied(applied.index);
      if (applied.index % 1000 === 0) core.compactLog(Math.max(0, applied.index - KEPT_ENTRIES));
    }
  }
}

function openStore(): Store {
  const backend = new Backend({ engine: nowhere, env });
  let opened: Store | null = null;
  Store.open({ backend, env, onLease: () => undefined }, (_error, store) => {
    opened = store;
  });
  settle();
  if (opened === null) throw new Error('no store');
  return opened;
}

const store = openStore();
const hub = new WatchHub({ env, source: store });
let sentBytes = 0;
const header = Uint8Array.of(10, 2, 24, 1);
for (let i = 0; i < WATCHERS; i++) {
  const stream = hub.openStream(
    {
      headerField: () => header,
      write: (front, body) => {
        sentBytes += front.length + body.length;
        return true;
      },
      stopped: () => undefined,
    },
    { progressIntervalMs: 600_000, fragmentBytes: 1 << 20 },
  );
  stream.create({
    interval: { start: 'key', end: 'kez' },
    startRevision: 0,
    watchId: 0n,
    prevKv: false,
    noPut: false,
    noDelete: false,
    progressNotify: false,
    fragment: false,
  });
}

const keys = Array.from({ length: KEYS }, (_, i) => `key${String(i).padStart(8, '0')}`);
let applied = 0;

/** The work of apply on a put: key and value are views of the entry. */
function applyPut(entry: Entry): void {
  if (entry.data.length === 0) return;
  const key = keys[applied++ % KEYS] as string;
  const txn = store.begin();
  txn.put(key, bytesOf(key), entry.data.subarray(entry.data.length - VALUE_BYTES), 0n);
  hub.notify(txn.revision, txn.end());
}

const ignore = (): void => undefined;

function turn(leader: RawNode, count: number): void {
  const data = Array.from({ length: count }, () => Buffer.alloc(VALUE_BYTES + 32, 1));
  if (count > 0) leader.propose(data);
  do {
    for (const [id, core] of cores) pump(core, id === 1n ? applyPut : ignore);
    for (const m of network.splice(0)) cores.get(m.to)?.step(m);
  } while (network.length > 0 || [...cores.values()].some((core) => core.hasReady()));
  if (applied % 2000 < count) {
    store.backend.setApplied(leader.appliedIndex, leader.term);
    store.backend.flush();
  }
  runDeferred();
}

const leader = cores.get(1n) as RawNode;
leader.campaign();
turn(leader, 0);

let scavengeMs = 0;
let scavenges = 0;
const MINOR = 1;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if ((entry as unknown as { detail: { kind: number } }).detail.kind !== MINOR) continue;
    scavengeMs += entry.duration;
    scavenges++;
  }
}).observe({ entryTypes: ['gc'] });

async function run(puts: number): Promise<void> {
  for (let done = 0; done < puts; done += PER_TURN) {
    turn(leader, PER_TURN);
    // Lets the observer of collections run.
    if (done % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

await run(100_000);
scavengeMs = 0;
scavenges = 0;
const before = process.cpuUsage();
await run(PUTS);
const used = process.cpuUsage(before);
await new Promise((resolve) => setImmediate(resolve));
const microseconds = (used.user + used.system) / PUTS;
console.log(
  `${PUTS} puts, ${WATCHERS} watchers: ${microseconds.toFixed(3)} us processor time a put; ` +
    `${scavenges} scavenges, ${((scavengeMs * 1000) / PUTS).toFixed(3)} us a put; ${(sentBytes / 1e6).toFixed(0)} MB sent`,
);
