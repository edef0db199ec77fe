import { invariant, verification } from '../base/invariant.js';
import { allocate, finished } from '../base/protobuf/runtime.js';
import type { WatchEvent, WatchSource } from './event.js';
import {
  eventFieldSize,
  FRAGMENT_FIELD_BYTES,
  watchIdFieldSize,
  writeEventField,
  writeFragmentField,
  writeWatchIdField,
} from './wire.js';

/**
 * The content of one watch response, shared by every watcher that gets it.
 *
 * Events are encoded once, when the first watcher needs them. Each watcher gets those very bytes
 * behind a front of its own with header and id. Where even these are equal (the usual id is 0) the
 * front is shared too.
 */
export class Delivery {
  readonly events: readonly WatchEvent[];
  readonly headerRevision: number;
  private readonly withPrev: boolean;
  private readonly source: WatchSource;
  private encodedEvents: Uint8Array | undefined = undefined;
  private eventsBytes = -1;
  /** The front built last, and what it was built for. */
  private lastFront: Uint8Array | undefined = undefined;
  private frontHeader: Uint8Array | undefined = undefined;
  private frontId = 0n;

  constructor(
    source: WatchSource,
    content: {
      readonly events: readonly WatchEvent[];
      readonly withPrev: boolean;
      readonly headerRevision: number;
    },
  ) {
    this.source = source;
    this.events = content.events;
    this.withPrev = content.withPrev;
    this.headerRevision = content.headerRevision;
    invariant(
      this.events.length > 0,
      'a response of revision {} has no event',
      this.headerRevision,
    );
    invariant(
      this.lastRevision <= this.headerRevision,
      'an event of revision {} under header revision {}',
      this.lastRevision,
      this.headerRevision,
    );
    if (verification.isOn) checkOrder(this.events);
  }

  /** Revision of the first event. */
  get firstRevision(): number {
    return this.events[0]?.change.modRevision ?? 0;
  }

  /** Revision of the last event. */
  get lastRevision(): number {
    return this.events[this.events.length - 1]?.change.modRevision ?? 0;
  }

  /** The same content without the events before `revision`. */
  since(revision: number): Delivery {
    return new Delivery(this.source, {
      events: this.events.filter((event) => event.change.modRevision >= revision),
      withPrev: this.withPrev,
      headerRevision: this.headerRevision,
    });
  }

  /** The response's fields before the events, for one watcher: do not change them, they may be shared. */
  front(header: Uint8Array, watchId: bigint): Uint8Array {
    const last = this.lastFront;
    if (last !== undefined && this.frontHeader === header && this.frontId === watchId) return last;
    const out = allocate(header.length + watchIdFieldSize(watchId));
    out.set(header, 0);
    writeWatchIdField(out, header.length, watchId);
    this.lastFront = out;
    this.frontHeader = header;
    this.frontId = watchId;
    return out;
  }

  /** The encoded events, the same bytes for every watcher. */
  body(): Uint8Array {
    if (this.encodedEvents !== undefined) return this.encodedEvents;
    const out = allocate(this.measure());
    let pos = 0;
    for (const event of this.events) pos = writeEventField(out, pos, event, this.withPrev);
    this.encodedEvents = finished(out, pos);
    return out;
  }

  /** True if a response of this content is cut into fragments where one message may have `limitBytes`. */
  needsFragments(header: Uint8Array, watchId: bigint, limitBytes: number): boolean {
    const front = header.length + watchIdFieldSize(watchId);
    return this.events.length > 1 && front + this.measure() >= limitBytes;
  }

  /** The response in messages below `limitBytes` where possible: an event is never cut. */
  encodeFragments(header: Uint8Array, watchId: bigint, limitBytes: number): Uint8Array[] {
    this.measure();
    const parts: Uint8Array[] = [];
    const front = header.length + watchIdFieldSize(watchId) + FRAGMENT_FIELD_BYTES;
    const { events } = this;
    let from = 0;
    while (from < events.length) {
      let to = from;
      let size = front;
      for (; to < events.length; to++) {
        const event = events[to];
        if (event === undefined) break;
        const more = eventFieldSize(event, this.withPrev);
        if (to > from && size + more >= limitBytes) break;
        size += more;
      }
      const isLast = to === events.length;
      const out = allocate(isLast ? size - FRAGMENT_FIELD_BYTES : size);
      out.set(header, 0);
      let pos = writeWatchIdField(out, header.length, watchId);
      if (!isLast) pos = writeFragmentField(out, pos);
      for (let i = from; i < to; i++) {
        const event = events[i];
        if (event !== undefined) pos = writeEventField(out, pos, event, this.withPrev);
      }
      parts.push(out);
      from = to;
    }
    return parts;
  }

  private measure(): number {
    if (this.eventsBytes >= 0) return this.eventsBytes;
    let size = 0;
    for (const event of this.events) {
      if (this.withPrev) event.loadPrev(this.source);
      size += eventFieldSize(event, this.withPrev);
    }
    this.eventsBytes = size;
    return size;
  }
}

function checkOrder(events: readonly WatchEvent[]): void {
  let main = 0;
  let sub = -1;
  for (const { change } of events) {
    invariant(
      change.modRevision > main || (change.modRevision === main && change.sub > sub),
      'event {}.{} follows a later one',
      change.modRevision,
      change.sub,
    );
    main = change.modRevision;
    sub = change.sub;
  }
}
