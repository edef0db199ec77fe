import { expect } from 'chai';
import { Backend } from '../../src/storage/backend.js';
import { emptyRow } from '../../src/mvcc/key-index.js';
import { bytesOf } from '../../src/base/collections/interval.js';
import { valueOf } from '../../src/mvcc/key-value.js';
import { RowImporter } from '../../src/storage/row-importer.js';
import { Store } from '../../src/mvcc/store.js';
import { MemoryDisk, MemoryEngine } from '../support/memory-engine.js';
import { SteppedEnv } from './stepped-env.js';

interface Fixture {
  readonly env: SteppedEnv;
  readonly disk: MemoryDisk;
  readonly backend: Backend;
  readonly store: Store;
}

function open(disk = new MemoryDisk(), env = new SteppedEnv(3)): Fixture {
  const backend = new Backend({
    engine: new MemoryEngine(env, disk),
    env,
    cacheBytes: 16 << 10,
    readCacheBytes: 128 << 10,
  });
  const store = env.wait<Store>((done) => {
    const compaction = { sliceRows: 8, pauseMs: 10 };
    Store.open({ backend, env, onLease: () => undefined, compaction }, (error, opened) =>
      done(error, opened as Store),
    );
  });
  return { env, disk, backend, store };
}

function put(store: Store, key: string, value: string): void {
  const txn = store.begin();
  txn.put(key, bytesOf(key), bytesOf(value), 0n);
  txn.end();
}

/** Revision i + 2 holds `k` with value `i`. */
function fill(fixture: Fixture, count: number): void {
  for (let i = 0; i < count; i++) {
    put(fixture.store, 'k', `${'x'.repeat(600)}${String(i)}`);
    fixture.backend.flush();
    fixture.env.settle();
  }
}

function read(store: Store, revision: number): string | undefined {
  const row = emptyRow();
  if (!store.lookup('k', revision, row)) return undefined;
  return Buffer.from(valueOf(store.row(row.modRevision, row.sub)))
    .toString()
    .replaceAll('x', '');
}

describe('Store', () => {
  it('ends a hash that is under way when a snapshot replaces its rows', () => {
    const fixture = open();
    fill(fixture, 40);
    const { env, store } = fixture;
    let answer: unknown;
    store.hashKV(0, (error) => (answer = error));
    expect(answer).to.equal(undefined);
    const backend = new Backend({ engine: new MemoryEngine(env, new MemoryDisk()), env });
    fixture.backend.close(() => undefined);
    env.wait<undefined>((done) => store.restore(backend, (error) => done(error, undefined)));
    expect(answer).to.equal('state-replaced');
    // Later questions are answered from the new state.
    const again = env.wait<unknown>((done) =>
      store.hashKV(0, (error, result) => done(error, result)),
    );
    expect(again).to.have.property('hashRevision', 1);
  });

  it('hands out rows that stay as they are, however much is read afterwards', () => {
    const fixture = open();
    const rows = 400;
    fill(fixture, rows);
    const readAll = (): Uint8Array[] =>
      Array.from({ length: rows }, (_, i) => {
        // Every other one read again at once: it comes from the cache of blocks.
        fixture.store.row(i + 2, 0);
        return fixture.store.row(i - (i % 2) + 2, 0);
      });
    const held = readAll();
    const copies = held.map((row) => Buffer.from(row));
    readAll();
    expect(held.every((row, i) => copies[i]?.equals(row) === true)).to.equal(true);
    expect(
      copies.map((row) => Buffer.from(valueOf(row)).toString().replaceAll('x', '')),
    ).to.deep.equal(Array.from({ length: rows }, (_, i) => String(i - (i % 2))));
  });

  it('counts at the revision before a transaction without what the transaction changed so far', () => {
    const { store } = open();
    put(store, 'a', '');
    put(store, 'b', '');
    const all = { start: '', end: null };
    const txn = store.begin();
    txn.deleteRange({ start: 'a', end: 'b' });
    expect(store.count(all, store.currentRevision)).to.equal(2);
    expect(store.count(all, txn.revision)).to.equal(1);
    txn.end();
    expect(store.count(all, store.currentRevision)).to.equal(1);
  });

  it('answers compaction requests as etcd does', () => {
    const fixture = open();
    const { store } = fixture;
    expect(store.compact(-1)).to.equal('compacted');
    expect(store.compact(2)).to.equal('future-revision');
    expect(store.compact(0)).to.equal(null);
    expect(store.compact(0)).to.equal('compacted');
    fill(fixture, 5);
    expect(store.compact(4)).to.equal(null);
    expect([store.compact(4), store.compact(3), store.compact(7)]).to.deep.equal([
      'compacted',
      'compacted',
      'future-revision',
    ]);
    expect([3, 4, 6, 7].map((revision) => store.checkRevision(revision))).to.deep.equal([
      'compacted',
      null,
      null,
      'future-revision',
    ]);
  });

  it('consumes no revision when nothing changes', () => {
    const { store } = open();
    const txn = store.begin();
    expect(txn.deleteRange({ start: '', end: null })).to.equal(0);
    expect(txn.changed).to.equal(false);
    expect(txn.end()).to.deep.equal([]);
    expect(store.currentRevision).to.equal(1);
  });

  it('removes nothing that a pinned revision needs until it is released', () => {
    const fixture = open();
    const { env, store, backend } = fixture;
    fill(fixture, 60);
    const release = store.pin(10);
    const again = store.pin(10);
    let finished = false;
    store.compact(50);
    store.whenCompacted(50, () => (finished = true));
    backend.flush();
    env.settle();
    expect(read(store, 10)).to.equal('8');
    release();
    release();
    env.settle();
    expect([read(store, 10), finished]).to.deep.equal(['8', false]);
    again();
    env.settle();
    expect([read(store, 10), read(store, 50), finished]).to.deep.equal([undefined, '48', true]);
    expect(store.rowIfPresent(10, 0)).to.equal(undefined);
  });

  it('starts over on another backend', () => {
    const other = open();
    fill(other, 9);
    other.store.compact(4);
    other.backend.flush();
    other.env.settle();
    const fixture = open();
    fill(fixture, 30);
    const { env, store } = fixture;
    store.compact(20);
    fixture.backend.flush();
    const backend = new Backend({ engine: new MemoryEngine(env, other.disk), env });
    env.wait<undefined>((done) => store.restore(backend, (error) => done(error, undefined)));
    expect([store.currentRevision, store.compactRevision, store.liveKeys]).to.deep.equal([
      10, 4, 1,
    ]);
    expect(read(store, 10)).to.equal('8');
    put(store, 'k', 'more');
    backend.flush();
    env.settle();
    expect(open(other.disk, env).store.currentRevision).to.equal(11);
  });

  it('compacts no rows that the engine does not hold yet, when compactions follow each other', () => {
    const fixture = open();
    const { env, store, backend } = fixture;
    fill(fixture, 5);
    store.compact(3);
    backend.flush();
    // The first pass waits for this write; rows and a second compaction arrive meanwhile.
    for (let i = 0; i < 20; i++) put(store, 'k', `${'x'.repeat(600)}${String(i)}`);
    store.compact(store.currentRevision);
    env.settle();
    backend.flush();
    env.settle();
    expect(store.finishedCompactRevision).to.equal(store.currentRevision);
    expect(read(store, store.currentRevision)).to.equal('19');
  });

  it('closes in the middle of a compaction and of reads, and finishes the compaction after reopening', () => {
    const fixture = open();
    const { env, store, backend, disk } = fixture;
    fill(fixture, 100);
    store.compact(90);
    backend.flush();
    store.hashKV(95, () => undefined);
    store.history(91, 101, 1 << 20, () => undefined);
    for (let i = 0; i < 8; i++) env.step();
    expect(store.finishedCompactRevision).to.equal(-1);
    let closed = false;
    backend.close(() => (closed = true));
    env.settle();
    expect(closed).to.equal(true);
    expect(store.finishedCompactRevision).to.equal(-1);
    const again = open(disk, env);
    env.settle();
    expect(again.store.finishedCompactRevision).to.equal(90);
    expect(read(again.store, 90)).to.equal('88');
  });

  it('takes over the rows of another store, a marker of a raised revision included', () => {
    const from = open();
    fill(from, 20);
    const txn = from.store.begin();
    txn.deleteRange({ start: 'k', end: null });
    txn.end();
    put(from.store, 'other', 'y');
    from.backend.flush();
    const to = open();
    const importer = new RowImporter(to.backend);
    from.env.wait<undefined>((done) => {
      from.backend.rows.forEach(
        0,
        Infinity,
        (main, sub, tombstone, payload) => {
          importer.add(main, sub, tombstone, payload);
          return true;
        },
        (error) => done(error, undefined),
      );
    });
    importer.add(24, 0, false, new Uint8Array(0));
    importer.flush();
    to.env.settle();
    const copy = open(to.disk, to.env);
    expect([copy.store.currentRevision, copy.store.liveKeys]).to.deep.equal([24, 1]);
    const hashOf = ({ env, store }: Fixture): unknown =>
      env.wait<unknown>((done) => store.hashKV(23, (error, result) => done(error, result)));
    expect(hashOf(copy)).to.deep.equal(hashOf(from));
  });
});
