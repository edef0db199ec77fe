import { allocate } from '../rpc/proto-runtime.js';
import type { WatchEvent, WatchSource } from './watch-event.js';
import {
  eventFieldSize,
  FRAGMENT_FIELD_BYTES,
  watchIdFieldSize,
  writeEventField,
  writeFragmentField,
  writeWatchIdField,
} from './watch-wire.js';

/**
 * The content of one watch response, shared by every watcher that gets it.
 *
 * Events are encoded when the first watcher needs them; for the others those bytes are copied behind their own
 * header and id, or, when even these are equal (the usual id is 0), the whole message is shared.
 */
export class Delivery {
  readonly events: readonly WatchEvent[];
  readonly headerRevision: number;
  private readonly withPrev: boolean;
  private readonly source: WatchSource;
  /** The message built last, and what it was built for. */
  private message: Uint8Array | undefined = undefined;
  private messageHeader: Uint8Array | undefined = undefined;
  private messageId = 0n;
  /** Where in `message` the events start. */
  private eventsStart = 0;
  private eventsBytes = -1;

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
  }

  /** Revision of the first event. Requires: there is one. */
  get firstRevision(): number {
    return this.events[0]?.change.modRevision ?? 0;
  }

  /** Revision of the last event. Requires: there is one. */
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

  /** The encoded response for one watcher: do not change it, it may be shared. */
  encode(header: Uint8Array, watchId: bigint): Uint8Array {
    const last = this.message;
    if (last !== undefined && this.messageHeader === header && this.messageId === watchId) {
      return last;
    }
    const eventsBytes = this.measure();
    const start = header.length + watchIdFieldSize(watchId);
    const out = allocate(start + eventsBytes);
    out.set(header, 0);
    writeWatchIdField(out, header.length, watchId);
    if (last === undefined) this.writeEvents(out, start);
    else out.set(last.subarray(this.eventsStart), start);
    this.message = out;
    this.messageHeader = header;
    this.messageId = watchId;
    this.eventsStart = start;
    return out;
  }

  /** Whether a response of this content is cut into fragments where one message may have `limitBytes`. */
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

  private writeEvents(out: Uint8Array, start: number): void {
    let pos = start;
    for (const event of this.events) pos = writeEventField(out, pos, event, this.withPrev);
  }
}
