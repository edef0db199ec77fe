import { invariant, verification } from '../base/invariant.js';
import { BTree, CREATE, INTS, MOD, NUMS, OLDER, SIZE, SUB, VERSION } from './btree.js';
import type { Leaf } from './btree.js';
import { RevisionArena } from './revision-arena.js';
import type { Interval, Key } from '../base/collections/interval.js';
import { ALL_SUBS, type RowRef } from './types.js';

/**
 * The key index: for every key the revisions that changed it since the last compaction.
 *
 * The newest change of a key lives in the tree's slot, older ones in a list in the arena, newest first. A
 * change with version 0 is a tombstone, so generations need no structure of their own:
 *
 *   put(a)@2 put(a)@3 delete(a)@4 put(a)@6
 *   slot  a: mod 6 create 6 version 1 -> 4 tombstone -> 3 create 2 version 2 -> 2 create 2 version 1
 *   at 5: the newest change with main <= 5 is the tombstone, so `a` is absent
 *   compact(5): nothing at or below 5 can be read any more, so the list is cut behind the slot
 *
 * Promises: answers for any revision from the compaction revision on are those of the history; counting at a
 * revision costs only what changed since it. Does not: hold values, write anything, check
 * revisions.
 * Called by store.ts, write-txn.ts and compaction.ts.
 */

/**
 * Called for every change that compaction removed, in an order that is safe to interrupt anywhere.
 */
export type OnRemovable = (main: number, sub: number, tombstone: boolean) => void;

/** Changes cut off a key: a list in the arena and, when `main` is not 0, the tombstone that ends them. */
interface Removable {
  older: number;
  readonly main: number;
  readonly sub: number;
}

/** Progress of a compaction of the index. */
export class CompactionCursor {
  readonly revision: number;
  after: Key | null = null;
  isTreeDone = false;
  readonly removable: Removable[] = [];

  constructor(revision: number) {
    this.revision = revision;
  }
}

/** Bounds of one list: changes of its own revision that count, and leaves that are walked. */
export interface ListBounds {
  readonly subs: number;
  readonly leaves: number;
}

const NO_BOUNDS: ListBounds = { subs: ALL_SUBS, leaves: Infinity };

export class KeyIndex {
  private tree = new BTree();
  private arena = new RevisionArena();

  // State of the key before the last `put` or `restore`, valid until the next call.
  /** Main revision of the previous live row, 0 when the key was absent. */
  previousMain = 0;
  previousSub = 0;
  /** create_revision and version that the last `put` gave the key. */
  create = 0;
  version = 0;

  /** The key at which the last list was cut; undefined when it went to its end. */
  listCut: Key | undefined = undefined;

  /** Number of keys, including deleted ones that a compaction has not removed yet. */
  get size(): number {
    return this.tree.size;
  }

  get live(): number {
    return this.tree.live;
  }

  /**
   * Records that `key` was put at (main, sub); `create`, `version` and `previous*` are the result.
   * The caller names the size of the row with `setRowSize`.
   */
  put(key: Key, main: number, sub: number): void {
    const tree = this.tree;
    if (!tree.find(key)) {
      tree.insert(key);
      this.become(main, 1, 0);
      this.fill(main, sub, main, 1);
      tree.touch(main, 1);
      return;
    }
    const at = tree.slot * NUMS;
    const nums = tree.leaf.nums;
    const version = nums[at + VERSION] as number;
    if (version === 0) this.become(main, 1, 0);
    else this.become(nums[at + CREATE] as number, version + 1, nums[at + MOD] as number);
    this.previousSub = tree.leaf.ints[tree.slot * INTS + SUB] as number;
    this.supersede(main, sub);
    this.fill(main, sub, this.create, this.version);
    tree.touch(main, version === 0 ? 1 : 0);
  }

  /** Bytes of the row that the last `put` wrote. */
  setRowSize(size: number): void {
    invariant(size > 0, 'a row of {} bytes', size);
    this.tree.leaf.ints[this.tree.slot * INTS + SIZE] = size;
  }

  /**
   * Records that the live key was deleted at (main, sub); `previous*` are the row it had. Returns:
   * false when it was not live.
   */
  delete(key: Key, main: number, sub: number): boolean {
    const tree = this.tree;
    if (!tree.find(key) || tree.leaf.nums[tree.slot * NUMS + VERSION] === 0) return false;
    this.previousMain = tree.leaf.nums[tree.slot * NUMS + MOD] as number;
    this.previousSub = tree.leaf.ints[tree.slot * INTS + SUB] as number;
    this.supersede(main, sub);
    this.fill(main, sub, 0, 0);
    tree.touch(main, -1);
    return true;
  }

  /** As BTree.placeOf. */
  placeOf(key: Key): number {
    return this.tree.placeOf(key);
  }

  /** Takes over a stored row while the index is rebuilt; the rows of one key come in revision order. */
  restorePut(
    key: Key,
    main: number,
    sub: number,
    create: number,
    version: number,
    size: number,
  ): void {
    const tree = this.tree;
    let delta = 1;
    if (!tree.find(key)) {
      tree.insert(key);
    } else {
      if (tree.leaf.nums[tree.slot * NUMS + VERSION] !== 0) delta = 0;
      this.supersede(main, sub);
    }
    this.fill(main, sub, create, version);
    this.setRowSize(size);
    tree.touch(main, delta);
  }

  /** As `restorePut`, for a tombstone; the row it ended may have been compacted. */
  restoreTombstone(key: Key, main: number, sub: number): void {
    const tree = this.tree;
    let delta = 0;
    if (!tree.find(key)) {
      tree.insert(key);
    } else {
      if (tree.leaf.nums[tree.slot * NUMS + VERSION] !== 0) delta = -1;
      this.supersede(main, sub);
    }
    this.fill(main, sub, 0, 0);
    tree.touch(main, delta);
  }

  private become(create: number, version: number, previousMain: number): void {
    this.create = create;
    this.version = version;
    this.previousMain = previousMain;
  }

  /** Moves the slot's change to the front of the key's list of older ones. */
  private supersede(main: number, sub: number): void {
    const { leaf, slot } = this.tree;
    const nums = leaf.nums;
    const ints = leaf.ints;
    const before = nums[slot * NUMS + MOD] as number;
    invariant(
      main > before || (main === before && sub > (ints[slot * INTS + SUB] as number)),
      'a change at {}.{} follows one at {}',
      main,
      sub,
      before,
    );
    ints[slot * INTS + OLDER] = this.arena.add(
      nums[slot * NUMS + MOD] as number,
      ints[slot * INTS + SUB] as number,
      nums[slot * NUMS + CREATE] as number,
      nums[slot * NUMS + VERSION] as number,
      ints[slot * INTS + OLDER] as number,
      ints[slot * INTS + SIZE] as number,
    );
  }

  private fill(main: number, sub: number, create: number, version: number): void {
    const { leaf, slot } = this.tree;
    leaf.nums[slot * NUMS + MOD] = main;
    leaf.nums[slot * NUMS + CREATE] = create;
    leaf.nums[slot * NUMS + VERSION] = version;
    leaf.ints[slot * INTS + SUB] = sub;
  }

  /**
   * Fills `out` with the row of `key` at `revision`; false when the key is absent there. Of the changes of `revision`
   * itself the first `subs` count.
   */
  lookup(key: Key, revision: number, out: RowRef, subs = ALL_SUBS): boolean {
    const { tree } = this;
    if (!tree.find(key) || !this.readSlot(tree.leaf, tree.slot, revision, subs, out)) return false;
    out.key = key;
    return true;
  }

  private readSlot(leaf: Leaf, slot: number, revision: number, subs: number, out: RowRef): boolean {
    const at = slot * NUMS;
    const main = leaf.nums[at + MOD] as number;
    const sub = leaf.ints[slot * INTS + SUB] as number;
    if (main > revision || (main === revision && sub >= subs))
      return this.readOlder(leaf.ints[slot * INTS + OLDER] as number, revision, subs, out);
    const version = leaf.nums[at + VERSION] as number;
    if (version === 0) return false;
    out.modRevision = main;
    out.sub = sub;
    out.createRevision = leaf.nums[at + CREATE] as number;
    out.version = version;
    out.size = leaf.ints[slot * INTS + SIZE] as number;
    return true;
  }

  private readOlder(head: number, revision: number, subs: number, out: RowRef): boolean {
    const arena = this.arena;
    let id = head;
    while (
      id !== 0 &&
      (arena.main(id) > revision || (arena.main(id) === revision && arena.sub(id) >= subs))
    ) {
      id = arena.older(id);
    }
    if (id === 0) return false;
    const version = arena.version(id);
    if (version === 0) return false;
    out.modRevision = arena.main(id);
    out.sub = arena.sub(id);
    out.createRevision = arena.create(id);
    out.version = version;
    out.size = arena.rowSize(id);
    return true;
  }

  /** The row of `key` that was live before revision `main`; null when there was none or it was compacted. */
  rowBefore(key: Key, main: number): { main: number; sub: number } | null {
    const tree = this.tree;
    if (!tree.find(key)) return null;
    const arena = this.arena;
    const slot = tree.slot;
    const slotMain = tree.leaf.nums[slot * NUMS + MOD] as number;
    if (slotMain < main) {
      if (tree.leaf.nums[slot * NUMS + VERSION] === 0) return null;
      return { main: slotMain, sub: tree.leaf.ints[slot * INTS + SUB] as number };
    }
    let id = tree.leaf.ints[slot * INTS + OLDER] as number;
    while (id !== 0 && arena.main(id) >= main) id = arena.older(id);
    if (id === 0 || arena.version(id) === 0) return null;
    return { main: arena.main(id), sub: arena.sub(id) };
  }

  /** True when (main, sub) is the newest change of `key` at or below `revision`. */
  isNewestAt(key: Key, main: number, sub: number, revision: number): boolean {
    const tree = this.tree;
    if (!tree.find(key)) return false;
    const slot = tree.slot;
    const slotMain = tree.leaf.nums[slot * NUMS + MOD] as number;
    if (slotMain <= revision) return slotMain === main && tree.leaf.ints[slot * INTS + SUB] === sub;
    const arena = this.arena;
    let id = tree.leaf.ints[slot * INTS + OLDER] as number;
    while (id !== 0 && arena.main(id) > revision) id = arena.older(id);
    return id !== 0 && arena.main(id) === main && arena.sub(id) === sub;
  }

  /** At most `limit` rows (0: all) of the interval at `revision` in key order, beginning behind `after` when given. */
  list(interval: Interval, revision: number, limit: number, after: Key | undefined): RowRef[] {
    const rows: RowRef[] = [];
    this.listInto(interval, revision, limit, after, rows);
    return rows;
  }

  /**
   * As `list`, into the objects that `rows` has, from the first on, and new ones where they are not enough; returns how
   * many it found. Of the changes of `revision` itself the first `subs` count. A walk that `leaves` end leaves in
   * `listCut` where to begin the next one.
   */
  listInto(
    interval: Interval,
    revision: number,
    limit: number,
    after: Key | undefined,
    rows: RowRef[],
    { subs, leaves }: ListBounds = NO_BOUNDS,
  ): number {
    const tree = this.tree;
    const end = interval.end;
    this.listCut = undefined;
    let leavesLeft = leaves;
    const resume = after !== undefined && after >= interval.start;
    let more = tree.seek(resume ? after : interval.start);
    if (more && resume && tree.leaf.keys[tree.slot] === after) tree.slot++;
    let count = 0;
    let row = rows[0] ?? emptyRow();
    while (more) {
      const leaf = tree.leaf;
      const keys = leaf.keys;
      // One comparison decides for the whole leaf whether `end` is beyond it.
      const inside = end === null || leaf.size === 0 || (keys[leaf.size - 1] as Key) < end;
      for (let slot = tree.slot; slot < leaf.size; slot++) {
        const key = keys[slot] as Key;
        if (!inside && key >= end) return count;
        if (!this.readSlot(leaf, slot, revision, subs, row)) continue;
        row.key = key;
        rows[count++] = row;
        if (count === limit) return count;
        row = rows[count] ?? emptyRow();
      }
      more = tree.nextLeaf();
      if (more && --leavesLeft === 0) {
        this.listCut = tree.leaf.keys[tree.slot];
        return count;
      }
    }
    return count;
  }

  /**
   * Keys of the interval that exist at `revision`, of whose own changes the first `subs` count.
   * Cost: O(log n + leaves changed after `revision`).
   */
  count(interval: Interval, revision: number, isNewest: boolean, subs = ALL_SUBS): number {
    const { start, end } = interval;
    if (end !== null && end <= start) return 0;
    if (isNewest)
      return (end === null ? this.tree.live : this.tree.rank(end)) - this.tree.rank(start);
    const scratch = emptyRow();
    let total = 0;
    this.tree.scanChanged(
      start,
      end,
      subs === ALL_SUBS ? revision : revision - 1,
      (live) => {
        total += live;
      },
      (leaf, from, to) => {
        for (let slot = from; slot < to; slot++)
          if (this.readSlot(leaf, slot, revision, subs, scratch)) total++;
      },
    );
    return total;
  }

  /** The first key `leaves` leaves behind the one that `start` belongs to: where work on a long interval can be cut. */
  keyBehind(start: Key, leaves: number): Key | undefined {
    const { tree } = this;
    if (!tree.seek(start)) return undefined;
    for (let i = 0; i < leaves; i++) if (!tree.nextLeaf()) return undefined;
    return tree.leaf.keys[tree.slot];
  }

  /**
   * Continues the compaction of `cursor` until the budget of `work` is used; true when it is complete.
   *
   * Each leaf visited costs one unit and so does each removed change. Everything older than a tombstone is
   * reported before the tombstone.
   */
  compactSlice(cursor: CompactionCursor, work: number, onRemovable: OnRemovable): boolean {
    const tree = this.tree;
    let left = work;
    for (;;) {
      left = this.drain(cursor, left, onRemovable);
      if (left <= 0) return false;
      if (cursor.isTreeDone) {
        if (verification.isOn) this.check();
        return true;
      }
      const after = cursor.after;
      let more = tree.seek(after ?? '');
      if (more && after !== null && tree.leaf.keys[tree.slot] === after) {
        tree.slot++;
        if (tree.slot === tree.leaf.size) more = tree.nextLeaf();
      }
      if (!more) {
        cursor.isTreeDone = true;
        continue;
      }
      cursor.after = tree.leaf.keys[tree.leaf.size - 1] as Key;
      this.compactLeaf(cursor, tree.leaf, tree.slot);
      tree.shrink();
      left--;
    }
  }

  private compactLeaf(cursor: CompactionCursor, leaf: Leaf, from: number): void {
    const revision = cursor.revision;
    invariant(from < leaf.size, 'nothing to compact behind slot {} of {}', from, leaf.size);
    for (let slot = leaf.size - 1; slot >= from; slot--) {
      const main = leaf.nums[slot * NUMS + MOD] as number;
      const older = leaf.ints[slot * INTS + OLDER] as number;
      if (main > revision) {
        if (older !== 0) this.cutOlder(cursor, leaf, slot);
        continue;
      }
      leaf.ints[slot * INTS + OLDER] = 0;
      // A tombstone exactly at the compaction revision stays for watchers that start there.
      if (leaf.nums[slot * NUMS + VERSION] === 0 && main < revision) {
        cursor.removable.push({ older, main, sub: leaf.ints[slot * INTS + SUB] as number });
        this.tree.removeSlot(leaf, slot);
      } else if (older !== 0) {
        cursor.removable.push({ older, main: 0, sub: 0 });
      }
    }
  }

  /** The key changed after `revision`: keeps the newest change at or below it, unless it is a tombstone below. */
  private cutOlder(cursor: CompactionCursor, leaf: Leaf, slot: number): void {
    const arena = this.arena;
    let above = 0;
    let id = leaf.ints[slot * INTS + OLDER] as number;
    while (id !== 0 && arena.main(id) > cursor.revision) {
      above = id;
      id = arena.older(id);
    }
    if (id === 0) return;
    const older = arena.older(id);
    if (arena.version(id) === 0 && arena.main(id) < cursor.revision) {
      cursor.removable.push({ older, main: arena.main(id), sub: arena.sub(id) });
      arena.release(id);
      if (above === 0) leaf.ints[slot * INTS + OLDER] = 0;
      else arena.setOlder(above, 0);
    } else if (older !== 0) {
      cursor.removable.push({ older, main: 0, sub: 0 });
      arena.setOlder(id, 0);
    }
  }

  private drain(cursor: CompactionCursor, work: number, onRemovable: OnRemovable): number {
    const arena = this.arena;
    let left = work;
    for (
      let last = cursor.removable.at(-1);
      last !== undefined && left > 0;
      last = cursor.removable.at(-1)
    ) {
      let id = last.older;
      for (; id !== 0 && left > 0; left--) {
        onRemovable(arena.main(id), arena.sub(id), arena.version(id) === 0);
        const older = arena.older(id);
        arena.release(id);
        id = older;
      }
      last.older = id;
      if (id !== 0) break;
      if (last.main !== 0) {
        onRemovable(last.main, last.sub, true);
        left--;
      }
      cursor.removable.pop();
    }
    return left;
  }

  clear(): void {
    this.tree = new BTree();
    this.arena = new RevisionArena();
  }

  /** Checks the whole structure. Throws: Error at the first broken promise. */
  check(): void {
    this.tree.check();
  }
}

export function emptyRow(): RowRef {
  return { key: '', createRevision: 0, modRevision: 0, sub: 0, version: 0, size: 0 };
}
