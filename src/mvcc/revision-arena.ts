/**
 * Superseded changes of keys, in columns of numbers: no object per change, and freed places are reused.
 *
 * Records form one list per key, newest first; a slot of the tree holds the head. Identifier 0 means "none".
 * Called by key-index.ts only.
 */

import { invariant } from '../base/invariant.js';

const CHUNK_BITS = 12;
const CHUNK_RECORDS = 1 << CHUNK_BITS;
const CHUNK_MASK = CHUNK_RECORDS - 1;

class Chunk {
  readonly mains = new Float64Array(CHUNK_RECORDS);
  readonly creates = new Float64Array(CHUNK_RECORDS);
  readonly versions = new Float64Array(CHUNK_RECORDS);
  readonly subs = new Uint32Array(CHUNK_RECORDS);
  readonly olders = new Uint32Array(CHUNK_RECORDS);
  readonly sizes = new Uint32Array(CHUNK_RECORDS);
}

export class RevisionArena {
  private readonly chunks: Chunk[] = [];
  private next = 1;
  private free = 0;
  /** Records in use. */
  size = 0;

  add(
    main: number,
    sub: number,
    create: number,
    version: number,
    older: number,
    size: number,
  ): number {
    invariant(older < this.next, 'an older change {} that was never added', older);
    let id = this.free;
    if (id !== 0) {
      this.free = this.older(id);
    } else {
      id = this.next++;
      if (id >>> CHUNK_BITS >= this.chunks.length) this.chunks.push(new Chunk());
    }
    const chunk = this.chunk(id);
    const i = id & CHUNK_MASK;
    chunk.mains[i] = main;
    chunk.subs[i] = sub;
    chunk.creates[i] = create;
    chunk.versions[i] = version;
    chunk.olders[i] = older;
    chunk.sizes[i] = size;
    this.size++;
    return id;
  }

  release(id: number): void {
    invariant(id > 0 && id < this.next && this.size > 0, 'change {} is released, none has it', id);
    this.chunk(id).olders[id & CHUNK_MASK] = this.free;
    this.free = id;
    this.size--;
    if (this.size === 0) this.reset();
  }

  private reset(): void {
    this.chunks.length = 0;
    this.next = 1;
    this.free = 0;
  }

  private chunk(id: number): Chunk {
    return this.chunks[id >>> CHUNK_BITS] as Chunk;
  }

  main(id: number): number {
    return this.chunk(id).mains[id & CHUNK_MASK] as number;
  }

  sub(id: number): number {
    return this.chunk(id).subs[id & CHUNK_MASK] as number;
  }

  create(id: number): number {
    return this.chunk(id).creates[id & CHUNK_MASK] as number;
  }

  /** 0 for a tombstone. */
  version(id: number): number {
    return this.chunk(id).versions[id & CHUNK_MASK] as number;
  }

  /** Bytes of the row that the change wrote. */
  rowSize(id: number): number {
    return this.chunk(id).sizes[id & CHUNK_MASK] as number;
  }

  older(id: number): number {
    return this.chunk(id).olders[id & CHUNK_MASK] as number;
  }

  setOlder(id: number, older: number): void {
    this.chunk(id).olders[id & CHUNK_MASK] = older;
  }
}
