import type { Key } from '../base/collections/interval.js';
import type { KeyIndex } from './key-index.js';

/**
 * Fills the key index with stored rows, which come in the order of revisions and so, as a rule, in
 * no order of keys. Added one by one, they would go to leaves all over the tree, each far from the
 * one before in memory. Here rows are collected and taken leaf by leaf. Rows of one key keep their
 * order.
 *
 * The more rows wait, the more of them share a leaf. A small beginning keeps the first ones from
 * being spread over a tree that they themselves make. Called by store.ts.
 */

const WAITING_MIN = 4 << 10;
/** Numbers of rows fit into this many bits, beside the place of a leaf in one number. */
const ROW_BITS = 18;
const WAITING_MAX = 1 << ROW_BITS;
/** A quarter of the keys there are: about ten rows a leaf. */
const PART_OF_TREE = 4;

export class IndexLoader {
  private readonly index: KeyIndex;
  private size = 0;
  private capacity = WAITING_MIN;
  private keys: Key[] = [];
  private mains = new Float64Array(WAITING_MIN);
  private creates = new Float64Array(WAITING_MIN);
  /** 0 for a tombstone. */
  private versions = new Float64Array(WAITING_MIN);
  private subs = new Uint32Array(WAITING_MIN);
  private sizes = new Uint32Array(WAITING_MIN);
  /** The keys that wait ascend: they are taken as they come. */
  private isAscending = true;

  constructor(index: KeyIndex) {
    this.index = index;
  }

  /** Adds a row; `version` 0 means a tombstone. */
  add(key: Key, main: number, sub: number, create: number, version: number, size: number): void {
    const i = this.size++;
    if (this.isAscending && i > 0 && (this.keys[i - 1] as Key) > key) this.isAscending = false;
    this.keys.push(key);
    this.mains[i] = main;
    this.creates[i] = create;
    this.versions[i] = version;
    this.subs[i] = sub;
    this.sizes[i] = size;
    if (this.size === this.capacity) this.take();
  }

  /** Takes what waits; the loader is not used any more. */
  finish(): void {
    this.take();
  }

  private take(): void {
    if (this.isAscending) {
      for (let i = 0; i < this.size; i++) this.restore(i);
    } else {
      for (const place of this.placesInOrder()) this.restore(place % WAITING_MAX);
    }
    this.size = 0;
    this.keys = [];
    this.isAscending = true;
    this.grow();
  }

  /** For each row the place of its leaf and its own number, in one number, ascending. */
  private placesInOrder(): Float64Array {
    const { index, keys, size } = this;
    const places = new Float64Array(size);
    for (let i = 0; i < size; i++) {
      places[i] = index.placeOf(keys[i] as Key) * WAITING_MAX + i;
    }
    return places.sort();
  }

  private restore(i: number): void {
    const { index } = this;
    const key = this.keys[i] as Key;
    const main = this.mains[i] as number;
    const sub = this.subs[i] as number;
    const version = this.versions[i] as number;
    if (version === 0) index.restoreTombstone(key, main, sub);
    else
      index.restorePut(key, main, sub, this.creates[i] as number, version, this.sizes[i] as number);
  }

  private grow(): void {
    const wanted = Math.min(WAITING_MAX, Math.floor(this.index.size / PART_OF_TREE));
    if (wanted < this.capacity * 2) return;
    this.capacity = wanted;
    this.mains = new Float64Array(wanted);
    this.creates = new Float64Array(wanted);
    this.versions = new Float64Array(wanted);
    this.subs = new Uint32Array(wanted);
    this.sizes = new Uint32Array(wanted);
  }
}
