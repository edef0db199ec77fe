import { invariant } from '../base/invariant.js';
import type { Key } from '../base/collections/interval.js';

/**
 * A B+tree from key to the newest change of the key, with the number of live keys below every node.
 *
 * A leaf is a structure of arrays: strings for the keys and two typed arrays for the numbers. A key
 * with a single revision costs its string and 32 bytes. Two summaries per child make counting
 * cheap: the number of live keys below, and the newest revision below. A subtree that did not
 * change after revision R has the same live count at R as now.
 *
 * Binary search rarely touches the strings. Each node keeps six bytes of every key as a number and
 * compares strings only on a tie. The bytes are taken behind the prefix that the node's bounds in
 * its parent have in common ("skip"). A first or last child has no bound of its own on one side and
 * skips nothing.
 *
 *   parent lows  .. /pods/ns-1/a040 | /pods/ns-1/a090 ..      child between them: skip 12
 *   child keys   /pods/ns-1/a040, /pods/ns-1/a041 ..          heads "40", "41" as numbers
 *
 * Operations leave the path they descended in the tree object; the methods that change counts or structure
 * use it, so each must follow a `find` of the same key. Called by key-index.ts only.
 */

const LEAF_MAX = 64;
const INNER_MAX = 64;
const LEAF_MIN = LEAF_MAX / 4;
const INNER_MIN = INNER_MAX / 4;
/** Neighbours merge only when the result keeps room, so that a merge is not undone by the next insert. */
const MERGE_MAX = (LEAF_MAX * 3) / 4;
const HEIGHT_MAX = 16;

/** Numbers of a slot: `NUMS` doubles and `INTS` unsigned integers. */
export const NUMS = 3;
export const MOD = 0;
export const CREATE = 1;
/** 0 when the newest change of the key is a tombstone. */
export const VERSION = 2;
export const INTS = 3;
export const SUB = 0;
/** First older revision of the key in the arena, 0 when there is none. */
export const OLDER = 1;
/** Bytes of the row that the newest change wrote. */
export const SIZE = 2;

export class Leaf {
  readonly keys: Key[] = [];
  readonly nums = new Float64Array(LEAF_MAX * NUMS);
  readonly ints = new Uint32Array(LEAF_MAX * INTS);
  readonly heads = new Float64Array(LEAF_MAX);
  /** Every key that belongs here has this many first characters in common. */
  skip = 0;
  size = 0;
  live = 0;
}

export class Inner {
  /** lows[i] <= every key below children[i] < lows[i + 1]; lows[0] is not used. */
  readonly lows: Key[] = [];
  readonly children: (Leaf | Inner)[] = [];
  readonly live = new Float64Array(INNER_MAX);
  readonly newest = new Float64Array(INNER_MAX);
  /** As in a leaf, of `lows`. */
  readonly heads = new Float64Array(INNER_MAX);
  skip = 0;
  size = 0;
}

export class BTree {
  private root: Leaf | Inner = new Leaf();
  /** Number of inner levels above the leaves. */
  private height = 0;
  private readonly path: Inner[] = [];
  private readonly at = new Int32Array(HEIGHT_MAX);

  /** Position of the last `find`, `seek` or `nextLeaf`. */
  leaf: Leaf;
  slot = 0;
  /** Keys in the tree, live or not. */
  size = 0;

  constructor() {
    this.leaf = this.root as Leaf;
  }

  get live(): number {
    if (this.height === 0) return (this.root as Leaf).live;
    const root = this.root as Inner;
    let sum = 0;
    for (let i = 0; i < root.size; i++) sum += root.live[i] as number;
    return sum;
  }

  /** Moves to the first slot with a key >= `key` in the leaf that `key` belongs to; true when it holds `key`. */
  find(key: Key): boolean {
    let node = this.root;
    for (let level = 0; level < this.height; level++) {
      const inner = node as Inner;
      const child = childFor(inner, key);
      this.path[level] = inner;
      this.at[level] = child;
      node = inner.children[child] as Leaf | Inner;
    }
    const leaf = node as Leaf;
    const { keys, heads } = leaf;
    const head = headOf(key, leaf.skip);
    let low = 0;
    let high = leaf.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = heads[middle] as number;
      if (other < head || (other === head && (keys[middle] as Key) < key)) low = middle + 1;
      else high = middle;
    }
    this.leaf = leaf;
    this.slot = low;
    return low < leaf.size && keys[low] === key;
  }

  /**
   * A number for the leaf that `key` belongs to: it grows with the key and is the same for all keys of a leaf. It costs
   * a search without a look at the leaf, and holds until the tree changes. Below 2^30 up to 10^9 keys.
   */
  placeOf(key: Key): number {
    let place = 0;
    let node = this.root;
    for (let level = 0; level < this.height; level++) {
      const inner = node as Inner;
      const child = childFor(inner, key);
      place = place * INNER_MAX + child;
      node = inner.children[child] as Leaf | Inner;
    }
    return place;
  }

  /** Moves to the first key >= `key`; false when there is none. */
  seek(key: Key): boolean {
    this.find(key);
    return this.slot < this.leaf.size || this.nextLeaf();
  }

  /** Moves to the first slot of the next leaf that has keys; false at the end. */
  nextLeaf(): boolean {
    for (let level = this.height - 1; level >= 0; level--) {
      const inner = this.path[level] as Inner;
      const next = (this.at[level] as number) + 1;
      if (next >= inner.size) continue;
      this.at[level] = next;
      let node = inner.children[next] as Leaf | Inner;
      for (let below = level + 1; below < this.height; below++) {
        const child = node as Inner;
        this.path[below] = child;
        this.at[below] = 0;
        node = child.children[0] as Leaf | Inner;
      }
      this.leaf = node as Leaf;
      this.slot = 0;
      return true;
    }
    return false;
  }

  /** Records a change at revision `main` in the slot found, and that the live count changed by `delta`. */
  touch(main: number, delta: number): void {
    this.leaf.live += delta;
    invariant(
      this.leaf.live >= 0 && this.leaf.live <= this.leaf.size,
      'a leaf of {} keys has {} live ones',
      this.leaf.size,
      this.leaf.live,
    );
    for (let level = 0; level < this.height; level++) {
      const inner = this.path[level] as Inner;
      const i = this.at[level] as number;
      // Rows of an image come in the order of keys, not of revisions.
      if (main > (inner.newest[i] as number)) inner.newest[i] = main;
      inner.live[i] = (inner.live[i] as number) + delta;
    }
  }

  /**
   * Adds `key` where `find` left off, with cleared numbers; `leaf` and `slot` point at it afterwards.
   *
   * Requires: `find(key)` returned false. The caller fills in the numbers and calls `touch`.
   */
  insert(key: Key): void {
    if (this.leaf.size === LEAF_MAX) this.splitLeaf(key);
    const leaf = this.leaf;
    const slot = this.slot;
    const keys = leaf.keys;
    const size = leaf.size;
    invariant(
      size < LEAF_MAX &&
        (slot === 0 || (keys[slot - 1] as Key) < key) &&
        (slot === size || key < (keys[slot] as Key)),
      'key inserted out of order at slot {} of {}',
      slot,
      size,
    );
    if (slot === size) {
      keys.push(key);
    } else {
      keys.push(keys[size - 1] as Key);
      for (let i = size - 1; i > slot; i--) keys[i] = keys[i - 1] as Key;
      keys[slot] = key;
      leaf.nums.copyWithin((slot + 1) * NUMS, slot * NUMS, size * NUMS);
      leaf.ints.copyWithin((slot + 1) * INTS, slot * INTS, size * INTS);
      leaf.heads.copyWithin(slot + 1, slot, size);
    }
    leaf.heads[slot] = headOf(key, leaf.skip);
    leaf.nums.fill(0, slot * NUMS, (slot + 1) * NUMS);
    leaf.ints.fill(0, slot * INTS, (slot + 1) * INTS);
    leaf.size = size + 1;
    this.size++;
  }

  private splitLeaf(key: Key): void {
    const left = this.leaf;
    const right = new Leaf();
    // Keys that arrive in ascending order would leave half-empty leaves behind if a split were always even.
    const from = this.slot === LEAF_MAX ? LEAF_MAX : LEAF_MAX / 2;
    moveSlots(left, right, from);
    this.addSibling(this.height - 1, right, from === LEAF_MAX ? key : (right.keys[0] as Key));
    if (this.slot > from || from === LEAF_MAX) {
      this.slot -= from;
      this.leaf = right;
    } else {
      this.stepBack(this.height - 1);
    }
  }

  /** Puts `node` right of the child on the path at `level` and leaves the path pointing at `node`. */
  private addSibling(level: number, node: Leaf | Inner, low: Key): void {
    if (level < 0) {
      const root = new Inner();
      root.children.push(this.root);
      root.lows.push('');
      root.size = 1;
      summarize(root, 0);
      this.root = root;
      this.height++;
      // The path gains a level at the top.
      this.path.unshift(root);
      this.at.copyWithin(1, 0, HEIGHT_MAX - 1);
      this.at[0] = 0;
      this.placeChild(0, node, low);
      return;
    }
    this.placeChild(level, node, low);
  }

  private placeChild(level: number, node: Leaf | Inner, low: Key): void {
    let depth = level;
    let parent = this.path[depth] as Inner;
    if (parent.size === INNER_MAX) {
      const heightBefore = this.height;
      this.splitInner(depth);
      depth += this.height - heightBefore;
      parent = this.path[depth] as Inner;
    }
    const index = (this.at[depth] as number) + 1;
    parent.children.splice(index, 0, node);
    parent.lows.splice(index, 0, low);
    parent.live.copyWithin(index + 1, index, parent.size);
    parent.newest.copyWithin(index + 1, index, parent.size);
    parent.heads.copyWithin(index + 1, index, parent.size);
    parent.heads[index] = headOf(low, parent.skip);
    parent.size++;
    refreshSkip(parent, index - 1);
    refreshSkip(parent, index);
    summarize(parent, index);
    // The left one's newest revision may have moved; an upper bound is good enough, so it stays.
    parent.live[index - 1] = liveBelow(parent.children[index - 1] as Leaf | Inner);
    this.at[depth] = index;
  }

  /** Splits the full inner node on the path at `level`; the path follows the child it pointed at. */
  private splitInner(level: number): void {
    const left = this.path[level] as Inner;
    const right = new Inner();
    const index = this.at[level] as number;
    const from = index === INNER_MAX - 1 ? INNER_MAX - 1 : INNER_MAX / 2;
    moveChildren(left, right, from);
    // They have become a last and a first child.
    refreshSkip(left, from - 1);
    refreshSkip(right, 0);
    const heightBefore = this.height;
    this.addSibling(level - 1, right, right.lows[0] as Key);
    const depth = level + this.height - heightBefore;
    if (index >= from) {
      this.path[depth] = right;
      this.at[depth] = index - from;
    } else {
      this.stepBack(depth - 1);
    }
  }

  /** Undoes the move to the new sibling when the wanted position stayed in the left one. */
  private stepBack(level: number): void {
    this.at[level] = (this.at[level] as number) - 1;
  }

  /**
   * Takes the slot the last `find` found out of its leaf.
   *
   * The live count must not include it any more. The leaf may be left small or empty: `shrink` mends that.
   */
  removeSlot(leaf: Leaf, slot: number): void {
    invariant(slot < leaf.size && leaf.live < leaf.size, 'slot {} of {} is live', slot, leaf.size);
    leaf.keys.splice(slot, 1);
    leaf.nums.copyWithin(slot * NUMS, (slot + 1) * NUMS, leaf.size * NUMS);
    leaf.ints.copyWithin(slot * INTS, (slot + 1) * INTS, leaf.size * INTS);
    leaf.heads.copyWithin(slot, slot + 1, leaf.size);
    leaf.size--;
    this.size--;
  }

  /** Merges the leaf on the path with a neighbour, or drops it when empty, and so on upwards. */
  shrink(): void {
    if (this.leaf.size >= LEAF_MIN) return;
    for (let level = this.height - 1; level >= 0; level--) {
      const parent = this.path[level] as Inner;
      const index = this.at[level] as number;
      const child = parent.children[index] as Leaf | Inner;
      if (child.size === 0) {
        dropChild(parent, index);
      } else if (
        index + 1 < parent.size &&
        fits(child, parent.children[index + 1] as Leaf | Inner)
      ) {
        mergeRight(parent, index);
      } else if (index > 0 && fits(child, parent.children[index - 1] as Leaf | Inner)) {
        mergeRight(parent, index - 1);
      }
      if (parent.size >= INNER_MIN) break;
    }
    while (this.height > 0 && this.root.size <= 1) {
      const root = this.root as Inner;
      this.root = root.size === 1 ? (root.children[0] as Leaf | Inner) : new Leaf();
      this.height = root.size === 1 ? this.height - 1 : 0;
    }
  }

  /** Live keys < `key`. Cost: O(log n). */
  rank(key: Key): number {
    this.find(key);
    let sum = 0;
    for (let level = 0; level < this.height; level++) {
      const live = (this.path[level] as Inner).live;
      const end = this.at[level] as number;
      for (let i = 0; i < end; i++) sum += live[i] as number;
    }
    const leaf = this.leaf;
    if (leaf.live === leaf.size) return sum + this.slot;
    for (let i = 0; i < this.slot; i++) if (leaf.nums[i * NUMS + VERSION] !== 0) sum++;
    return sum;
  }

  /**
   * Calls `visit(leaf, from, to)` for the slots of [start, end) in key order. Calls `skip(live)`
   * instead for whole subtrees inside the interval that did not change after `revision`.
   */
  scanChanged(
    start: Key,
    end: Key | null,
    revision: number,
    skip: (live: number) => void,
    visit: (leaf: Leaf, from: number, to: number) => void,
  ): void {
    this.scanNode(this.root, this.height, start, end, revision, skip, visit);
  }

  private scanNode(
    node: Leaf | Inner,
    height: number,
    start: Key | null,
    end: Key | null,
    revision: number,
    skip: (live: number) => void,
    visit: (leaf: Leaf, from: number, to: number) => void,
  ): void {
    if (height === 0) {
      const leaf = node as Leaf;
      const from = start === null ? 0 : lowerBound(leaf, start);
      const to = end === null ? leaf.size : lowerBound(leaf, end);
      if (from < to) visit(leaf, from, to);
      return;
    }
    const inner = node as Inner;
    for (let i = 0; i < inner.size; i++) {
      const next = i + 1 < inner.size ? (inner.lows[i + 1] as Key) : null;
      if (start !== null && next !== null && next <= start) continue;
      if (end !== null && i > 0 && (inner.lows[i] as Key) >= end) break;
      const startInside = start !== null && (i === 0 || (inner.lows[i] as Key) < start);
      const endInside = end !== null && (next === null || next > end);
      if (!startInside && !endInside && (inner.newest[i] as number) <= revision) {
        skip(inner.live[i] as number);
        continue;
      }
      this.scanNode(
        inner.children[i] as Leaf | Inner,
        height - 1,
        startInside ? start : null,
        endInside ? end : null,
        revision,
        skip,
        visit,
      );
    }
  }

  /** Checks every promise of the structure, for tests. Throws: Error naming the first broken one. */
  check(): void {
    const total = checkNode(this.root, this.height, null, null);
    if (total !== this.size) throw new Error(`tree holds ${total} keys, size says ${this.size}`);
  }
}

/** The child below which `key` belongs. */
function childFor(inner: Inner, key: Key): number {
  const { lows, heads } = inner;
  const head = headOf(key, inner.skip);
  let low = 1;
  let high = inner.size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = heads[middle] as number;
    if (other < head || (other === head && (lows[middle] as Key) <= key)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function lowerBound(leaf: Leaf, key: Key): number {
  let low = 0;
  let high = leaf.size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((leaf.keys[middle] as Key) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function liveBelow(node: Leaf | Inner): number {
  if (node instanceof Leaf) return node.live;
  let sum = 0;
  for (let i = 0; i < node.size; i++) sum += node.live[i] as number;
  return sum;
}

function newestBelow(node: Leaf | Inner): number {
  const values = node instanceof Leaf ? node.nums : node.newest;
  const step = node instanceof Leaf ? NUMS : 1;
  let newest = 0;
  for (let i = 0; i < node.size; i++) newest = Math.max(newest, values[i * step + MOD] as number);
  return newest;
}

function summarize(parent: Inner, index: number): void {
  const child = parent.children[index] as Leaf | Inner;
  parent.live[index] = liveBelow(child);
  parent.newest[index] = newestBelow(child);
}

/** Moves the slots [from, size) of `left` to the end of `right`. */
function moveSlots(left: Leaf, right: Leaf, from: number): void {
  invariant(right.size + left.size - from <= LEAF_MAX, 'a leaf of more than {} keys', LEAF_MAX);
  right.nums.set(left.nums.subarray(from * NUMS, left.size * NUMS), right.size * NUMS);
  right.ints.set(left.ints.subarray(from * INTS, left.size * INTS), right.size * INTS);
  for (let i = from; i < left.size; i++) {
    right.keys.push(left.keys[i] as Key);
    if (left.nums[i * NUMS + VERSION] !== 0) {
      left.live--;
      right.live++;
    }
  }
  const moved = right.size;
  right.size += left.size - from;
  fillHeads(right, moved);
  left.keys.length = from;
  left.size = from;
}

function moveChildren(left: Inner, right: Inner, from: number): void {
  invariant(right.size + left.size - from <= INNER_MAX, 'more than {} children', INNER_MAX);
  right.live.set(left.live.subarray(from, left.size), right.size);
  right.newest.set(left.newest.subarray(from, left.size), right.size);
  for (let i = from; i < left.size; i++) {
    right.children.push(left.children[i] as Leaf | Inner);
    right.lows.push(left.lows[i] as Key);
  }
  const moved = right.size;
  right.size += left.size - from;
  fillHeads(right, moved);
  left.children.length = from;
  left.lows.length = from;
  left.size = from;
}

function dropChild(parent: Inner, index: number): void {
  parent.children.splice(index, 1);
  parent.lows.splice(index, 1);
  parent.live.copyWithin(index, index + 1, parent.size);
  parent.newest.copyWithin(index, index + 1, parent.size);
  parent.heads.copyWithin(index, index + 1, parent.size);
  parent.size--;
  // The bounds of both neighbours have become wider.
  if (index > 0) refreshSkip(parent, index - 1);
  if (index < parent.size) refreshSkip(parent, index);
}

/** Six characters of the key from `skip` on as a number; missing ones count as 0. Order never contradicts the keys'. */
function headOf(key: Key, skip: number): number {
  // charCodeAt behind the end is NaN, which the shifts turn into 0.
  const high =
    (key.charCodeAt(skip) << 16) | (key.charCodeAt(skip + 1) << 8) | key.charCodeAt(skip + 2);
  const low =
    (key.charCodeAt(skip + 3) << 16) | (key.charCodeAt(skip + 4) << 8) | key.charCodeAt(skip + 5);
  return high * 0x1000000 + low;
}

function fillHeads(node: Leaf | Inner, from: number): void {
  const keys = node instanceof Leaf ? node.keys : node.lows;
  for (let i = from; i < node.size; i++) node.heads[i] = headOf(keys[i] as Key, node.skip);
}

/** Makes the child skip what its bounds in this parent have in common. */
function refreshSkip(parent: Inner, index: number): void {
  const child = parent.children[index] as Leaf | Inner;
  const skip = skipAt(parent, index);
  if (child.skip === skip) return;
  child.skip = skip;
  fillHeads(child, 0);
}

function skipAt(parent: Inner, index: number): number {
  if (index === 0 || index === parent.size - 1) return 0;
  const low = parent.lows[index] as Key;
  const high = parent.lows[index + 1] as Key;
  let skip = 0;
  while (skip < low.length && low.charCodeAt(skip) === high.charCodeAt(skip)) skip++;
  return skip;
}

function fits(a: Leaf | Inner, b: Leaf | Inner): boolean {
  return a.size + b.size <= MERGE_MAX;
}

/** Moves everything of child `index + 1` into child `index`. */
function mergeRight(parent: Inner, index: number): void {
  invariant(index + 1 < parent.size, 'child {} of {} has no right one', index, parent.size);
  const left = parent.children[index] as Leaf | Inner;
  const right = parent.children[index + 1] as Leaf | Inner;
  if (left instanceof Leaf) {
    moveSlots(right as Leaf, left, 0);
  } else {
    (right as Inner).lows[0] = parent.lows[index + 1] as Key;
    moveChildren(right as Inner, left, 0);
  }
  dropChild(parent, index + 1);
  summarize(parent, index);
}

function checkNode(node: Leaf | Inner, height: number, low: Key | null, high: Key | null): number {
  const keys = node instanceof Leaf ? node.keys : node.lows;
  for (let i = node instanceof Leaf ? 0 : 1; i < node.size; i++) {
    if (node.heads[i] !== headOf(keys[i] as Key, node.skip))
      throw new Error(`head ${i} is not its key's`);
  }
  if (height === 0) {
    if (!(node instanceof Leaf)) throw new Error('inner node at the leaf level');
    let live = 0;
    for (let i = 0; i < node.size; i++) {
      const key = node.keys[i] as Key;
      if (i > 0 && (node.keys[i - 1] as Key) >= key) throw new Error(`keys out of order at ${key}`);
      if ((low !== null && key < low) || (high !== null && key >= high))
        throw new Error(`${key} strayed`);
      if (node.nums[i * NUMS + VERSION] !== 0) live++;
    }
    if (node.keys.length !== node.size) throw new Error('a leaf holds more keys than its size');
    if (live !== node.live) throw new Error(`leaf has ${live} live keys, says ${node.live}`);
    return node.size;
  }
  if (node instanceof Leaf) throw new Error('leaf above the leaf level');
  if (node.size === 0) throw new Error('empty inner node');
  let total = 0;
  for (let i = 0; i < node.size; i++) {
    const child = node.children[i] as Leaf | Inner;
    if (child.skip > skipAt(node, i))
      throw new Error(`child ${i} skips more than its bounds share`);
    const from = i === 0 ? low : (node.lows[i] as Key);
    const to = i + 1 < node.size ? (node.lows[i + 1] as Key) : high;
    total += checkNode(child, height - 1, from, to);
    if (node.live[i] !== liveBelow(child)) throw new Error(`child ${i}: live count differs`);
    if ((node.newest[i] as number) < newestBelow(child))
      throw new Error(`child ${i}: newest too low`);
  }
  return total;
}
