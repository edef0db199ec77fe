import { invariant } from '../base/invariant.js';
import { IntervalTree } from '../base/collections/interval-tree.js';
import type { Interval, Key } from '../base/collections/interval.js';
import type { StoreEvent } from '../mvcc/types.js';
import type { WatchEvent } from './event.js';
import type { WatchStream } from './stream.js';

/** Options that decide what a watcher is sent; a bit set. */
export const WatchOption = { none: 0, noPut: 1, noDelete: 2, prevKv: 4 } as const;

/**
 * State of a watcher; WatchHub.setState alone changes it.
 *
 * synced: it was sent everything dispatched, and gets what comes next from the dispatch.
 * behind: it waits for events of the past, which CatchUp brings.
 * parked: it is behind, and its stream takes nothing more until the client reads.
 * none:   it is not added yet, or was removed.
 */
export type WatcherState = 'synced' | 'behind' | 'parked' | 'none';

/** One client's interest in an interval. */
export class Watcher {
  readonly id: bigint;
  readonly stream: WatchStream;
  readonly group: WatchGroup;
  /** As requested; 0 means "from now on". */
  readonly startRevision: number;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
  /**
   * Events below this revision are never sent to this watcher (again). For a synced watcher the true position is
   * the later of this and what the hub has dispatched, so that dispatching does not touch every watcher.
   */
  next: number;
  /** No event was sent since the last periodic progress notification. */
  quiet = true;
  state: WatcherState = 'none';
  /** The list of its state. */
  list: WatcherList | undefined = undefined;
  before: Watcher | undefined = undefined;
  after: Watcher | undefined = undefined;

  constructor(
    stream: WatchStream,
    group: WatchGroup,
    request: {
      readonly id: bigint;
      readonly startRevision: number;
      readonly progressNotify: boolean;
      readonly fragment: boolean;
      readonly next: number;
    },
  ) {
    this.id = request.id;
    this.stream = stream;
    this.group = group;
    this.startRevision = request.startRevision;
    this.progressNotify = request.progressNotify;
    this.fragment = request.fragment;
    this.next = request.next;
  }
}

/**
 * A doubly linked list through the watchers themselves: a watcher is in at most one list and leaves
 * it in O(1). One traversal at a time survives any change to the list by way of `cursor`.
 */
export class WatcherList {
  head: Watcher | undefined = undefined;
  private tail: Watcher | undefined = undefined;
  size = 0;
  /** Next watcher of the traversal under way; undefined when it reached the end or there is none. */
  cursor: Watcher | undefined = undefined;

  /** Requires: `watcher` is in no list. */
  append(watcher: Watcher): void {
    invariant(watcher.list === undefined, 'watcher {} is in a list already', watcher.id);
    watcher.list = this;
    watcher.before = this.tail;
    if (this.tail === undefined) this.head = watcher;
    else this.tail.after = watcher;
    this.tail = watcher;
    this.size++;
  }

  /** Requires: `watcher` is in this list. */
  remove(watcher: Watcher): void {
    invariant(watcher.list === this && this.size > 0, 'watcher {} is in another list', watcher.id);
    const { before, after } = watcher;
    if (this.cursor === watcher) this.cursor = after;
    if (before === undefined) this.head = after;
    else before.after = after;
    if (after === undefined) this.tail = before;
    else after.before = before;
    watcher.list = undefined;
    watcher.before = undefined;
    watcher.after = undefined;
    this.size--;
  }

  /** Watcher the traversal is at, moving on to the one behind it. */
  advance(): Watcher | undefined {
    const watcher = this.cursor;
    if (watcher !== undefined) this.cursor = watcher.after;
    return watcher;
  }
}

/** All watchers of one interval with the same options: they are sent the same events. */
export class WatchGroup {
  readonly start: Key;
  readonly end: Key | null;
  readonly options: number;
  /** Watchers that hold this group, synced or not. */
  users = 0;
  readonly synced = new WatcherList();
  /** Next group of the same interval with other options. */
  sibling: WatchGroup | undefined = undefined;
  /** Events of the dispatch under way that this group's watchers are to get. */
  batch: WatchEvent[] | undefined = undefined;

  constructor(interval: Interval, options: number) {
    this.start = interval.start;
    this.end = interval.end;
    this.options = options;
  }

  get isSingleKey(): boolean {
    return isSingleKey(this.start, this.end);
  }

  get wantsPrev(): boolean {
    return (this.options & WatchOption.prevKv) !== 0;
  }

  /** True if the filters let the event pass; its key is not looked at. */
  passes(change: StoreEvent): boolean {
    const filter = change.type === 'put' ? WatchOption.noPut : WatchOption.noDelete;
    return (this.options & filter) === 0;
  }

  covers(key: Key): boolean {
    return key >= this.start && (this.end === null || key < this.end);
  }
}

/** Groups by interval: single keys in a map, ranges in an interval tree. */
export class GroupIndex {
  private readonly byKey = new Map<Key, WatchGroup>();
  private readonly byRange = new IntervalTree<WatchGroup>();

  /** The group of an interval and options, created if need be, with one more user. */
  acquire(interval: Interval, options: number): WatchGroup {
    const first = this.firstOf(interval.start, interval.end);
    let group = first;
    while (group !== undefined && group.options !== options) group = group.sibling;
    if (group === undefined) {
      group = new WatchGroup(interval, options);
      group.sibling = first;
      this.setFirst(group.start, group.end, group);
    }
    group.users++;
    return group;
  }

  /** Takes one user away; a group without users is forgotten. */
  release(group: WatchGroup): void {
    group.users--;
    invariant(group.users >= 0, 'a group is released more often than acquired');
    if (group.users > 0) return;
    invariant(group.synced.size === 0, '{} watchers are left in a group', group.synced.size);
    const first = this.firstOf(group.start, group.end);
    if (first === group) {
      this.setFirst(group.start, group.end, group.sibling);
      return;
    }
    let other = first;
    while (other !== undefined && other.sibling !== group) other = other.sibling;
    if (other !== undefined) other.sibling = group.sibling;
  }

  /** Appends to `out` the first group of every interval that contains `key`. */
  find(key: Key, out: WatchGroup[]): void {
    const exact = this.byKey.get(key);
    if (exact !== undefined) out.push(exact);
    if (this.byRange.size > 0) this.byRange.stab(key, out);
  }

  private firstOf(start: Key, end: Key | null): WatchGroup | undefined {
    return isSingleKey(start, end) ? this.byKey.get(start) : this.byRange.get(start, end);
  }

  private setFirst(start: Key, end: Key | null, group: WatchGroup | undefined): void {
    if (isSingleKey(start, end)) {
      if (group === undefined) this.byKey.delete(start);
      else this.byKey.set(start, group);
    } else if (group === undefined) this.byRange.delete(start, end);
    else this.byRange.set(start, end, group);
  }
}

function isSingleKey(start: Key, end: Key | null): boolean {
  return (
    end !== null &&
    end.length === start.length + 1 &&
    end.charCodeAt(start.length) === 0 &&
    end.startsWith(start)
  );
}
