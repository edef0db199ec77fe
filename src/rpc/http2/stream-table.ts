/**
 * The open streams of one connection, and the ids of those that were ended from this side.
 *
 * Ids of new streams only ascend (RFC 9113, 5.1.1), so streams stand in the order of their ids in
 * one array. Adding appends, finding is a binary search, and removing leaves a hole that is closed
 * when the array is full. For any spacing of ids a call costs O(log n) beside n open streams, and
 * closing all of them O(n log n).
 *
 * The arrays are kept and overwritten in place. A Map that is filled and emptied all the time
 * leaves a trail of abandoned tables. They point to each other and to the streams they held. Once
 * one of them has reached the old generation the collector promotes all that follow, calls and
 * requests included.
 */
import { invariant } from '../../base/invariant.js';
import { DEFAULT_WINDOW } from './frames.js';
import type { Http2Stream } from './stream.js';

const REMEMBERED_MAX = 1024;
const FIRST_SLOTS = 8;
/** Arrays of more slots are given up when the last stream ends. */
const KEPT_SLOTS = 1024;

export class StreamTable {
  /** Highest stream id the client has used. */
  lastId = 0;
  /** Window the client grants each new stream. */
  initialSendWindow = DEFAULT_WINDOW;
  size = 0;
  /** Slots looked at or moved so far: the work done, in units that do not depend on the machine. */
  steps = 0;
  /** Ascending up to `end`; those of holes included. */
  private ids = new Int32Array(FIRST_SLOTS);
  private slots = emptySlots(FIRST_SLOTS);
  /** All open streams lie in the slots from `first` to below `end`, and the slots of both ends are no holes. */
  private first = 0;
  private end = 0;
  /** The stream of the latest HEADERS frame: its DATA mostly follows at once. */
  private recent: Http2Stream | undefined;
  private readonly endedHere = new Set<number>();

  get(streamId: number): Http2Stream | undefined {
    const { recent } = this;
    if (recent !== undefined && recent.id === streamId) return recent;
    const slot = this.slotOf(streamId);
    return slot < 0 ? undefined : this.slots[slot];
  }

  /** The slot of this id, which may be a hole; -1 when there is none. */
  private slotOf(streamId: number): number {
    const { ids } = this;
    let low = this.first;
    let high = this.end - 1;
    // Calls mostly end in the order they began.
    if (ids[low] === streamId && low <= high) return low;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const id = ids[middle] ?? 0;
      this.steps++;
      if (id === streamId) return middle;
      if (id < streamId) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  add(stream: Http2Stream): void {
    if (this.end === this.ids.length) this.makeRoom();
    const { ids, end } = this;
    invariant(end === this.first || (ids[end - 1] ?? 0) < stream.id, 'stream ids ascend');
    ids[end] = stream.id;
    this.slots[end] = stream;
    this.end++;
    this.size++;
    this.recent = stream;
  }

  /** Closes the holes, in larger arrays when more than half of the slots are in use. */
  private makeRoom(): void {
    const { ids, slots, first, end } = this;
    if (this.size * 2 > ids.length) {
      this.ids = new Int32Array(ids.length * 2);
      this.slots = emptySlots(ids.length * 2);
    }
    let kept = 0;
    for (let from = first; from < end; from++) {
      const stream = slots[from];
      if (stream === undefined) continue;
      this.ids[kept] = stream.id;
      this.slots[kept] = stream;
      kept++;
    }
    this.slots.fill(undefined, kept, end);
    this.steps += end - first;
    this.first = 0;
    this.end = kept;
  }

  delete(stream: Http2Stream): void {
    if (this.recent === stream) this.recent = undefined;
    const slot = this.slotOf(stream.id);
    const { slots } = this;
    if (slot < 0 || slots[slot] !== stream) return;
    slots[slot] = undefined;
    this.size--;
    if (this.size === 0) {
      this.empty();
      return;
    }
    while (slots[this.first] === undefined) this.first++;
    while (slots[this.end - 1] === undefined) this.end--;
  }

  /** Starts again at the first slot; arrays that many streams had made large are given up. */
  private empty(): void {
    this.first = 0;
    this.end = 0;
    if (this.ids.length <= KEPT_SLOTS) return;
    this.ids = new Int32Array(FIRST_SLOTS);
    this.slots = emptySlots(FIRST_SLOTS);
  }

  has(stream: Http2Stream): boolean {
    return this.get(stream.id) === stream;
  }

  /** The open stream with the lowest id. */
  get oldest(): Http2Stream | undefined {
    return this.slots[this.first];
  }

  /** The streams open now, oldest first; they may be removed meanwhile. */
  values(): readonly Http2Stream[] {
    const open: Http2Stream[] = [];
    for (let slot = this.first; slot < this.end; slot++) {
      const stream = this.slots[slot];
      if (stream !== undefined) open.push(stream);
    }
    return open;
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

function emptySlots(count: number): (Http2Stream | undefined)[] {
  return new Array<undefined>(count).fill(undefined);
}
