import { crc32c } from '../base/bytes/crc32c.js';
import type { Done } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import { Bucket, MetaKey } from './buckets.js';
import { ImageCheck } from './image-check.js';
import {
  IMAGE_BATCH_BYTES,
  IMAGE_CHUNK_BYTES,
  IMAGE_READ_ROWS,
  IMAGE_ROW_BYTES,
} from './limits.js';
import type { Backend } from './backend.js';
import { readU64, writeU64 } from '../base/bytes/big-endian.js';
import type {
  Engine,
  EngineBatch,
  EngineIterator,
  SnapshotSink,
  SnapshotSource,
} from './engine.js';

/**
 * The whole content of a backend as a stream of bytes, and the way back into an empty engine.
 *
 *   stream := magic row* end
 *   row    := keyBytes:u32be valueBytes:u32be key value      (key with its bucket, value with its checksum)
 *   end    := 0xffffffff:u32be rows:u64be crc32c:u32be       (checksum of everything before it)
 *
 * The stream is cut into chunks without regard to rows. Rows are verified when they leave and when they arrive, and
 * compared with the witness among them; the end mark proves that none is missing. Called by the member to bring a follower up to date.
 */

/** Version 2 holds a witness, which a receiver that does not keep it up to date must not take. */
const MAGIC = Buffer.from('mstydb02', 'latin1');
/** Magic of a stream from mainstay 0.1.0: the same without format and witness. */
const MAGIC_FIRST = Buffer.from('mstydb01', 'latin1');
const END_MARK = 0xffffffff;
const END_BYTES = 4 + 8 + 4;
const ROW_HEAD_BYTES = 8;
const FIRST_KEY = Uint8Array.of(0);
const BEHIND_LAST_KEY = Uint8Array.of(0xff);

export interface DbSnapshot {
  readonly source: SnapshotSource;
  readonly appliedIndex: number;
  readonly term: number;
  readonly confState: Uint8Array;
}

/** Opens a stream of everything flushed, as of one applied index. The source must be closed. */
export function openDbSnapshot(
  backend: Backend,
  done: (error: Error | null, snapshot: DbSnapshot | null) => void,
): void {
  backend.whenFlushedWritten(() => {
    backend.whenIdle(() => {
      const appliedIndex = writtenNumber(backend, MetaKey.consistentIndex);
      const term = writtenNumber(backend, MetaKey.term);
      const confState = writtenMeta(backend, MetaKey.confState) ?? new Uint8Array(0);
      const rows = backend.engine.iterate({ gte: FIRST_KEY, lt: BEHIND_LAST_KEY });
      done(null, { source: new RowStream(backend, rows), appliedIndex, term, confState });
    });
  });
}

function writtenMeta(backend: Backend, name: string): Uint8Array | undefined {
  return backend.getWritten(Bucket.meta, Buffer.from(name, 'latin1'));
}

function writtenNumber(backend: Backend, name: string): number {
  const bytes = writtenMeta(backend, name);
  return bytes === undefined ? 0 : readU64(bytes, 0);
}

class RowStream implements SnapshotSource {
  private readonly backend: Backend;
  private readonly iterator: EngineIterator;
  private rows: [Uint8Array, Uint8Array][] = [];
  private nextRow = 0;
  private isEnd = false;
  private isSealed = false;
  private rowCount = 0;
  private isFilling = false;
  private crc = 0;
  private readonly check = new ImageCheck();
  /** Bytes that belong to the stream but did not fit into the chunk before. */
  private rest: Uint8Array[] = [MAGIC];

  constructor(backend: Backend, iterator: EngineIterator) {
    this.backend = backend;
    this.iterator = iterator;
  }

  next(done: (error: Error | null, chunk: Uint8Array | null) => void): void {
    invariant(!this.isFilling, 'a chunk was asked for before the one before it was there');
    this.isFilling = true;
    const chunk = Buffer.allocUnsafe(IMAGE_CHUNK_BYTES);
    this.fill(chunk, 0, (error, filled) => {
      this.isFilling = false;
      done(error, filled);
    });
  }

  private fill(
    chunk: Buffer,
    start: number,
    done: (error: Error | null, chunk: Uint8Array | null) => void,
  ): void {
    let at = start;
    for (;;) {
      at = this.drainRest(chunk, at);
      if (at === chunk.length) break;
      if (this.nextRow < this.rows.length) {
        this.takeRow();
      } else if (this.isEnd) {
        break;
      } else {
        this.iterator.next(IMAGE_READ_ROWS, (error, rows) => {
          if (error !== null) {
            done(error, null);
            return;
          }
          this.rows = rows;
          this.nextRow = 0;
          if (rows.length === 0) this.takeEnd();
          this.fill(chunk, at, done);
        });
        return;
      }
    }
    if (at === 0) done(null, null);
    else done(null, chunk.subarray(0, at));
  }

  private drainRest(chunk: Buffer, start: number): number {
    let at = start;
    let used = 0;
    for (const bytes of this.rest) {
      const part = bytes.subarray(0, chunk.length - at);
      chunk.set(part, at);
      this.crc = crc32c(part, this.crc);
      at += part.length;
      if (part.length < bytes.length) {
        this.rest[used] = bytes.subarray(part.length);
        break;
      }
      used++;
    }
    this.rest.splice(0, used);
    if (this.isEnd && this.rest.length === 0 && !this.isSealed) return this.drainSeal(chunk, at);
    return at;
  }

  /** The checksum covers the end mark, so it is complete only once that went out. */
  private drainSeal(chunk: Buffer, at: number): number {
    this.isSealed = true;
    const seal = Buffer.allocUnsafe(4);
    seal.writeUInt32BE(this.crc);
    this.rest.push(seal);
    return this.drainRest(chunk, at);
  }

  private takeRow(): void {
    const [key, value] = this.rows[this.nextRow++] as [Uint8Array, Uint8Array];
    const found = this.check.take(key, value);
    if (found !== null) this.backend.damaged(found);
    const head = Buffer.allocUnsafe(ROW_HEAD_BYTES);
    head.writeUInt32BE(key.length, 0);
    head.writeUInt32BE(value.length, 4);
    this.rest.push(head, key, value);
    this.rowCount++;
  }

  private takeEnd(): void {
    const found = this.check.finish();
    if (found !== null) this.backend.damaged(found);
    this.isEnd = true;
    const end = Buffer.allocUnsafe(END_BYTES - 4);
    end.writeUInt32BE(END_MARK, 0);
    writeU64(end, 4, this.rowCount);
    this.rest.push(end);
  }

  close(): void {
    this.iterator.close();
  }
}

/** A sink that fills `engine`. Requires: the engine is empty, and is thrown away after an error or `abort`. */
export function createDbInstaller(engine: Engine): SnapshotSink {
  return new Installer(engine);
}

class Installer implements SnapshotSink {
  private readonly engine: Engine;
  /** Received and not yet parsed; begins at a row. */
  /** Bytes that no whole row was made of yet, in the pieces they came in, and how many there must be before one can be. */
  private received: Uint8Array[] = [];
  private receivedBytes = 0;
  private neededBytes = 0;
  private puts: { key: Uint8Array; value: Uint8Array }[] = [];
  private putBytes = 0;
  private crc = 0;
  private rowCount = 0;
  private sawMagic = false;
  private isOfFirstFormat = false;
  private readonly check = new ImageCheck();
  private sawEnd = false;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  write(chunk: Uint8Array, done: Done): void {
    const damage = this.parse(chunk);
    if (damage !== null) done(new Error(`the received snapshot is damaged: ${damage}`));
    else if (this.putBytes >= IMAGE_BATCH_BYTES) this.engine.load(this.takeBatch(), done);
    else done(null);
  }

  private takeBatch(): EngineBatch {
    const puts = this.puts;
    this.puts = [];
    this.putBytes = 0;
    return { puts, deletes: [] };
  }

  /** Takes whole rows off the stream. Returns what is wrong with it, or null. */
  private parse(chunk: Uint8Array): string | null {
    // A copy, because the caller may reuse the chunk; rows stay views of it.
    this.received.push(Uint8Array.from(chunk));
    this.receivedBytes += chunk.length;
    // A long row comes in many chunks: they are put together once.
    if (this.receivedBytes < this.neededBytes) return null;
    const bytes = Buffer.concat(this.received);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    let needed = 0;
    if (!this.sawMagic && bytes.length >= MAGIC.length) {
      const magic = bytes.subarray(0, MAGIC.length);
      this.isOfFirstFormat = magic.equals(MAGIC_FIRST);
      if (!this.isOfFirstFormat && !magic.equals(MAGIC)) return 'it is of another format';
      this.crc = crc32c(magic);
      this.sawMagic = true;
      at = MAGIC.length;
    }
    while (this.sawMagic && at + ROW_HEAD_BYTES <= bytes.length) {
      if (this.sawEnd) return 'bytes follow its end';
      const keyBytes = view.getUint32(at);
      if (keyBytes === END_MARK) {
        if (at + END_BYTES > bytes.length) break;
        const damage = this.parseEnd(bytes, view, at);
        if (damage !== null) return damage;
        at += END_BYTES;
        continue;
      }
      const end = at + ROW_HEAD_BYTES + keyBytes + view.getUint32(at + 4);
      if (end - at > IMAGE_ROW_BYTES) return 'a row is too long';
      if (end > bytes.length) {
        needed = end - at;
        break;
      }
      const key = bytes.subarray(at + ROW_HEAD_BYTES, at + ROW_HEAD_BYTES + keyBytes);
      const value = bytes.subarray(at + ROW_HEAD_BYTES + keyBytes, end);
      const found = this.check.take(key, value);
      if (found !== null) return found;
      this.crc = crc32c(bytes, this.crc, at, end);
      this.puts.push({ key, value });
      this.putBytes += end - at;
      this.rowCount++;
      at = end;
    }
    this.received = at === bytes.length ? [] : [bytes.subarray(at)];
    this.receivedBytes = bytes.length - at;
    this.neededBytes = needed;
    return null;
  }

  private parseEnd(bytes: Uint8Array, view: DataView, at: number): string | null {
    if (readU64(bytes, at + 4) !== this.rowCount) return 'rows are missing';
    if (crc32c(bytes, this.crc, at, at + END_BYTES - 4) !== view.getUint32(at + END_BYTES - 4)) {
      return 'its checksum does not match';
    }
    this.sawEnd = true;
    return this.isOfFirstFormat && this.check.isOfFirstFormat ? null : this.check.finish();
  }

  finish(done: Done): void {
    if (!this.sawEnd || this.receivedBytes !== 0) {
      done(new Error('the received snapshot is damaged: it does not end where it should'));
      return;
    }
    this.engine.write(this.takeBatch(), true, done);
  }

  abort(): void {
    this.puts = [];
    this.received = [];
  }
}
