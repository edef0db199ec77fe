import { expect } from 'chai';
import { Backend, Bucket } from '../../src/storage/backend.js';
import { emptyRow } from '../../src/mvcc/key-index.js';
import { encodeDeleted, encodeKeyValue } from '../../src/mvcc/key-value.js';
import { Store } from '../../src/mvcc/store.js';
import type { StoreEvent } from '../../src/mvcc/types.js';
import { MemoryDisk, MemoryEngine } from '../support/memory-engine.js';
import { SteppedEnv } from './stepped-env.js';

interface Row {
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

type Write =
  | { readonly op: 'put'; readonly key: string; readonly value: string; readonly lease: bigint }
  | { readonly op: 'delete'; readonly start: string; readonly end: string };
type Entry = readonly Write[] | { readonly compact: number };

interface ModelEvent {
  readonly main: number;
  readonly key: string;
  readonly row: Row | null;
  readonly prev: Row | null;
}

/** Every state there ever was, recomputed from the entries: slow and plain. */
class Model {
  readonly states: Map<string, Row>[] = [new Map<string, Row>(), new Map<string, Row>()];
  readonly events: ModelEvent[] = [];
  compacted = -1;

  get revision(): number {
    return this.states.length - 1;
  }

  apply(entry: Entry): void {
    if ('compact' in entry) {
      if (entry.compact > this.compacted && entry.compact <= this.revision)
        this.compacted = entry.compact;
      return;
    }
    const old = this.states[this.revision];
    const state = new Map(old);
    // Watchers are shown the row before the revision, whatever the transaction did before.
    const prevOf = (key: string): Row | null => old?.get(key) ?? null;
    const main = this.revision + 1;
    const before = this.events.length;
    for (const write of entry) {
      if (write.op === 'put') {
        const prev = state.get(write.key) ?? null;
        const row = {
          value: write.value,
          create: prev?.create ?? main,
          mod: main,
          version: (prev?.version ?? 0) + 1,
          lease: write.lease,
        };
        state.set(write.key, row);
        const isCreate = row.create === main;
        this.events.push({ main, key: write.key, row, prev: isCreate ? null : prevOf(write.key) });
      } else {
        for (const key of [...state.keys()].sort()) {
          if (key < write.start || key >= write.end) continue;
          this.events.push({ main, key, row: null, prev: prevOf(key) });
          state.delete(key);
        }
      }
    }
    if (this.events.length > before) this.states.push(state);
  }
}

function encoded(key: string, row: Row): string {
  const bytes = encodeKeyValue(
    latin1(key),
    row.create,
    row.mod,
    row.version,
    latin1(row.value),
    row.lease,
  );
  return Buffer.from(bytes).toString('latin1');
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('latin1');
}

const ALL = { start: '', end: null };

/** So small that blocks are kept, dropped and too large to be kept. */
const READ_CACHE_BYTES = 32 << 10;

/** One member's store on a simulated disk, with a log of entries beside it that survives everything. */
class Member {
  readonly env: SteppedEnv;
  readonly disk = new MemoryDisk();
  readonly log: Entry[] = [];
  readonly leases = new Map<string, bigint>();
  private readonly cacheBytes: number;
  engine: MemoryEngine;
  backend: Backend;
  store: Store;

  constructor(seed: number, cacheBytes: number) {
    this.env = new SteppedEnv(seed);
    this.cacheBytes = cacheBytes;
    this.engine = new MemoryEngine(this.env, this.disk);
    this.backend = this.openBackend();
    this.store = this.open();
  }

  private openBackend(): Backend {
    const { engine, env, cacheBytes } = this;
    return new Backend({ engine, env, cacheBytes, readCacheBytes: READ_CACHE_BYTES });
  }

  private open(): Store {
    this.leases.clear();
    return this.env.wait<Store>((done) => {
      const { env, backend } = this;
      const onLease = (key: string, lease: bigint): unknown => this.leases.set(key, lease);
      const compaction = { sliceRows: 5, pauseMs: 10 };
      Store.open({ backend, env, onLease, compaction }, (error, store) =>
        done(error, store as Store),
      );
    });
  }

  apply(entry: Entry): readonly StoreEvent[] {
    this.log.push(entry);
    return this.execute(entry);
  }

  private execute(entry: Entry): readonly StoreEvent[] {
    let events: readonly StoreEvent[] = [];
    if ('compact' in entry) {
      this.store.compact(entry.compact);
    } else {
      const txn = this.store.begin();
      for (const write of entry) {
        if (write.op === 'put')
          txn.put(write.key, latin1(write.key), latin1(write.value), write.lease);
        else txn.deleteRange({ start: write.start, end: write.end });
      }
      events = txn.end();
    }
    this.backend.setApplied(this.backend.appliedIndex + 1, 1);
    return events;
  }

  /** The process dies, with or without the machine, and comes back; the log replays what the engine lost. */
  restart(powerLoss: boolean): number {
    if (powerLoss) this.engine.crash();
    this.env.drop();
    this.engine = new MemoryEngine(this.env, this.disk);
    this.backend = this.openBackend();
    this.store = this.open();
    const applied = this.backend.appliedIndex;
    const model = new Model();
    for (const entry of this.log.slice(0, applied)) model.apply(entry);
    this.compare(model, 'as recovered');
    const leases = new Map<string, bigint>();
    for (const [key, row] of model.states[model.revision] ?? [])
      if (row.lease !== 0n) leases.set(key, row.lease);
    expect(this.leases).to.deep.equal(leases);
    for (const entry of this.log.slice(applied)) this.execute(entry);
    return applied;
  }

  compare(model: Model, when: string): void {
    const { store } = this;
    expect(store.currentRevision, when).to.equal(Math.max(model.revision, 1));
    expect(store.compactRevision, when).to.equal(model.compacted);
    const row = emptyRow();
    expect(store.checkRevision(model.revision + 1)).to.equal('future-revision');
    if (model.compacted > 1) expect(store.checkRevision(model.compacted - 1)).to.equal('compacted');
    for (let revision = Math.max(1, model.compacted); revision <= model.revision; revision++) {
      expect(store.checkRevision(revision)).to.equal(null);
      const state = model.states[revision] as Map<string, Row>;
      const keys = [...state.keys()].sort();
      const listed = store.list(ALL, revision, 0);
      expect(
        listed.map(({ key }) => key),
        `${when}, list at ${String(revision)}`,
      ).to.deep.equal(keys);
      expect(store.count(ALL, revision)).to.equal(keys.length);
      for (const ref of listed) {
        const want = state.get(ref.key) as Row;
        expect([ref.createRevision, ref.modRevision, ref.version]).to.deep.equal([
          want.create,
          want.mod,
          want.version,
        ]);
        const bytes = store.row(ref.modRevision, ref.sub);
        expect(textOf(bytes)).to.equal(encoded(ref.key, want));
        expect(ref.size).to.equal(bytes.length);
        expect(store.lookup(ref.key, revision, row)).to.equal(true);
        expect(row).to.deep.equal(ref);
      }
      const inside = keys.filter((key) => key >= 'b' && key < 'f');
      expect(store.list({ start: 'b', end: 'f' }, revision, 2).map(({ key }) => key)).to.deep.equal(
        inside.slice(0, 2),
      );
      expect(store.count({ start: 'b', end: 'f' }, revision)).to.equal(inside.length);
    }
    store.index.check();
  }

  compareHistory(model: Model, from: number, maxBytes: number): void {
    const { store } = this;
    let next = from;
    const events: StoreEvent[] = [];
    while (next <= store.currentRevision) {
      const at = next;
      const result = this.env.wait<{ events: StoreEvent[]; nextMain: number } | 'compacted'>(
        (done) => {
          store.history(at, store.currentRevision, maxBytes, done);
        },
      );
      if (result === 'compacted') {
        expect(at).to.be.lessThan(model.compacted);
        return;
      }
      expect(result.nextMain).to.be.greaterThan(at);
      for (const event of result.events) {
        expect(event.modRevision).to.be.within(at, result.nextMain - 1);
        events.push(event);
      }
      next = result.nextMain;
    }
    expect(from).to.be.at.least(model.compacted);
    this.compareEvents(
      model.events.filter((event) => event.main >= from && isKept(model, event)),
      events,
    );
  }

  compareEvents(expected: readonly ModelEvent[], events: readonly StoreEvent[]): void {
    const compacted = this.store.compactRevision;
    expect(
      events.map((event) => `${String(event.modRevision)} ${event.type} ${event.key}`),
    ).to.deep.equal(
      expected.map(
        (event) => `${String(event.main)} ${event.row === null ? 'delete' : 'put'} ${event.key}`,
      ),
    );
    events.forEach((event, i) => {
      const { row, prev, key, main } = expected[i] as ModelEvent;
      expect(textOf(event.kv)).to.equal(
        row === null ? textOf(encodeDeleted(latin1(key), main)) : encoded(key, row),
      );
      expect(event.isCreate).to.equal(row !== null && row.create === main);
      if (prev === null || prev.mod === main) return;
      if (main <= compacted) return;
      expect(event.prev?.main, `prev of ${key} at ${String(main)}`).to.equal(prev.mod);
      if (event.prev !== null) {
        expect(textOf(this.store.rowIfPresent(event.prev.main, event.prev.sub))).to.equal(
          encoded(key, prev),
        );
      }
    });
  }

  hash(revision: number): string {
    const result = this.env.wait<{
      hash: number;
      compactRevision: number;
      hashRevision: number;
    } | null>((done) => {
      this.store.hashKV(revision, done);
    });
    return JSON.stringify(result);
  }
}

/** Below or at the compaction revision only the newest change of a key is still there. */
function isKept(model: Model, event: ModelEvent): boolean {
  if (event.main > model.compacted) return true;
  return (
    model.events.findLast((other) => other.key === event.key && other.main <= model.compacted) ===
    event
  );
}

class Random {
  private readonly next: () => number;
  constructor(seed: number) {
    const env = new SteppedEnv(seed);
    this.next = () => env.randomU32() >>> 8;
  }
  below(n: number): number {
    return this.next() % n;
  }
}

const KEYS = 'abcdefgh';

function randomEntry(random: Random, model: Model, valueBytes: number): Entry {
  if (random.below(12) === 0) return { compact: random.below(model.revision + 2) };
  const writes: Write[] = [];
  const count = random.below(4) === 0 ? 1 + random.below(5) : 1;
  for (let i = 0; i < count; i++) {
    const key = KEYS.charAt(random.below(KEYS.length)) + '\xff'.repeat(random.below(2));
    if (random.below(3) === 0) {
      writes.push({ op: 'delete', start: key, end: random.below(2) === 0 ? `${key}\0` : 'f' });
    } else {
      const value = 'v'.repeat(random.below(valueBytes)) + String(random.below(1000));
      const lease = random.below(3) === 0 ? BigInt(random.below(3)) - 1n : 0n;
      writes.push({ op: 'put', key, value, lease });
    }
  }
  return writes;
}

function runHistory(seed: number, cacheBytes: number): void {
  const random = new Random(seed);
  const member = new Member(seed, cacheBytes);
  const twin = new Member(seed + 1, 64 << 20);
  let model = new Model();
  for (let i = 0; i < 120; i++) {
    const entry = randomEntry(random, model, 300);
    const known = model.events.length;
    model.apply(entry);
    member.compareEvents(model.events.slice(known), member.apply(entry));
    twin.apply(entry);
    if (random.below(2) === 0) member.backend.flush();
    for (let steps = random.below(4); steps > 0; steps--) member.env.step();
    if (random.below(40) === 0)
      member.env.wait<undefined>((done) => member.backend.sync((error) => done(error, undefined)));
    if (random.below(14) === 0) member.restart(random.below(2) === 0);
    if (random.below(15) === 0) {
      model = new Model();
      for (const each of member.log) model.apply(each);
      member.compare(model, `after entry ${String(i)}`);
      member.backend.flush();
      const from = Math.max(1, model.compacted - 2) + random.below(model.revision);
      if (from <= model.revision) member.compareHistory(model, from, 1 + random.below(2000));
      if (random.below(2) === 0) {
        twin.backend.flush();
        twin.env.settle();
        const revision =
          Math.max(1, model.compacted) +
          random.below(model.revision - Math.max(1, model.compacted) + 1);
        expect(member.hash(revision), `hash at ${String(revision)}`).to.equal(twin.hash(revision));
      }
    }
  }
  member.backend.flush();
  member.env.settle();
  expect(member.store.finishedCompactRevision).to.equal(model.compacted);
  member.compare(model, 'at the end');
  // The engine holds exactly the readable rows, plus those a watcher from the compaction revision needs.
  let rows = 0;
  member.env.wait<undefined>((done) => {
    const countRow = (): boolean => ++rows > 0;
    member.backend.forEach(Bucket.key, countRow, (error) => done(error, undefined));
  });
  const kept = model.events.filter(
    (event) => isKept(model, event) && (event.row !== null || event.main >= model.compacted),
  );
  expect(rows).to.equal(kept.length);
}

describe('Store', () => {
  const seed =
    process.env['SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['SEED']);
  const runs = Number(process.env['RUNS'] ?? 30);
  it(`equals a model that keeps every state, through crashes and compactions (SEED=${String(seed)})`, () => {
    for (let run = 0; run < runs; run++) {
      try {
        runHistory(seed + run, (seed + run) % 2 === 0 ? 16 << 10 : 1 << 20);
      } catch (error) {
        throw new Error(
          `SEED=${String(seed + run)} RUNS=1 (cache ${(seed + run) % 2 === 0 ? 'small' : 'large'})`,
          { cause: error },
        );
      }
    }
  });
});
