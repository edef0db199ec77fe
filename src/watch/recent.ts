import { invariant } from '../base/invariant.js';
import type { StoreEvent } from '../mvcc/types.js';
import { WatchEvent } from './event.js';

interface RecentRevision {
  readonly events: readonly WatchEvent[];
  readonly bytes: number;
}

/**
 * The events of the newest revisions, without gaps, bounded by bytes. Events that the hub has yet to dispatch are
 * always here; older revisions stay while some watcher is behind, so that it needs no history.
 */
export class RecentEvents {
  private entries: (RecentRevision | undefined)[] = [];
  /** Position in `entries` of the oldest revision kept; what is before it is garbage awaiting removal. */
  private head = 0;
  /** The oldest revision kept, or the one the next push will have. */
  private oldest: number;
  private bytes = 0;

  constructor(nextRevision: number) {
    this.oldest = nextRevision;
  }

  /** Oldest revision whose events are here; one past the newest when there are none. */
  get firstRevision(): number {
    return this.oldest;
  }

  /** Revision the next push must have. */
  get nextRevision(): number {
    return this.oldest + this.entries.length - this.head;
  }

  get sizeBytes(): number {
    return this.bytes;
  }

  /** Forgets everything; the next push will have `nextRevision`. */
  reset(nextRevision: number): void {
    if (this.entries.length > 0) {
      this.entries = [];
      this.head = 0;
      this.bytes = 0;
    }
    this.oldest = nextRevision;
  }

  push(revision: number, changes: readonly StoreEvent[]): void {
    invariant(
      revision === this.nextRevision,
      'the watch hub is told of revision {}, not {}',
      revision,
      this.nextRevision,
    );
    invariant(changes.length > 0, 'revision {} has no event', revision);
    const events = changes.map((change) => new WatchEvent(change));
    let bytes = ENTRY_OVERHEAD_BYTES;
    for (const change of changes) bytes += EVENT_OVERHEAD_BYTES + change.kv.length;
    this.entries.push({ events, bytes });
    this.bytes += bytes;
  }

  /** Drops the oldest revisions up to `dispatched` while there are more than `limitBytes`. */
  trim(dispatched: number, limitBytes: number): void {
    while (this.bytes > limitBytes && this.oldest <= dispatched) {
      this.bytes -= this.entries[this.head]?.bytes ?? 0;
      this.entries[this.head] = undefined;
      this.head++;
      this.oldest++;
    }
    if (this.head > 64 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
  }

  /** Events of one revision. Requires: firstRevision <= revision < nextRevision. */
  eventsOf(revision: number): readonly WatchEvent[] {
    const entry = this.entries[this.head + revision - this.oldest];
    invariant(entry !== undefined, 'revision {} is not recent', revision);
    return entry.events;
  }

  /** Last revision of a batch that starts at `from` and respects the bounds, but has at least one revision. */
  batchEnd(from: number, bounds: BatchBounds): number {
    const end = Math.min(this.nextRevision, from + bounds.revisions);
    let events = 0;
    let bytes = 0;
    let revision = from;
    for (; revision < end; revision++) {
      const entry = this.entries[this.head + revision - this.oldest];
      if (entry === undefined) break;
      events += entry.events.length;
      bytes += entry.bytes;
      if (revision > from && (events > bounds.events || bytes > bounds.bytes)) break;
    }
    return revision - 1;
  }
}

export interface BatchBounds {
  readonly revisions: number;
  readonly events: number;
  readonly bytes: number;
}

/** Memory of the objects around an event's bytes, so that the bound holds for tiny events as well. */
const ENTRY_OVERHEAD_BYTES = 64;
const EVENT_OVERHEAD_BYTES = 128;
