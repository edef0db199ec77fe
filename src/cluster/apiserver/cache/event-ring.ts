import { invariant } from '../../../base/invariant.js';
import type { StoredObject } from '../storage/stored-object.js';

/** A change as watchers see it. */
export class CacheEvent {
  readonly revision: number;
  /** Before the change; undefined: it was created. */
  readonly previous: StoredObject | undefined;
  /** After the change; undefined: it was removed. */
  readonly next: StoredObject | undefined;
  private gone: StoredObject | undefined;

  constructor(
    revision: number,
    previous: StoredObject | undefined,
    next: StoredObject | undefined,
  ) {
    this.revision = revision;
    this.previous = previous;
    this.next = next;
  }

  /**
   * The state before the change, at the revision of the change: what DELETED shows, one object for
   * all watchers. Requires: there was one.
   */
  get lastState(): StoredObject {
    invariant(this.previous !== undefined, 'what ceases to match was there');
    this.gone ??= this.previous.at(this.revision);
    return this.gone;
  }
}

/** Most events that are held for watchers that come back; what is older makes them list again. */
const EVENTS_MAX = 10_000;

/** The newest events of a resource, in the order of revisions. */
export class EventRing {
  private readonly slots: CacheEvent[] = [];
  /** Number of the event at `slots[0]`, counted from the beginning of time. */
  private first = 0;
  private readonly max: number;
  /** Events at or below this revision are not held. */
  private floor: number;

  constructor(floorRevision: number, max = EVENTS_MAX) {
    this.floor = floorRevision;
    this.max = max;
  }

  /** Watchers may begin after this revision, and not before. */
  get oldestStart(): number {
    return this.floor;
  }

  /** Number of the next event. */
  get end(): number {
    return this.first + this.slots.length;
  }

  push(event: CacheEvent): void {
    const last = this.slots.at(-1);
    invariant(last === undefined || last.revision <= event.revision, 'events come in order');
    this.slots.push(event);
    // Several at a time, so that the array is moved seldom.
    if (this.slots.length >= this.max + this.max / 8) this.drop(this.max / 8);
  }

  /** The event of that number; undefined when it is not held (any more). */
  at(number: number): CacheEvent | undefined {
    return this.slots[number - this.first];
  }

  isHeld(number: number): boolean {
    return number >= this.first;
  }

  /** Number of the first event above `revision`. Requires: `revision` is not below `oldestStart`. */
  firstAfter(revision: number): number {
    invariant(revision >= this.floor, 'the events after that revision are held');
    let low = 0;
    let high = this.slots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const event = this.slots[middle];
      if (event !== undefined && event.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.first + low;
  }

  private drop(count: number): void {
    const dropped = this.slots.splice(0, count);
    this.first += count;
    this.floor = dropped.at(-1)?.revision ?? this.floor;
  }
}
