/**
 * One watch on a resource. It reads events from the ring at its own pace: a full receiver costs no
 * memory, and a watcher that falls out of the ring is ended.
 */
import type { StoredObject } from '../storage/stored-object.js';
import type { CacheEvent, EventRing } from './event-ring.js';
import { matches, type ObjectFilter } from './filter.js';
import type { Subscription, WatchItem } from './subscription.js';

/** Events that one watcher looks at in a turn. */
const EVENTS_PER_TURN = 128;

export interface WatcherOptions {
  readonly filter: ObjectFilter;
  /** Shown first, as ADDED; their iterator reads a snapshot. */
  readonly initial: Iterator<StoredObject> | undefined;
  /** Events above it are shown. */
  readonly fromRevision: number;
  /** The end of the initial objects is marked by a bookmark. */
  readonly marksInitialEnd: boolean;
  readonly wantsBookmarks: boolean;
}

/** Part of its cache that a watcher needs. */
export interface WatcherHost {
  readonly ring: EventRing;
  /** All events up to it are in the ring. */
  readonly revision: number;
  /** Runs `callback` in a later turn. */
  later(callback: () => void): void;
  /** An event could not be shown; the watcher has ended. */
  broke(error: unknown): void;
  forget(watcher: Watcher): void;
}

export class Watcher implements Subscription {
  readonly filter: ObjectFilter;
  readonly wantsBookmarks: boolean;
  private readonly host: WatcherHost;
  private readonly fromRevision: number;
  private readonly marksInitialEnd: boolean;
  private initial: Iterator<StoredObject> | undefined;
  /** Number of the next event to look at. */
  private position: number;
  private onItems: ((items: readonly WatchItem[]) => void) | undefined;
  private onEnd: () => void = () => {};
  private isPaused = false;
  private isScheduled = false;
  private isClosed = false;
  private isEnding = false;
  /** Highest revision that the receiver knows of. */
  private shownRevision = 0;

  /** Requires: `fromRevision` is not below the ring's oldest start. */
  constructor(host: WatcherHost, options: WatcherOptions) {
    this.host = host;
    this.filter = options.filter;
    this.wantsBookmarks = options.wantsBookmarks;
    this.fromRevision = options.fromRevision;
    this.marksInitialEnd = options.marksInitialEnd;
    this.initial = options.initial;
    this.position = host.ring.firstAfter(options.fromRevision);
  }

  start(onItems: (items: readonly WatchItem[]) => void, onEnd: () => void): void {
    this.onItems = onItems;
    this.onEnd = onEnd;
    this.pump();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.pump();
  }

  close(): void {
    this.isClosed = true;
    this.initial = undefined;
    this.host.forget(this);
  }

  /** The cache has new events. A full receiver that they have overtaken is ended. */
  wake(): void {
    if (this.isPaused && !this.host.ring.isHeld(this.position)) this.expire();
    else this.pump();
  }

  /** Shows how far the watch has come, if it has shown all there is. */
  bookmark(): void {
    const { host } = this;
    if (this.isPaused || this.initial !== undefined || this.position < host.ring.end) return;
    if (host.revision < this.fromRevision || host.revision <= this.shownRevision) return;
    this.emit([{ type: 'BOOKMARK', revision: host.revision, isInitialEnd: false }]);
    this.shownRevision = host.revision;
  }

  /** Ends the stream after what has been handed over; `message` tells why the events are gone, if they are. */
  end(message?: string): void {
    if (this.isClosed || this.isEnding) return;
    this.isEnding = true;
    if (message !== undefined) this.emit([{ type: 'EXPIRED', message }]);
    this.close();
    this.onEnd();
  }

  private expire(): void {
    const shown = Math.max(this.shownRevision, this.fromRevision);
    this.end(`too old resource version: ${shown} (${this.host.ring.oldestStart})`);
  }

  private pump(): void {
    if (this.isPaused || this.isClosed || this.isScheduled || this.onItems === undefined) return;
    try {
      if (this.initial !== undefined) this.showInitial(this.initial);
      else this.showEvents();
    } catch (error) {
      this.host.broke(error);
      this.end();
    }
  }

  private showInitial(initial: Iterator<StoredObject>): void {
    const items: WatchItem[] = [];
    while (items.length < EVENTS_PER_TURN) {
      const next = initial.next();
      if (next.done === true) {
        this.initial = undefined;
        break;
      }
      if (matches(this.filter, next.value)) items.push({ type: 'ADDED', stored: next.value });
    }
    const isDone = this.initial === undefined;
    if (isDone) {
      this.shownRevision = this.fromRevision;
      if (this.marksInitialEnd)
        items.push({ type: 'BOOKMARK', revision: this.fromRevision, isInitialEnd: true });
    }
    this.emit(items);
    if (isDone) this.pump();
    else this.pumpLater();
  }

  private showEvents(): void {
    const { ring } = this.host;
    if (!ring.isHeld(this.position)) {
      this.expire();
      return;
    }
    const items: WatchItem[] = [];
    const until = Math.min(ring.end, this.position + EVENTS_PER_TURN);
    for (; this.position < until; this.position++) {
      const event = ring.at(this.position);
      if (event === undefined) break;
      // A watch may begin at a revision that the cache has yet to reach.
      if (event.revision <= this.fromRevision) continue;
      this.shownRevision = event.revision;
      const item = itemOf(event, this.filter);
      if (item !== undefined) items.push(item);
    }
    this.emit(items);
    if (this.position < ring.end) this.pumpLater();
  }

  private emit(items: readonly WatchItem[]): void {
    if (items.length > 0 && !this.isClosed) this.onItems?.(items);
  }

  private pumpLater(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.host.later(() => {
      this.isScheduled = false;
      this.pump();
    });
  }
}

/** An object that begins or ceases to match is ADDED or DELETED for this watcher. */
function itemOf(event: CacheEvent, filter: ObjectFilter): WatchItem | undefined {
  const { previous, next } = event;
  const matched = previous !== undefined && matches(filter, previous);
  const isMatching = next !== undefined && matches(filter, next);
  if (isMatching) return { type: matched ? 'MODIFIED' : 'ADDED', stored: next };
  if (!matched) return undefined;
  return { type: 'DELETED', stored: event.lastState };
}
