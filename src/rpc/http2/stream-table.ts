/**
 * The open streams of one connection, and what is remembered of those that were ended from this side.
 *
 * Streams are kept in a hash table of our own, with linear probing: a Map that is filled and emptied all the time leaves a
 * trail of abandoned tables that point to each other and to the streams they held, and once one of them has
 * reached the old generation the collector promotes all that follow, calls and requests included.
 */
import { DEFAULT_WINDOW } from './frames.js';
import type { Http2Stream } from './stream.js';

const REMEMBERED_MAX = 1024;
/** A power of two, as every size of the table. */
const FIRST_SLOTS = 8;

export class StreamTable {
  /** Highest stream id the client has used. */
  lastId = 0;
  /** Window the client grants each new stream. */
  initialSendWindow = DEFAULT_WINDOW;
  size = 0;
  private slots: (Http2Stream | undefined)[] = emptySlots(FIRST_SLOTS);
  /** The stream of the latest HEADERS frame: its DATA mostly follows at once. */
  private recent: Http2Stream | undefined;
  private readonly endedHere = new Set<number>();

  get(streamId: number): Http2Stream | undefined {
    const { recent } = this;
    if (recent !== undefined && recent.id === streamId) return recent;
    return this.slots[this.slotOf(streamId)];
  }

  /** The slot that holds the stream, or the free one where it would be. */
  private slotOf(streamId: number): number {
    const { slots } = this;
    const mask = slots.length - 1;
    // Ids of clients are odd.
    let slot = (streamId >>> 1) & mask;
    for (;;) {
      const stream = slots[slot];
      if (stream === undefined || stream.id === streamId) return slot;
      slot = (slot + 1) & mask;
    }
  }

  /** Requires: a stream of this id is not there. */
  add(stream: Http2Stream): void {
    if ((this.size + 1) * 2 > this.slots.length) this.resize(this.slots.length * 2);
    this.slots[this.slotOf(stream.id)] = stream;
    this.size++;
    this.recent = stream;
  }

  private resize(slots: number): void {
    const old = this.slots;
    this.slots = emptySlots(slots);
    for (const stream of old) if (stream !== undefined) this.slots[this.slotOf(stream.id)] = stream;
    old.fill(undefined);
  }

  delete(stream: Http2Stream): void {
    if (this.recent === stream) this.recent = undefined;
    const slot = this.slotOf(stream.id);
    if (this.slots[slot] !== stream) return;
    this.size--;
    this.closeGap(slot);
  }

  /** Frees a slot, and moves up those behind it that would not be found past it. */
  private closeGap(slot: number): void {
    const { slots } = this;
    const mask = slots.length - 1;
    let gap = slot;
    for (let at = (gap + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) break;
      const home = (stream.id >>> 1) & mask;
      if (((at - home) & mask) >= ((at - gap) & mask)) {
        slots[gap] = stream;
        gap = at;
      }
    }
    slots[gap] = undefined;
  }

  has(stream: Http2Stream): boolean {
    return this.get(stream.id) === stream;
  }

  /** The streams open now, oldest first; they may be removed meanwhile. */
  values(): readonly Http2Stream[] {
    const open: Http2Stream[] = [];
    for (const stream of this.slots) if (stream !== undefined) open.push(stream);
    return open.sort((a, b) => a.id - b.id);
  }

  /** Frames for this stream may still be under way and are no fault of the client. */
  rememberEnded(streamId: number): void {
    if (this.endedHere.size >= REMEMBERED_MAX) this.endedHere.clear();
    this.endedHere.add(streamId);
  }

  wasEndedHere(streamId: number): boolean {
    return this.endedHere.has(streamId);
  }
}

function emptySlots(count: number): undefined[] {
  return new Array<undefined>(count).fill(undefined);
}
