import type { Env } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import type { Key } from '../base/collections/interval.js';
import { Delivery } from './delivery.js';
import type { WatchHistory, WatchSource } from './event.js';
import { WatchEvent } from './event.js';
import type { Watcher, WatchGroup } from './group.js';
import { WatcherList } from './group.js';
import type { BatchBounds, RecentEvents } from './recent.js';
import {
  CATCH_UP_STEPS_PER_LOOK,
  HISTORY_READ_BYTES,
  REVISIONS_PER_RESPONSE,
  WATCHERS_PER_SLICE,
} from './limits.js';

/** The hub as its catch-up sees it. */
export interface CatchUpHost {
  readonly currentRevision: number;
  /** Revision up to which synced watchers are being, or have been, considered. */
  readonly dispatchRevision: number;
  /**
   * The watcher lacks no dispatched revision (synced), its stream is full (parked), or it goes to the back of the queue
   * (behind).
   */
  setState(watcher: Watcher, to: 'synced' | 'parked' | 'behind'): void;
  send(watcher: Watcher, delivery: Delivery): void;
  /** There may be work again. */
  wake(): void;
}

/** A stretch of history [from, next) while it is handed out. */
interface Slice {
  readonly from: number;
  readonly next: number;
  readonly events: readonly WatchEvent[];
  readonly byGroup: Map<WatchGroup, readonly Delivery[]>;
  /** Events by key, made when the first single-key watcher needs it. */
  byKey: Map<Key, WatchEvent[]> | undefined;
  /** Watchers still to look at. */
  toLookAt: number;
  served: number;
}

/**
 * Brings watchers that are behind up to the present.
 *
 * One slice of history at a time, starting where the watcher waiting longest is, serves every
 * watcher that is inside it. Then each goes to the back of the queue or becomes synced. Watchers
 * that meet stay together from then on.
 */
export class CatchUp {
  readonly behind = new WatcherList();
  private readonly env: Env;
  private readonly source: WatchSource;
  private readonly recent: RecentEvents;
  private readonly bounds: BatchBounds;
  private readonly host: CatchUpHost;
  private slice: Slice | undefined = undefined;
  private reading = false;
  /** Distinguishes the answer to an abandoned read from a current one. */
  private epoch = 0;

  constructor(options: {
    readonly env: Env;
    readonly source: WatchSource;
    readonly recent: RecentEvents;
    readonly bounds: BatchBounds;
    readonly host: CatchUpHost;
  }) {
    this.env = options.env;
    this.source = options.source;
    this.recent = options.recent;
    this.bounds = options.bounds;
    this.host = options.host;
  }

  /** Abandons what is under way: the history was replaced. */
  reset(): void {
    this.epoch++;
    this.slice = undefined;
    this.reading = false;
  }

  /** Works until the deadline. False when there is nothing to do before the next `wake`. */
  run(deadlineMs: number): boolean {
    const { clock } = this.env;
    while (this.slice !== undefined || this.begin(deadlineMs)) {
      if (this.slice !== undefined && !this.handOut(this.slice, deadlineMs)) return true;
      this.slice = undefined;
      if (clock.monoMs() >= deadlineMs) return this.behind.size > 0;
    }
    return !this.reading && this.behind.size > 0;
  }

  /**
   * Gets the next slice. False when none is at hand: it is being read, no watcher is behind, or
   * time is up.
   */
  private begin(deadlineMs: number): boolean {
    let looked = 0;
    while (!this.reading) {
      const first = this.behind.head;
      if (first === undefined) return false;
      if (++looked % CATCH_UP_STEPS_PER_LOOK === 0 && this.env.clock.monoMs() >= deadlineMs)
        return false;
      const { compactRevision } = this.source;
      if (first.next < compactRevision) {
        first.stream.cancelCompacted(first, compactRevision);
      } else if (first.stream.full) this.host.setState(first, 'parked');
      else if (first.next > this.host.currentRevision) {
        this.host.setState(first, 'synced');
      } else if (first.next >= this.recent.firstRevision) {
        this.sliceOfRecent(first.next);
        return true;
      } else {
        this.read(first.next);
        return this.slice !== undefined;
      }
    }
    return false;
  }

  private sliceOfRecent(from: number): void {
    invariant(from < this.recent.nextRevision, 'revision {} is not recent', from);
    const end = this.recent.batchEnd(from, this.bounds);
    const events: WatchEvent[] = [];
    for (let revision = from; revision <= end; revision++) {
      for (const event of this.recent.eventsOf(revision)) events.push(event);
    }
    this.setSlice(from, end + 1, events);
  }

  private read(from: number): void {
    const { epoch } = this;
    this.reading = true;
    this.source.history(from, this.host.currentRevision, HISTORY_READ_BYTES, (error, result) => {
      if (epoch !== this.epoch) return;
      this.reading = false;
      if (error !== null || result === null) {
        this.env.fatal(
          'the history that watchers need cannot be read',
          'check the disk; if the data directory is damaged, replace this member',
          error,
        );
      }
      this.finishRead(from, result);
      this.host.wake();
    });
  }

  private finishRead(from: number, result: WatchHistory | 'compacted'): void {
    // A compaction during the read may have taken rows away: those behind it are cancelled, the others read again.
    if (from < this.source.compactRevision) return;
    invariant(result !== 'compacted', 'store called a revision compacted that is not');
    invariant(result.nextMain > from, 'history read made no progress');
    const events: WatchEvent[] = [];
    for (const change of result.events) events.push(new WatchEvent(change));
    this.setSlice(from, result.nextMain, events);
  }

  private setSlice(from: number, next: number, events: readonly WatchEvent[]): void {
    invariant(
      next > from && this.slice === undefined,
      'history from {} to {} is handed out',
      from,
      next,
    );
    this.slice = {
      from,
      next,
      events,
      byGroup: new Map(),
      byKey: undefined,
      toLookAt: this.behind.size,
      served: 0,
    };
    this.behind.cursor = this.behind.head;
  }

  /** Serves the watchers inside the slice. False when the deadline came first. */
  private handOut(slice: Slice, deadlineMs: number): boolean {
    const { behind } = this;
    while (slice.toLookAt > 0 && slice.served < WATCHERS_PER_SLICE) {
      const watcher = behind.advance();
      if (watcher === undefined) break;
      slice.toLookAt--;
      if (watcher.next >= slice.from && watcher.next < slice.next) {
        slice.served++;
        this.serve(watcher, slice);
      }
      if (slice.toLookAt % CATCH_UP_STEPS_PER_LOOK === 0 && this.env.clock.monoMs() >= deadlineMs)
        return false;
    }
    behind.cursor = undefined;
    return true;
  }

  private serve(watcher: Watcher, slice: Slice): void {
    const { stream, state } = watcher;
    invariant(state === 'behind', 'watcher {} is {}, not behind', watcher.id, state);
    for (const content of this.deliveriesFor(watcher.group, slice)) {
      if (content.lastRevision < watcher.next) continue;
      if (stream.full) {
        if (watcher.next < content.firstRevision) watcher.next = content.firstRevision;
        this.host.setState(watcher, 'parked');
        return;
      }
      this.host.send(
        watcher,
        content.firstRevision >= watcher.next ? content : content.since(watcher.next),
      );
      // Writing may have ended the stream.
      if (watcher.state === 'none') return;
      watcher.next = content.lastRevision + 1;
    }
    watcher.next = slice.next;
    this.host.setState(watcher, watcher.next > this.host.dispatchRevision ? 'synced' : 'behind');
  }

  /** The slice as responses for the watchers of one group. */
  private deliveriesFor(group: WatchGroup, slice: Slice): readonly Delivery[] {
    const known = slice.byGroup.get(group);
    if (known !== undefined) return known;
    const deliveries: Delivery[] = [];
    let part: WatchEvent[] = [];
    let revisions = 0;
    let last = 0;
    const flush = (headerRevision: number): void => {
      const { wantsPrev: withPrev } = group;
      deliveries.push(new Delivery(this.source, { events: part, withPrev, headerRevision }));
      part = [];
      revisions = 0;
    };
    for (const event of group.isSingleKey ? eventsOfKey(slice, group.start) : slice.events) {
      const { change } = event;
      if (!group.covers(change.key) || !group.passes(change)) continue;
      if (change.modRevision !== last) {
        if (revisions === REVISIONS_PER_RESPONSE) flush(last);
        last = change.modRevision;
        revisions++;
      }
      part.push(event);
    }
    // A client may resume after the header's revision, so it never exceeds the events sent.
    if (part.length > 0) flush(slice.next - 1);
    slice.byGroup.set(group, deliveries);
    return deliveries;
  }
}

function eventsOfKey(slice: Slice, key: Key): readonly WatchEvent[] {
  if (slice.byKey === undefined) {
    const byKey = new Map<Key, WatchEvent[]>();
    for (const event of slice.events) {
      const events = byKey.get(event.change.key);
      if (events === undefined) byKey.set(event.change.key, [event]);
      else events.push(event);
    }
    slice.byKey = byKey;
  }
  return slice.byKey.get(key) ?? [];
}
