import { expect } from 'chai';
import { Backend, Bucket, MetaKey } from '../../src/storage/backend.js';
import type { EngineBatch, SnapshotSink } from '../../src/storage/engine.js';
import { IMAGE_FORMAT, ImageTooNew } from '../../src/storage/format.js';
import { createDbInstaller, openDbSnapshot } from '../../src/storage/image.js';
import type { DbSnapshot } from '../../src/storage/image.js';
import { RowSum, Witness } from '../../src/storage/witness.js';
import { sealRow } from '../../src/storage/stored-row.js';
import { metaKey } from '../../src/storage/buckets.js';
import { Store } from '../../src/mvcc/store.js';
import { crc32c } from '../../src/base/bytes/crc32c.js';
import { MemoryDisk, MemoryEngine } from '../support/memory-engine.js';
import { Fatal, SteppedEnv } from '../mvcc/stepped-env.js';

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

interface Image {
  readonly env: SteppedEnv;
  readonly engine: MemoryEngine;
  readonly disk: MemoryDisk;
  readonly backend: Backend;
  readonly store: Store;
}

function open(disk: MemoryDisk): Image {
  const env = new SteppedEnv(3);
  const engine = new MemoryEngine(env, disk);
  const backend = new Backend({ engine, env });
  const store = env.wait<Store>((done) => {
    Store.open({ backend, env, onLease: () => undefined }, (error, opened) =>
      done(error, opened as Store),
    );
  });
  return { env, engine, disk, backend, store };
}

function put(image: Image, key: string, value: string): void {
  const txn = image.store.begin();
  txn.put(key, bytes(key), bytes(value), 0n);
  txn.end();
}

function sync({ env, backend }: Image): void {
  backend.flush();
  env.wait<undefined>((done) => backend.sync((error) => done(error, undefined)));
}

/** A history with deletes, leases, alarms and compactions; `onBatch` sees every batch that the engine took. */
function history(onBatch: (batch: EngineBatch) => void): MemoryDisk {
  const disk = new MemoryDisk();
  const image = open(disk);
  const write = image.engine.write.bind(image.engine);
  image.engine.write = (batch, isSync, done) => {
    onBatch(batch);
    write(batch, isSync, done);
  };
  for (let i = 1; i <= 60; i++) {
    put(image, `key${i % 7}`, `value ${i}`);
    if (i % 9 === 0) {
      const txn = image.store.begin();
      txn.deleteRange({ start: `key${i % 5}`, end: null });
      txn.end();
    }
    image.backend.put(Bucket.lease, bytes(`lease${i % 4}`), bytes(String(i)));
    if (i % 4 === 2) image.backend.delete(Bucket.lease, bytes('lease1'));
    if (i === 20) image.backend.put(Bucket.alarm, bytes('alarm'), bytes(''));
    if (i === 30) image.backend.setConfState(bytes('voters'));
    image.backend.setApplied(i, 1 + (i >>> 4));
    // Some batches merge.
    if (i % 3 !== 0) image.backend.flush();
    if (i % 3 === 2) image.env.settle();
    if (i % 25 === 0) {
      image.store.compact(image.store.currentRevision - 3);
      sync(image);
      image.env.settle();
    }
  }
  sync(image);
  image.env.settle();
  return disk;
}

function copyOf(disk: MemoryDisk): MemoryDisk {
  const copy = new MemoryDisk();
  for (const [name, row] of disk.contents()) copy.synced.set(name, row);
  return copy;
}

const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1');

describe('the witness of an image', () => {
  it('differs when any row is missing or is one that was there before', () => {
    const versions = new Map<string, Map<string, { key: Uint8Array; value: Uint8Array }>>();
    const disk = history(({ puts }) => {
      for (const row of puts) {
        const name = nameOf(row.key);
        if (!versions.has(name)) versions.set(name, new Map());
        versions.get(name)?.set(nameOf(row.value), {
          key: Uint8Array.from(row.key),
          value: Uint8Array.from(row.value),
        });
      }
    });
    expect(() => open(copyOf(disk))).not.to.throw();
    const now = disk.contents();
    let missing = 0;
    for (const name of now.keys()) {
      const copy = copyOf(disk);
      copy.synced.delete(name);
      // Without the index the log is applied from its beginning; the witness contradicts.
      expect(() => open(copy), `without ${name}`).to.throw(Fatal, 'damaged');
      missing++;
    }
    let stale = 0;
    for (const [name, values] of versions) {
      for (const [value, row] of values) {
        if (value === nameOf(now.get(name)?.value ?? bytes('none'))) continue;
        const copy = copyOf(disk);
        copy.synced.set(name, row);
        expect(() => open(copy), `an older ${name}`).to.throw(Fatal, 'damaged');
        stale++;
      }
    }
    expect(missing).to.be.greaterThan(15);
    expect(stale).to.be.greaterThan(150);
  });

  it('holds after every batch, after any loss of later ones', () => {
    const batches: EngineBatch[] = [];
    history((batch) => void batches.push(batch));
    const disk = new MemoryDisk();
    open(disk);
    for (const batch of batches) {
      disk.unsynced.push(batch);
      expect(() => open(copyOf(disk))).not.to.throw();
    }
    expect(batches.length).to.be.greaterThan(30);
  });

  it('is computed for an image that has none, durably and once', () => {
    const disk = history(() => undefined);
    const witness = nameOf(metaKey(MetaKey.witness));
    const format = nameOf(metaKey(MetaKey.format));
    const before = copyOf(disk).synced;
    before.delete(witness);
    before.delete(format);
    const old = new MemoryDisk();
    for (const [name, row] of before) old.synced.set(name, row);
    const { store } = open(old);
    expect(store.currentRevision).to.equal(open(copyOf(disk)).store.currentRevision);
    expect(old.unsynced).to.have.length(0);
    expect(nameOf(old.synced.get(witness)?.value ?? bytes(''))).to.equal(
      nameOf(disk.contents().get(witness)?.value ?? bytes('none')),
    );
    const writes = old.writes;
    open(old);
    expect(old.writes).to.equal(writes);
  });

  it('names format and version of an image that is too new, and leaves it as it is', () => {
    const disk = history(() => undefined);
    const key = metaKey(MetaKey.format);
    const payload = Buffer.concat([Buffer.from([0, 0, 0, IMAGE_FORMAT + 1]), bytes('7.5.0')]);
    disk.synced.set(nameOf(key), { key, value: sealRow(key, payload) });
    const before = new Map(disk.contents());
    expect(() => open(disk)).to.throw(ImageTooNew, 'mainstay 7.5.0 or later can read it');
    expect(disk.contents()).to.deep.equal(before);
  });

  it('refuses a row that belongs to no bucket', () => {
    const disk = history(() => undefined);
    for (const prefix of [0, 0x6a, 0x75, 0xfe]) {
      const copy = copyOf(disk);
      const key = Uint8Array.of(prefix, 1);
      copy.synced.set(nameOf(key), { key, value: sealRow(key, bytes('x')) });
      expect(() => open(copy)).to.throw(Fatal, 'is in no bucket');
    }
  });

  it('survives its encoding, and adds up in any order', () => {
    const witness = new Witness();
    witness.appliedIndex = 2 ** 40 + 5;
    witness.term = 7;
    witness.revision = 2 ** 33 + 1;
    const rows = [1, 2, 3, 4].map((i) => [2 ** 33 + i, i, crc32c(Uint8Array.of(i))] as const);
    for (const row of rows) witness.sumOf(Bucket.key).addChange(...row);
    witness.sumOf(Bucket.lease).addRow(bytes('lx'), bytes('y'));
    const other = new RowSum();
    for (const row of [...rows].reverse()) other.addChange(...row);
    expect(other.equals(witness.sumOf(Bucket.key))).to.equal(true);
    const read = Witness.decode(witness.encode());
    expect(read?.contradiction(witness)).to.equal(null);
    other.removeChange(...(rows[0] as readonly [number, number, number]));
    witness.sumOf(Bucket.key).removeChange(...(rows[1] as readonly [number, number, number]));
    expect(other.equals(witness.sumOf(Bucket.key))).to.equal(false);
    expect(read?.contradiction(witness)).to.equal('bucket "key" holds 3 rows, 4 were written');
    expect(Witness.decode(Uint8Array.of(1, 2, 3))).to.equal(null);
  });
});

describe('a received image', () => {
  interface Row {
    readonly key: Uint8Array;
    readonly value: Uint8Array;
  }

  /** A stream as the format has it, of any rows. */
  function streamOf(magic: string, rows: readonly Row[]): Uint8Array {
    const parts: Uint8Array[] = [bytes(magic)];
    for (const { key, value } of rows) {
      const head = Buffer.alloc(8);
      head.writeUInt32BE(key.length, 0);
      head.writeUInt32BE(value.length, 4);
      parts.push(head, key, value);
    }
    const end = Buffer.alloc(12);
    end.writeUInt32BE(0xffffffff, 0);
    end.writeUInt32BE(rows.length, 8);
    parts.push(end);
    const body = Buffer.concat(parts);
    const crc = Buffer.alloc(4);
    crc.writeUInt32BE(crc32c(body));
    return Buffer.concat([body, crc]);
  }

  function receive(stream: Uint8Array): MemoryDisk {
    const env = new SteppedEnv(5);
    const engine = new MemoryEngine(env);
    const sink: SnapshotSink = createDbInstaller(engine);
    env.wait<undefined>((done) => sink.write(stream, (error) => done(error, undefined)));
    env.wait<undefined>((done) => sink.finish((error) => done(error, undefined)));
    return engine.disk;
  }

  function rowsOf(disk: MemoryDisk): Row[] {
    return [...disk.contents()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  }

  it('is refused when a row is missing, though the stream is whole', () => {
    const rows = rowsOf(history(() => undefined));
    expect(() => open(receive(streamOf('mstydb02', rows)))).not.to.throw();
    rows.forEach((row, i) => {
      const rest = rows.filter((_row, j) => j !== i);
      expect(() => receive(streamOf('mstydb02', rest)), nameOf(row.key)).to.throw(
        'the received snapshot is damaged',
      );
    });
  });

  it('of mainstay 0.1.0 is taken, and gets its witness when it is opened', () => {
    const rows = rowsOf(history(() => undefined)).filter(
      ({ key }) => !/^m(format|witness)$/.test(nameOf(key)),
    );
    expect(() => receive(streamOf('mstydb02', rows))).to.throw('its witness is missing');
    const disk = receive(streamOf('mstydb01', rows));
    open(disk);
    expect(disk.synced.has(nameOf(metaKey(MetaKey.witness)))).to.equal(true);
  });

  it('is not sent when the sender’s rows contradict its witness', () => {
    const image = open(history(() => undefined));
    const lost = image.engine.keys().find((key) => key[0] === Bucket.lease) as Uint8Array;
    image.engine.write({ puts: [], deletes: [lost] }, false, () => undefined);
    image.env.settle();
    const { source } = image.env.wait<DbSnapshot>((done) =>
      openDbSnapshot(image.backend, (error, snapshot) => done(error, snapshot as DbSnapshot)),
    );
    expect(() => {
      while (image.env.wait<Uint8Array | null>((done) => source.next(done)) !== null);
    }).to.throw(Fatal, 'bucket "lease" holds');
  });
});
