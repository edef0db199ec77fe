import { invariant } from '../base/invariant.js';
import type { Entry, EntryType, Index, Term } from './types.js';
import { LARGE_PAYLOAD_BYTES, SLAB_BYTES, SLAB_ENTRIES, SPARE_SLABS } from './limits.js';

/** Entries with contiguous indexes; entry i of the slab has index `first` + i. */
class Slab {
  readonly bytes: Uint8Array;
  first: Index = 0;
  count = 0;
  private readonly terms: Float64Array;
  private readonly types: Uint8Array;
  /** Offset at which each payload ends; it begins where the one before ends. */
  private readonly ends: Uint32Array;

  constructor(bytes: Uint8Array, entries: number) {
    this.bytes = bytes;
    this.terms = new Float64Array(entries);
    this.types = new Uint8Array(entries);
    this.ends = new Uint32Array(entries);
  }

  get last(): Index {
    return this.first + this.count - 1;
  }

  get isReusable(): boolean {
    return this.terms.length === SLAB_ENTRIES;
  }

  fits(payloadBytes: number): boolean {
    return (
      this.count < this.terms.length &&
      this.startOf(this.count) + payloadBytes <= this.bytes.length &&
      this.isReusable
    );
  }

  /** Requires: `fits`, or an empty slab whose bytes are the payload. */
  add(entry: Entry): void {
    const at = this.count;
    const start = this.startOf(at);
    if (this.bytes !== entry.data) this.bytes.set(entry.data, start);
    this.terms[at] = entry.term;
    this.types[at] = entry.type;
    this.ends[at] = start + entry.data.length;
    this.count = at + 1;
  }

  term(at: number): Term {
    return this.terms[at] as number;
  }

  type(at: number): EntryType {
    return this.types[at] as EntryType;
  }

  /** A copy: the slab may be used for other entries while a caller still holds the payload. */
  payload(at: number): Uint8Array {
    if (!this.isReusable) return this.bytes;
    return this.bytes.slice(this.startOf(at), this.ends[at]);
  }

  private startOf(at: number): number {
    return at === 0 ? 0 : (this.ends[at - 1] as number);
  }
}

/**
 * Applied entries that stay for members that are behind. Payloads lie behind one another in slabs
 * of bytes, with term, kind and end of each in columns. Thousands of entries live for minutes; as
 * objects, each would be copied by two young collections and then wait for a full one.
 *
 * Reading one makes an object and copies the payload: that is rare. Called by raft-log.ts only.
 */
export class ColdEntries {
  /** Ascending and contiguous. */
  private slabs: Slab[] = [];
  private readonly spare: Slab[] = [];

  /** Adds the entry after the last one. */
  add(entry: Entry): void {
    let slab = this.slabs[this.slabs.length - 1];
    invariant(
      slab === undefined || entry.index === slab.last + 1,
      'entry {} does not follow the last cold one',
      entry.index,
    );
    if (entry.data.length > LARGE_PAYLOAD_BYTES)
      slab = this.append(new Slab(entry.data, 1), entry.index);
    else if (slab === undefined || !slab.fits(entry.data.length)) {
      slab = this.append(this.spare.pop() ?? emptySlab(), entry.index);
    }
    slab.add(entry);
  }

  term(index: Index): Term {
    const slab = this.slabOf(index);
    return slab.term(index - slab.first);
  }

  entry(index: Index): Entry {
    const slab = this.slabOf(index);
    const at = index - slab.first;
    return { term: slab.term(at), index, type: slab.type(at), data: slab.payload(at) };
  }

  /** Forgets entries <= `index`, a slab at a time. */
  dropTo(index: Index): void {
    let dropped = 0;
    for (; dropped < this.slabs.length; dropped++) {
      const slab = this.slabs[dropped] as Slab;
      if (slab.last > index) break;
      slab.count = 0;
      if (slab.isReusable && this.spare.length < SPARE_SLABS) this.spare.push(slab);
    }
    if (dropped > 0) this.slabs = this.slabs.slice(dropped);
  }

  clear(): void {
    this.dropTo(Infinity);
  }

  private append(slab: Slab, first: Index): Slab {
    slab.first = first;
    this.slabs.push(slab);
    return slab;
  }

  private slabOf(index: Index): Slab {
    const { slabs } = this;
    let low = 0;
    let high = slabs.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((slabs[middle] as Slab).last < index) low = middle + 1;
      else high = middle;
    }
    const slab = slabs[low];
    invariant(
      slab !== undefined && index >= slab.first && index <= slab.last,
      'entry {} is not among the cold ones',
      index,
    );
    return slab;
  }
}

function emptySlab(): Slab {
  return new Slab(new Uint8Array(SLAB_BYTES), SLAB_ENTRIES);
}
