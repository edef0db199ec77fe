/**
 * Both levels of HTTP/2 flow control (RFC 9113, 5.2) in both directions: bytes that may be sent,
 * and bytes the client may send before the next WINDOW_UPDATE.
 */
import { invariant } from '../../base/invariant.js';
import { DEFAULT_WINDOW, MAX_WINDOW } from './frames.js';
import { CONNECTION_WINDOW_BYTES, MAX_RECEIVING_BYTES, STREAM_WINDOW_BYTES } from './limits.js';
import type { Sender } from './sender.js';
import type { Http2Stream } from './stream.js';

/** Bytes of DATA this side may still send. */
export class SendWindows {
  connection = DEFAULT_WINDOW;

  /** Adds to the connection's window; false when it overflows. */
  open(increment: number): boolean {
    this.connection += increment;
    return this.connection <= MAX_WINDOW;
  }

  /** The part of `bytes` that both windows let through now. */
  grant(stream: Http2Stream, bytes: number): number {
    return Math.max(0, Math.min(bytes, stream.sendWindow, this.connection));
  }

  /** Both windows let `bytes` through. */
  allow(stream: Http2Stream, bytes: number): boolean {
    return bytes <= stream.sendWindow && bytes <= this.connection;
  }

  take(stream: Http2Stream, bytes: number): void {
    stream.sendWindow -= bytes;
    this.connection -= bytes;
    invariant(this.connection >= 0, 'no more is sent than the connection may');
  }
}

/**
 * Bytes of DATA the client may still send. The connection's window opens as bytes arrive, as memory
 * is bounded by stream and by MAX_RECEIVING_BYTES. A stream's window opens when its handler takes
 * the messages.
 */
export class ReceiveWindows {
  private readonly sender: Sender;
  private readonly maxReceivingBytes: number;
  /** Received since the connection's window was last opened. */
  private unacknowledged = 0;
  /** Bytes in memory for requests that are incomplete or held back, of all streams. */
  private receivingBytes = 0;

  /** `maxMessageBytes`: longest message a request may be; one of them always fits. */
  constructor(sender: Sender, maxMessageBytes: number) {
    this.sender = sender;
    this.maxReceivingBytes = Math.max(MAX_RECEIVING_BYTES, maxMessageBytes);
  }

  /** Counts the payload of a DATA frame, padding included. */
  onConnectionBytes(bytes: number): void {
    this.unacknowledged += bytes;
    if (this.unacknowledged < CONNECTION_WINDOW_BYTES / 2) return;
    this.sender.writeWindowUpdate(0, this.unacknowledged);
    this.unacknowledged = 0;
  }

  /** The same for the stream; false when the client overran its window. */
  onStreamBytes(stream: Http2Stream, bytes: number): boolean {
    stream.unacknowledged += bytes;
    return stream.unacknowledged <= STREAM_WINDOW_BYTES;
  }

  /** Opens the stream's window once half of it is used and its handler takes messages; true if that was written. */
  openStream(stream: Http2Stream): boolean {
    if (stream.remoteClosed || stream.unacknowledged < STREAM_WINDOW_BYTES / 2) return false;
    if (stream.inbox?.holds === true) return false;
    this.sender.writeWindowUpdate(stream.id, stream.unacknowledged);
    stream.unacknowledged = 0;
    return true;
  }

  /** Takes account of what the stream has in memory; false when the connection has too much. */
  count(stream: Http2Stream): boolean {
    const { receivingBytes } = stream;
    this.receivingBytes += receivingBytes - stream.countedBytes;
    stream.countedBytes = receivingBytes;
    return this.receivingBytes <= this.maxReceivingBytes;
  }

  /** Takes a stream that has ended out of the account. */
  forget(stream: Http2Stream): void {
    this.receivingBytes -= stream.countedBytes;
    stream.countedBytes = 0;
    invariant(this.receivingBytes >= 0, 'no more is let go than was counted');
  }
}
