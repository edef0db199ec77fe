/** One direction of a stream inside the process: messages in order, then its end, at the pace of who takes them. */
import { Fifo } from '../../base/collections/fifo.js';

/** A writer that waits goes on when this part of its allowance is in use. */
const LOW_WATER_PART = 4;

export interface LaneEvents {
  /** `push` has returned false before, and there is room again. */
  onDrain(): void;
  /** Every message has been delivered, and no further one comes. */
  onEnd(): void;
}

export class Lane {
  /** Bytes of messages not delivered yet. */
  bytes = 0;
  private readonly highWaterBytes: number;
  private readonly events: LaneEvents;
  private readonly waiting = new Fifo<Uint8Array>();
  private deliver: ((message: Uint8Array) => void) | undefined;
  isPaused = false;
  private isDelivering = false;
  private wantsDrain = false;
  /** 'open' takes messages, 'ending' delivers those it has, 'closed' delivers nothing any more. */
  private state: 'open' | 'ending' | 'closed' = 'open';

  constructor(highWaterBytes: number, events: LaneEvents) {
    this.highWaterBytes = highWaterBytes;
    this.events = events;
  }

  /** Messages that came before wait for this. */
  deliverTo(deliver: (message: Uint8Array) => void): void {
    this.deliver = deliver;
    this.release();
  }

  /** Returns false when the writer is to wait for `onDrain`; the message is taken in any case while the lane is open. */
  push(message: Uint8Array): boolean {
    if (this.state !== 'open') return false;
    this.waiting.push(message);
    this.bytes += message.length;
    this.release();
    if (this.bytes <= this.highWaterBytes) return true;
    this.wantsDrain = true;
    return false;
  }

  end(): void {
    if (this.state !== 'open') return;
    this.state = 'ending';
    this.release();
  }

  /** Ends without a word. */
  close(): void {
    this.state = 'closed';
    this.clear();
  }

  /** Drops what waits, and delivers no message from now on, but the end. */
  clear(): void {
    this.waiting.clear();
    this.bytes = 0;
    this.isPaused = false;
    this.wantsDrain = false;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.release();
  }

  private release(): void {
    // Messages pushed while one is delivered follow it in the loop below.
    if (this.isDelivering) return;
    this.isDelivering = true;
    try {
      this.deliverAll();
    } finally {
      this.isDelivering = false;
    }
    if (this.wantsDrain && this.bytes * LOW_WATER_PART <= this.highWaterBytes) {
      this.wantsDrain = false;
      this.events.onDrain();
    }
    if (this.state !== 'ending' || !this.waiting.isEmpty || this.isPaused) return;
    this.state = 'closed';
    this.events.onEnd();
  }

  private deliverAll(): void {
    const { deliver } = this;
    while (deliver !== undefined && !this.isPaused) {
      const message = this.waiting.shift();
      if (message === undefined) return;
      this.bytes -= message.length;
      deliver(message);
    }
  }
}
