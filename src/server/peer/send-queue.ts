/**
 * Messages on their way to one peer.
 *
 * Two kinds share the connection. Appends and forwarded proposals carry entries and may be long.
 * They go out in the order sent, at most `WINDOW_BYTES` ahead of the other side's confirmations, a
 * long one in parts. Everything else is short and never waits for them, so heartbeats and votes
 * pass between the parts of a long entry.
 *
 * Promises: Entries arrive in order and without gaps as long as nothing was dropped. The queue is
 * bounded by `MAX_QUEUED_BYTES` and one message more, as the consensus core's window is. So nothing
 * that window allows is dropped. Requires: a message and the data of its entries do not change
 * after `send`, as a message that waits is encoded later.
 */
import { invariant } from '../../base/invariant.js';
import type { Message } from '../../raft/types.js';
import { MessageType } from '../../raft/types.js';
import { messagePieces, sizeMessage, writeMessage } from './codec.js';
import { FRAME_HEADER_BYTES, FrameType, allocateFrame, makeFrame, sealFrame } from './frames.js';
import {
  FRAME_TARGET_BYTES,
  MARK_BYTES,
  MAX_BODY_BYTES,
  MAX_FRAME_BYTES,
  MAX_QUEUED_BYTES,
  MAX_QUEUED_WRITES,
  WINDOW_BYTES,
} from './limits.js';
import { BodyCutter } from './parts.js';

/** Body of the ping that asks for a confirmation; the answer to a ping carries the same body. */
const MARK = Uint8Array.of(0);

export interface Outlet {
  write(frame: Buffer): void;
  /** Bytes and frames written that the system has not taken yet. */
  readonly queuedBytes: number;
  readonly pendingWrites: number;
}

interface Waiting {
  readonly message: Message;
  readonly bytes: number;
}

/** True if a pong answers a mark rather than an ordinary ping. */
export function isMark(body: Uint8Array): boolean {
  return body.length === MARK.length;
}

export class SendQueue {
  private readonly outlet: Outlet;
  /** The peer reads parts. */
  private readonly canDivide: boolean;
  private readonly onTooLong: (bytes: number) => void;
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  private cutter: BodyCutter | null = null;
  private beingCut: Waiting | null = null;
  /** Short messages and entries that go out in the next frame. */
  private readonly batch: Message[] = [];
  private batchBytes = 0;
  private hasEntries = false;
  /**
   * Bytes of entries written and not confirmed; those behind the last mark; those each mark stands
   * for.
   */
  private unconfirmedBytes = 0;
  private unmarkedBytes = 0;
  private readonly marks: number[] = [];

  /** `onTooLong` receives a message that the peer could never accept. */
  constructor(outlet: Outlet, canDivide: boolean, onTooLong: (bytes: number) => void) {
    this.outlet = outlet;
    this.canDivide = canDivide;
    this.onTooLong = onTooLong;
  }

  /** Bytes of messages that wait, those of the one that is being sent included. */
  get queuedBytes(): number {
    return this.waitingBytes + (this.cutter?.restBytes ?? 0);
  }

  /** Takes the messages over. False when some were dropped because the peer does not keep up. */
  send(messages: readonly Message[]): boolean {
    if (this.isOutletFull()) return false;
    let isComplete = true;
    for (let i = 0; i < messages.length; i++) {
      const m = messages[i] as Message;
      const bytes = sizeMessage(m);
      if (!carriesEntries(m)) this.collect(m, bytes, false);
      else if (!this.mustWait(bytes)) this.collect(m, bytes, true);
      // A gap would only make the receiver refuse what follows it.
      else isComplete = isComplete && this.enqueue(m, bytes);
    }
    this.flush();
    return isComplete;
  }

  /** The other side has read everything up to the oldest mark. */
  onMarkConfirmed(): void {
    const bytes = this.marks.shift();
    // A peer that confirms more than it was asked for gains nothing by it.
    if (bytes === undefined) return;
    this.unconfirmedBytes -= bytes;
    invariant(this.unconfirmedBytes >= this.unmarkedBytes, 'more was confirmed than was sent');
    this.pump();
  }

  private isOutletFull(): boolean {
    return (
      this.outlet.queuedBytes > MAX_QUEUED_BYTES || this.outlet.pendingWrites >= MAX_QUEUED_WRITES
    );
  }

  private mustWait(bytes: number): boolean {
    return (
      this.cutter !== null ||
      this.waiting.length > 0 ||
      this.unconfirmedBytes + this.batchBytes >= WINDOW_BYTES ||
      bytes > FRAME_TARGET_BYTES
    );
  }

  private enqueue(message: Message, bytes: number): boolean {
    if (bytes > (this.canDivide ? MAX_BODY_BYTES : MAX_FRAME_BYTES)) {
      this.onTooLong(bytes);
      return true;
    }
    if (bytes > FRAME_TARGET_BYTES && this.isUnderWay(message, bytes)) return true;
    if (this.waitingBytes >= MAX_QUEUED_BYTES || this.waiting.length >= MAX_QUEUED_WRITES) {
      return false;
    }
    this.waiting.push({ message, bytes });
    this.waitingBytes += bytes;
    this.flush();
    this.pump();
    return true;
  }

  /**
   * True if the same long append waits already. A leader that probes repeats its append at every
   * answer to a heartbeat, and those answers overtake a long entry. Within a term a leader only
   * adds to its log, so two appends of one term, place and length are the same.
   */
  private isUnderWay(m: Message, bytes: number): boolean {
    if (m.type !== MessageType.append) return false;
    const isSame = (other: Waiting): boolean =>
      other.bytes === bytes &&
      other.message.type === m.type &&
      other.message.term === m.term &&
      other.message.index === m.index;
    return (this.beingCut !== null && isSame(this.beingCut)) || this.waiting.some(isSame);
  }

  private collect(m: Message, bytes: number, hasEntries: boolean): void {
    if (this.batchBytes > 0 && this.batchBytes + bytes > FRAME_TARGET_BYTES) this.flush();
    this.batch.push(m);
    this.batchBytes += bytes;
    this.hasEntries ||= hasEntries;
  }

  /** Writes the collected messages as one frame. */
  private flush(): void {
    if (this.batchBytes === 0) return;
    const frame = allocateFrame(this.batchBytes);
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    let pos = FRAME_HEADER_BYTES;
    for (let i = 0; i < this.batch.length; i++) {
      pos = writeMessage(this.batch[i] as Message, frame, view, pos);
    }
    invariant(pos === frame.length, 'messages differ from their size');
    sealFrame(frame, FrameType.messages);
    const { hasEntries } = this;
    this.batch.length = 0;
    this.batchBytes = 0;
    this.hasEntries = false;
    if (hasEntries) this.writeCounted(frame);
    else this.outlet.write(frame);
  }

  /** Writes what waits, as far as the window allows. */
  private pump(): void {
    while (this.unconfirmedBytes < WINDOW_BYTES && this.queuedBytes > 0) {
      if (this.cutter !== null) this.writePart(this.cutter);
      else this.writeWaiting();
    }
  }

  private writePart(cutter: BodyCutter): void {
    this.writeCounted(cutter.next());
    if (cutter.restBytes > 0) return;
    this.cutter = null;
    this.beingCut = null;
  }

  /**
   * Begins the first message that waits if it is long, else writes one frame of those that are not.
   */
  private writeWaiting(): void {
    let taken = 0;
    for (const next of this.waiting) {
      const { message, bytes } = next;
      const isLong = bytes > FRAME_TARGET_BYTES && this.canDivide;
      if (taken > 0 && (isLong || this.batchBytes + bytes > FRAME_TARGET_BYTES)) break;
      taken++;
      this.waitingBytes -= bytes;
      if (isLong) {
        this.cutter = new BodyCutter(FrameType.messages, messagePieces(message));
        this.beingCut = next;
        break;
      }
      this.collect(message, bytes, true);
    }
    this.waiting = this.waiting.slice(taken);
    this.flush();
  }

  private writeCounted(frame: Buffer): void {
    this.outlet.write(frame);
    this.unconfirmedBytes += frame.length;
    this.unmarkedBytes += frame.length;
    if (this.unmarkedBytes < MARK_BYTES) return;
    this.outlet.write(makeFrame(FrameType.ping, MARK));
    this.marks.push(this.unmarkedBytes);
    this.unmarkedBytes = 0;
  }
}

function carriesEntries(m: Message): boolean {
  return m.type === MessageType.append || m.type === MessageType.propose;
}
