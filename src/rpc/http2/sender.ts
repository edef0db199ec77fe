/**
 * Output of one connection: writes replies, messages and small frames into its output. Queued data
 * of its streams goes out in turn, as far as both flow-control windows and the socket allow.
 */
import { writeU32 } from '../../base/bytes/big-endian.js';
import {
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  writeFrameHeader,
} from './frames.js';
import type { ErrorCode } from './frames.js';
import { Fifo } from '../../base/collections/fifo.js';
import { SendWindows } from './flow-control.js';
import type { ConnectionHost } from './host.js';
import { PUMP_SLICE_BYTES } from './limits.js';
import { BLOCK_BYTES } from './output.js';
import type { Output } from './output.js';
import {
  MESSAGE_PREFIX_BYTES,
  REPLY_DATA_AT,
  REPLY_END,
  REPLY_START,
  RESPONSE_HEADERS,
} from './response-blocks.js';
import type { Http2Stream } from './stream.js';

const WINDOW_UPDATE_BYTES = FRAME_HEADER_BYTES + 4;
const PING_BYTES = FRAME_HEADER_BYTES + 8;
const RST_BYTES = FRAME_HEADER_BYTES + 4;
const SETTING_BYTES = 6;
const GOAWAY_BYTES = 8;
/** A frame of queued data is not cut for less room than this in the block. */
const MIN_DATA_ROOM = 1024;
/** A stream's turn to send counts for so many bytes beside those it sends. */
const STREAM_COST_BYTES = 128;

/** The connection, as the sender sees it. */
export interface SenderOwner {
  readonly nowMs: number;
  /** Sees to it that what was written leaves at the end of this turn. */
  touch(): void;
  /** The stream's last frame was written. */
  onFinished(stream: Http2Stream): void;
  isKnown(stream: Http2Stream): boolean;
}

export class Sender {
  /** Largest payload the client accepts. */
  peerMaxFrame = MIN_MAX_FRAME_BYTES;
  /** Headers or data were sent since this was last cleared: pings of the client are forgiven. */
  hasSent = false;
  readonly out: Output;
  private readonly owner: SenderOwner;
  private readonly host: ConnectionHost;
  private readonly windows = new SendWindows();
  // Streams with something to send: in turn, or waiting for the connection's window.
  private readonly ready = new Fifo<Http2Stream>();
  private readonly blocked = new Fifo<Http2Stream>();

  constructor(owner: SenderOwner, host: ConnectionHost, out: Output) {
    this.owner = owner;
    this.host = host;
    this.out = out;
  }

  /** Adds to the connection's window; false when it overflows. */
  openWindow(increment: number): boolean {
    if (!this.windows.open(increment)) return false;
    if (!this.blocked.isEmpty) this.owner.touch();
    return true;
  }

  /** Adds to a stream's window; false when it overflows. */
  openStreamWindow(stream: Http2Stream, increment: number): boolean {
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW) return false;
    if (stream.sending !== undefined) this.startSending(stream);
    return true;
  }

  /**
   * Writes headers, message and trailers of a unary reply at once; false when windows or the socket do not allow it.
   *
   * Requires: a stream without compression.
   */
  sendReply(stream: Http2Stream, message: Uint8Array): boolean {
    const size = message.length + MESSAGE_PREFIX_BYTES;
    if (!this.windows.allow(stream, size) || size > this.peerMaxFrame) return false;
    const total = REPLY_START.length + message.length + REPLY_END.length;
    if (this.out.congested || total > BLOCK_BYTES) return false;
    this.windows.take(stream, size);
    this.hasSent = true;
    const at = this.out.reserve(total);
    const { block } = this.out;
    const { id } = stream;
    block.set(REPLY_START, at);
    writeU32(block, at + 5, id);
    const dataAt = at + REPLY_DATA_AT;
    block[dataAt] = size >>> 16;
    block[dataAt + 1] = size >>> 8;
    block[dataAt + 2] = size;
    writeU32(block, dataAt + 5, id);
    const bodyAt = at + REPLY_START.length;
    writeU32(block, bodyAt - 4, message.length);
    block.set(message, bodyAt);
    const endAt = bodyAt + message.length;
    block.set(REPLY_END, endAt);
    writeU32(block, endAt + 5, id);
    this.out.length += total;
    this.owner.onFinished(stream);
    return true;
  }

  /**
   * Writes one message of a stream, in two parts, at once; false when windows or the socket do not allow it.
   *
   * Requires: a stream without compression.
   */
  sendMessage(stream: Http2Stream, message: Uint8Array, rest: Uint8Array): boolean {
    const bytes = message.length + rest.length;
    const size = bytes + MESSAGE_PREFIX_BYTES;
    if (!this.windows.allow(stream, size) || size > this.peerMaxFrame) return false;
    if (this.out.congested || size + FRAME_HEADER_BYTES > BLOCK_BYTES) return false;
    if (!stream.headersSent) this.sendHeaders(stream, RESPONSE_HEADERS, false);
    this.windows.take(stream, size);
    this.hasSent = true;
    const at = this.out.reserve(FRAME_HEADER_BYTES + size);
    const { block } = this.out;
    const prefixAt = writeFrameHeader(block, at, size, FrameType.data, 0, stream.id);
    block[prefixAt] = 0;
    const bodyAt = writeU32(block, prefixAt + 1, bytes);
    block.set(message, bodyAt);
    if (rest.length > 0) block.set(rest, bodyAt + message.length);
    this.out.length += FRAME_HEADER_BYTES + size;
    this.owner.touch();
    return true;
  }

  sendHeaders(stream: Http2Stream, block: Buffer, endsStream: boolean): void {
    stream.headersSent = true;
    this.hasSent = true;
    const at = this.out.reserve(FRAME_HEADER_BYTES + block.length);
    const flags = Flag.endHeaders | (endsStream ? Flag.endStream : 0);
    const bodyAt = writeFrameHeader(
      this.out.block,
      at,
      block.length,
      FrameType.headers,
      flags,
      stream.id,
    );
    this.out.block.set(block, bodyAt);
    this.out.length += FRAME_HEADER_BYTES + block.length;
    this.owner.touch();
  }

  /** Ends the stream with `block`, after the usual headers if asked. */
  sendEnd(stream: Http2Stream, block: Buffer, withHeaders: boolean): void {
    if (withHeaders) this.sendHeaders(stream, stream.responseHeaders, false);
    this.sendHeaders(stream, block, true);
    this.owner.onFinished(stream);
  }

  /** Puts a stream that has something queued in line. */
  startSending(stream: Http2Stream): void {
    const { sending } = stream;
    if (sending === undefined || sending.isReady) return;
    if (stream.sendWindow <= 0 && sending.queuedBytes > 0 && stream.headersSent) return;
    sending.isReady = true;
    this.ready.push(stream);
    this.owner.touch();
  }

  /** Writes queued data, a bounded stretch at a time. */
  pump(): void {
    if (!this.hasNext) return;
    const allowed = Math.min(PUMP_SLICE_BYTES, this.host.turnBytes);
    let budget = allowed;
    while (budget > 0 && !this.out.congested) {
      const stream = this.takeNext();
      if (stream === undefined) break;
      budget -= this.sendSome(stream) + STREAM_COST_BYTES;
    }
    this.host.turnBytes -= allowed - budget;
    if (this.hasNext && !this.out.congested) this.owner.touch();
  }

  /** Each stream that waits for the connection's window takes a byte of it at least, so that none is looked at in vain. */
  private get hasNext(): boolean {
    return !this.ready.isEmpty || (this.windows.connection > 0 && !this.blocked.isEmpty);
  }

  /** Those that waited for the connection's window have waited longest. */
  private takeNext(): Http2Stream | undefined {
    const waited = this.windows.connection > 0 ? this.blocked.shift() : undefined;
    return waited ?? this.ready.shift();
  }

  /** Writes one frame of a queued stream, and its end if that is all; returns the bytes written. */
  private sendSome(stream: Http2Stream): number {
    const { sending } = stream;
    if (sending === undefined || !this.owner.isKnown(stream)) return 0;
    sending.isReady = false;
    stream.refill();
    let count = this.windows.grant(stream, Math.min(sending.queuedBytes, this.peerMaxFrame));
    if (count === 0 && sending.queuedBytes > 0 && stream.sendWindow > 0) {
      sending.isReady = true;
      this.blocked.push(stream);
      return 0;
    }
    if (!stream.headersSent && sending.hasWork) {
      this.sendHeaders(stream, stream.responseHeaders, false);
    }
    if (count > 0) {
      count = this.writeQueued(stream, count);
      sending.lastProgressMs = this.owner.nowMs;
      stream.refill();
    }
    if (sending.isDrained && (sending.trailers !== undefined || sending.endsWithData)) {
      this.endQueued(stream, sending.trailers);
      return count;
    }
    stream.maybeDrain();
    if (sending.hasWork) this.startSending(stream);
    return count;
  }

  private writeQueued(stream: Http2Stream, wanted: number): number {
    const { sending, id } = stream;
    const { out } = this;
    const atLeast = Math.min(wanted, MIN_DATA_ROOM) + FRAME_HEADER_BYTES;
    const at = out.reserve(atLeast);
    const count = Math.min(wanted, out.room - FRAME_HEADER_BYTES);
    const bodyAt = writeFrameHeader(out.block, at, count, FrameType.data, 0, id);
    sending?.take(out.block, bodyAt, count);
    out.length += FRAME_HEADER_BYTES + count;
    this.windows.take(stream, count);
    this.hasSent = true;
    return count;
  }

  private endQueued(stream: Http2Stream, trailers: Buffer | undefined): void {
    if (trailers !== undefined) {
      this.sendEnd(stream, trailers, false);
      return;
    }
    const at = this.out.reserve(FRAME_HEADER_BYTES);
    writeFrameHeader(this.out.block, at, 0, FrameType.data, Flag.endStream, stream.id);
    this.out.length += FRAME_HEADER_BYTES;
    this.owner.onFinished(stream);
  }

  // Small frames.

  writeSettings(values: readonly (readonly [number, number])[]): void {
    const size = values.length * SETTING_BYTES;
    let at = this.out.reserve(FRAME_HEADER_BYTES + size);
    this.out.length += FRAME_HEADER_BYTES + size;
    at = writeFrameHeader(this.out.block, at, size, FrameType.settings, 0, 0);
    for (const [id, value] of values) {
      this.out.block.writeUInt16BE(id, at);
      at = writeU32(this.out.block, at + 2, value);
    }
  }

  writeSettingsAck(): void {
    const at = this.out.reserve(FRAME_HEADER_BYTES);
    writeFrameHeader(this.out.block, at, 0, FrameType.settings, Flag.ack, 0);
    this.out.length += FRAME_HEADER_BYTES;
  }

  writeWindowUpdate(streamId: number, increment: number): void {
    const at = this.out.reserve(WINDOW_UPDATE_BYTES);
    const { block } = this.out;
    writeU32(block, writeFrameHeader(block, at, 4, FrameType.windowUpdate, 0, streamId), increment);
    this.out.length += WINDOW_UPDATE_BYTES;
  }

  writeRst(streamId: number, code: ErrorCode): void {
    const at = this.out.reserve(RST_BYTES);
    const { block } = this.out;
    writeU32(block, writeFrameHeader(block, at, 4, FrameType.rstStream, 0, streamId), code);
    this.out.length += RST_BYTES;
    this.owner.touch();
  }

  /** Writes a PING whose eight bytes are zero but for the last four. */
  writePing(value: number): void {
    const at = this.out.reserve(PING_BYTES);
    const { block } = this.out;
    writeU32(
      block,
      writeU32(block, writeFrameHeader(block, at, 8, FrameType.ping, 0, 0), 0),
      value,
    );
    this.out.length += PING_BYTES;
    this.owner.touch();
  }

  /** Answers a PING with the eight bytes it came with. */
  writePingAck(buffer: Buffer, start: number): void {
    const at = this.out.reserve(PING_BYTES);
    const bodyAt = writeFrameHeader(this.out.block, at, 8, FrameType.ping, Flag.ack, 0);
    buffer.copy(this.out.block, bodyAt, start, start + 8);
    this.out.length += PING_BYTES;
  }

  writeGoaway(lastStreamId: number, code: ErrorCode, reason: string): void {
    const size = GOAWAY_BYTES + reason.length;
    const at = this.out.reserve(FRAME_HEADER_BYTES + size);
    const { block } = this.out;
    const idAt = writeFrameHeader(block, at, size, FrameType.goaway, 0, 0);
    const textAt = writeU32(block, writeU32(block, idAt, lastStreamId), code);
    block.write(reason, textAt, 'latin1');
    this.out.length += FRAME_HEADER_BYTES + size;
  }
}
