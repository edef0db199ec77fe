import { expect } from 'chai';
import { Backend, Bucket } from '../../src/storage/backend.js';
import type { PlainBucket } from '../../src/storage/backend.js';
import { createDbInstaller, openDbSnapshot } from '../../src/storage/image.js';
import type { DbSnapshot } from '../../src/storage/image.js';
import type { SnapshotSink } from '../../src/storage/engine.js';
import { Store } from '../../src/mvcc/store.js';
import { MemoryDisk, MemoryEngine } from '../support/memory-engine.js';
import { Fatal, SteppedEnv } from '../mvcc/stepped-env.js';

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function setup(disk = new MemoryDisk()): {
  env: SteppedEnv;
  engine: MemoryEngine;
  backend: Backend;
  disk: MemoryDisk;
} {
  const env = new SteppedEnv(7);
  const engine = new MemoryEngine(env, disk);
  return { env, engine, backend: new Backend({ engine, env }), disk };
}

function openStore(env: SteppedEnv, backend: Backend): Store {
  return env.wait<Store>((done) => {
    Store.open({ backend, env, onLease: () => undefined }, (error, store) =>
      done(error, store as Store),
    );
  });
}

function sync(env: SteppedEnv, backend: Backend): void {
  env.wait<undefined>((done) => backend.sync((error) => done(error, undefined)));
}

describe('Backend', () => {
  it('shows a change from the moment it is put until long after it is written', () => {
    const { env, backend } = setup();
    const read = (): string | undefined => {
      const found = backend.get(Bucket.auth, bytes('k'));
      return found === undefined ? undefined : Buffer.from(found).toString('latin1');
    };
    backend.put(Bucket.auth, bytes('k'), bytes('1'));
    expect(read()).to.equal('1');
    backend.flush();
    expect(read()).to.equal('1');
    backend.put(Bucket.auth, bytes('k'), bytes('2'));
    backend.flush();
    backend.put(Bucket.auth, bytes('k'), bytes('3'));
    expect(read()).to.equal('3');
    env.settle();
    expect(read()).to.equal('3');
    backend.delete(Bucket.auth, bytes('k'));
    expect(read()).to.equal(undefined);
    backend.put(Bucket.auth, bytes('k'), bytes('4'));
    backend.flush();
    backend.delete(Bucket.auth, bytes('k'));
    backend.flush();
    expect(read()).to.equal(undefined);
    env.settle();
    expect(read()).to.equal(undefined);
    expect(backend.get(Bucket.authUsers, bytes('k'))).to.equal(undefined);
  });

  it('writes the applied index in the batch that it covers, and the newest one when batches merge', () => {
    const { env, backend, disk } = setup();
    for (let i = 1; i <= 5; i++) {
      backend.put(Bucket.cluster, bytes('n'), bytes(String(i)));
      backend.setApplied(i, 3);
      backend.flush();
    }
    backend.put(Bucket.cluster, bytes('n'), bytes('unflushed'));
    backend.setApplied(6, 3);
    env.settle();
    expect(disk.writes).to.equal(2);
    const after = setup(disk);
    expect([after.backend.appliedIndex, after.backend.appliedTerm]).to.deep.equal([5, 3]);
    expect(Buffer.from(after.backend.get(Bucket.cluster, bytes('n')) ?? []).toString()).to.equal(
      '5',
    );
    disk.unsynced.pop();
    expect(setup(disk).backend.appliedIndex).to.equal(1);
  });

  it('counts rows as durable only after a sync, and only those flushed', () => {
    const { env, backend, disk } = setup();
    backend.setApplied(4, 1);
    backend.flush();
    backend.setApplied(5, 1);
    env.settle();
    expect(backend.durableIndex).to.equal(0);
    sync(env, backend);
    expect(backend.durableIndex).to.equal(4);
    disk.unsynced = [];
    expect(setup(disk).backend.appliedIndex).to.equal(4);
    backend.flush();
    sync(env, backend);
    expect(backend.durableIndex).to.equal(5);
  });

  it('stops the process when a write fails', () => {
    const { env, backend, disk } = setup();
    disk.failNextWrite = new Error('no space left on device');
    backend.put(Bucket.auth, bytes('k'), bytes('v'));
    backend.flush();
    expect(() => env.settle()).to.throw(Fatal, 'no space left on device');
  });

  it('stops the process when any bit of any stored row differs', () => {
    const disk = new MemoryDisk();
    const first = setup(disk);
    const store = openStore(first.env, first.backend);
    const txn = store.begin();
    txn.put('key', bytes('key'), bytes('value'), 5n);
    txn.end();
    const removal = store.begin();
    removal.deleteRange({ start: 'key', end: null });
    removal.end();
    first.backend.put(Bucket.lease, bytes('l'), bytes('lease'));
    first.backend.setApplied(9, 2);
    first.backend.setConfState(bytes('{}'));
    first.backend.flush();
    sync(first.env, first.backend);
    let flips = 0;
    for (const key of first.engine.keys()) {
      for (let byte = 0; byte < (first.engine.get(key)?.length ?? 0); byte++) {
        const engine = new MemoryEngine(first.env, disk);
        engine.damage(key, byte);
        flips++;
        const readAll = (): void => {
          // Nothing runs on in a process that stopped.
          first.env.drop();
          const backend = new Backend({ engine, env: first.env });
          openStore(first.env, backend);
          first.env.wait<undefined>((done) => {
            backend.forEach(
              Bucket.lease,
              () => true,
              (error) => done(error, undefined),
            );
          });
          if (key[0] !== Bucket.key) backend.getWritten(key[0] as PlainBucket, key.subarray(1));
        };
        expect(readAll, `${Buffer.from(key).toString('latin1')} byte ${String(byte)}`).to.throw(
          Fatal,
          'damaged',
        );
        engine.damage(key, byte);
        expect(readAll).not.to.throw();
      }
    }
    expect(flips).to.be.greaterThan(60);
  });

  it('refuses rows with a gap between revisions', () => {
    const disk = new MemoryDisk();
    const { env, backend, engine } = setup(disk);
    const store = openStore(env, backend);
    for (let i = 0; i < 5; i++) {
      const txn = store.begin();
      txn.put('a', bytes('a'), bytes('1'), 0n);
      txn.put('b', bytes('b'), bytes('1'), 0n);
      txn.end();
      backend.flush();
      env.settle();
    }
    sync(env, backend);
    const blocks = engine.keys().filter((key) => key[0] === Bucket.key);
    expect(blocks).to.have.length(5);
    blocks.slice(0, 4).forEach((key, i) => {
      const copy = setup(disk);
      copy.engine.write({ puts: [], deletes: [key] }, false, () => undefined);
      copy.env.settle();
      disk.unsynced = [];
      expect(() => openStore(copy.env, copy.backend), `row ${String(i)}`).to.throw(
        Fatal,
        'missing',
      );
    });
  });
});

describe('a snapshot of the backend', () => {
  function fill(): { env: SteppedEnv; backend: Backend } {
    const { env, backend } = setup();
    const store = openStore(env, backend);
    for (let i = 0; i < 700; i++) {
      const txn = store.begin();
      const size = i === 350 ? 700_000 : 900;
      txn.put(`key${String(i % 50)}`, bytes(`key${String(i % 50)}`), Buffer.alloc(size, i), 0n);
      txn.end();
      backend.setApplied(i + 1, 4);
    }
    backend.put(Bucket.members, bytes('1f'), bytes('member'));
    backend.setConfState(bytes('voters'));
    backend.flush();
    return { env, backend };
  }

  function open(env: SteppedEnv, backend: Backend): DbSnapshot {
    return env.wait<DbSnapshot>((done) => {
      openDbSnapshot(backend, (error, snapshot) => done(error, snapshot as DbSnapshot));
    });
  }

  function chunksOf(env: SteppedEnv, snapshot: DbSnapshot): Uint8Array[] {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const chunk = env.wait<Uint8Array | null>((done) => snapshot.source.next(done));
      if (chunk === null) return chunks;
      chunks.push(Uint8Array.from(chunk));
    }
  }

  function feed(env: SteppedEnv, sink: SnapshotSink, chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks)
      env.wait<undefined>((done) => sink.write(chunk, (error) => done(error, undefined)));
    env.wait<undefined>((done) => sink.finish((error) => done(error, undefined)));
  }

  it('holds one applied state beside any writes, and arrives complete and durable', () => {
    const { env, backend } = fill();
    const snapshot = open(env, backend);
    expect([snapshot.appliedIndex, snapshot.term]).to.deep.equal([700, 4]);
    expect(Buffer.from(snapshot.confState).toString()).to.equal('voters');
    backend.put(Bucket.members, bytes('20'), bytes('later'));
    backend.setApplied(701, 4);
    backend.flush();
    const chunks = chunksOf(env, snapshot);
    snapshot.source.close();
    expect(Math.max(...chunks.map((chunk) => chunk.length))).to.be.at.most(256 << 10);
    const target = setup();
    feed(target.env, createDbInstaller(target.engine), chunks);
    target.disk.unsynced = [];
    const copy = setup(target.disk);
    expect(copy.backend.appliedIndex).to.equal(700);
    expect(copy.backend.get(Bucket.members, bytes('20'))).to.equal(undefined);
    expect(Buffer.from(copy.backend.get(Bucket.members, bytes('1f')) ?? []).toString()).to.equal(
      'member',
    );
    const store = openStore(copy.env, copy.backend);
    expect([store.currentRevision, store.liveKeys]).to.deep.equal([701, 50]);
  });

  it('is refused when it is cut short, lengthened or damaged', () => {
    const { env, backend } = fill();
    const chunks = chunksOf(env, open(env, backend));
    const whole = Buffer.concat(chunks);
    const attempt = (stream: Uint8Array): void => {
      const target = setup();
      const parts: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += 100_000)
        parts.push(stream.subarray(at, at + 100_000));
      feed(target.env, createDbInstaller(target.engine), parts);
    };
    expect(() => attempt(whole)).not.to.throw();
    for (const length of [0, 5, 8, 4000, whole.length - 16, whole.length - 1]) {
      expect(() => attempt(whole.subarray(0, length)), `cut to ${String(length)}`).to.throw(
        'damaged',
      );
    }
    expect(() => attempt(Buffer.concat([whole, Buffer.from('x')]))).to.throw('damaged');
    for (const at of [
      0,
      9,
      12,
      20,
      500_000,
      whole.length - 20,
      whole.length - 10,
      whole.length - 1,
    ]) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ 4;
      expect(() => attempt(flipped), `flipped at ${String(at)}`).to.throw('damaged');
    }
  });
});
