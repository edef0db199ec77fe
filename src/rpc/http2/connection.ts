/**
 * One HTTP/2 connection: acts on the client's frames and writes the server's.
 *
 * Promises: frames are parsed in the socket's chunks; what a turn of the event loop produced leaves in one write; both
 * flow-control levels are kept in both directions; memory per connection and per stream is bounded by `limits.ts`; a
 * client that breaks the protocol or floods gets GOAWAY and harms no other connection.
 * Does not know services: it hands request bytes to the handler table through `Http2Stream`.
 * Made by `Http2Transport` for each accepted socket, swept by it once in a while for timeouts.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FrameType,
  MAX_WINDOW,
  Setting,
  readStreamId,
} from './frames.js';
import { ControlFrames, PING_DRAIN, PING_KEEPALIVE } from './control-frames.js';
import type { ControlOwner } from './control-frames.js';
import { FrameReader } from './frame-reader.js';
import type { FrameHandler } from './frame-reader.js';
import type { GzipWorkers } from './gzip.js';
import { HeaderBlocks } from './header-blocks.js';
import { HttpExchange } from './http-exchange.js';
import * as limits from './limits.js';
import { Output } from './output.js';
import { BAD_TIMEOUT, HeadFault, MAX_HEADER_LIST_BYTES } from './request-head.js';
import type { RequestHead } from './request-head.js';
import { refusalOf } from './refusal.js';
import { MESSAGE_PREFIX_BYTES } from './response-blocks.js';
import { Sender } from './sender.js';
import type { SenderOwner } from './sender.js';
import { StreamTable } from './stream-table.js';
import { Http2Stream } from './stream.js';
import { RpcError, Status } from '../service.js';
import type { Method } from '../service.js';
import { messageTooLarge, peerName } from '../transport.js';
import type { ConnectionHost } from './host.js';

const PRIORITY_BYTES = 5;
const MAX_U32 = 2 ** 32 - 1;

/** Stands in where a request has no handler; never called. */
const NO_METHOD: Method = { kind: 'stream', streamType: 'bidi_stream', handle: () => {} };

const BODY_STALLED = new RpcError(
  Status.deadlineExceeded,
  'request message did not arrive in time',
);
const TOO_MUCH_RECEIVING = new RpcError(
  Status.resourceExhausted,
  'too many bytes of incomplete requests on this connection',
);

export class Http2Connection implements FrameHandler, SenderOwner, ControlOwner {
  readonly peer: string;
  /** Time at the start of the current read. */
  nowMs: number;
  isOpen = true;
  flushScheduled = false;
  private readonly host: ConnectionHost;
  private readonly socket: Socket;
  /** What this connection writes. */
  readonly sender: Sender;
  private readonly out: Output;
  private readonly reader: FrameReader;
  private readonly blocks: HeaderBlocks;
  private readonly streams = new StreamTable();
  private readonly control: ControlFrames;
  private reading = false;

  // Flow control.
  private unacknowledged = 0;
  private receivingBytes = 0;

  // Abuse and timeouts.
  private readonly resets: limits.Allowance;
  private lastReadMs: number;
  private midFrameSinceMs: number;
  private congestedSinceMs = 0;
  private keepaliveSentMs = 0;
  private endingSinceMs = 0;
  private draining = false;
  private refusesNew = false;

  constructor(host: ConnectionHost, socket: Socket, nowMs: number) {
    this.host = host;
    this.socket = socket;
    this.peer = peerName(socket);
    this.nowMs = nowMs;
    this.lastReadMs = nowMs;
    this.midFrameSinceMs = nowMs;
    this.out = new Output(socket, host.pool, socket instanceof TLSSocket);
    this.reader = new FrameReader(this);
    this.blocks = new HeaderBlocks(host);
    this.sender = new Sender(this, host, this.out);
    this.resets = new limits.Allowance(limits.RESET_BURST, limits.RESETS_PER_SECOND, nowMs);
    const { keepaliveMinTimeMs } = host.limits;
    this.control = new ControlFrames(this, this.sender, this.streams, keepaliveMinTimeMs);
  }

  /** Greets the client and begins to read. */
  start(head: Uint8Array): void {
    const { socket } = this;
    socket.setNoDelay(true);
    socket.on('data', this.onData);
    socket.on('end', this.onEnd);
    socket.on('drain', this.onSocketDrain);
    socket.on('close', this.onClose);
    // 'close' follows and does the work.
    socket.on('error', () => {});
    this.sender.writeSettings([
      [Setting.maxConcurrentStreams, Math.min(this.host.limits.maxConcurrentStreams, MAX_U32)],
      [Setting.initialWindowSize, limits.STREAM_WINDOW_BYTES],
      [Setting.maxFrameSize, limits.MAX_FRAME_BYTES],
      [Setting.maxHeaderListSize, MAX_HEADER_LIST_BYTES],
    ]);
    this.sender.writeWindowUpdate(0, limits.CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW);
    if (head.length > 0) {
      this.onData(Buffer.from(head.buffer, head.byteOffset, head.byteLength));
    }
    this.out.flush();
    socket.resume();
  }

  get maxReceiveBytes(): number {
    return this.host.limits.maxReceiveBytes;
  }

  get gzip(): GzipWorkers {
    return this.host.gzip;
  }

  get unsentBytes(): number {
    return this.out.unsentBytes;
  }

  /** Ends the connection when the calls in flight have ended: new streams are refused once the client has heard of it. */
  drain(): void {
    if (this.draining || !this.isOpen) return;
    this.draining = true;
    // The client may have sent calls by now that it does not know to be refused: they are served until it answers.
    this.sender.writeGoaway(MAX_WINDOW, ErrorCode.noError, '');
    this.sender.writePing(PING_DRAIN);
  }

  destroy(): void {
    this.isOpen = false;
    this.socket.destroy();
  }

  /** Writes what was queued since the last turn. */
  flush(): void {
    this.flushScheduled = false;
    if (!this.isOpen) {
      this.out.discard();
      return;
    }
    this.sender.pump();
    if (this.refusesNew && this.streams.size === 0) {
      this.finishConnection();
      return;
    }
    this.out.flush();
    this.checkBacklog();
  }

  /** Looks after timeouts. */
  sweep(nowMs: number): void {
    this.nowMs = nowMs;
    if (this.endingSinceMs > 0) {
      if (nowMs - this.endingSinceMs > limits.CLOSE_LINGER_MS) this.socket.destroy();
      return;
    }
    const midFrame =
      this.reader.isMidFrame || this.blocks.openStreamId !== 0 || !this.control.settingsSeen;
    if (midFrame && nowMs - this.midFrameSinceMs > limits.FRAME_DEADLINE_MS) {
      this.onFault(ErrorCode.enhanceYourCalm, 'frame not completed in time');
      return;
    }
    if (this.out.congested && nowMs - this.congestedSinceMs > limits.SEND_STALL_MS) {
      this.destroy();
      return;
    }
    this.keepAlive(nowMs);
    for (const stream of this.streams.values()) this.sweepStream(stream, nowMs);
    if (this.out.length > 0) this.touch();
  }

  // Frames.

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    const { openStreamId } = this.blocks;
    if (openStreamId !== 0 && (type !== FrameType.continuation || streamId !== openStreamId)) {
      this.onFault(ErrorCode.protocolError, 'header block interrupted');
      return;
    }
    if (!this.control.settingsSeen && type !== FrameType.settings) {
      this.onFault(ErrorCode.protocolError, 'first frame is not SETTINGS');
      return;
    }
    switch (type) {
      case FrameType.data:
        this.onDataFrame(flags, streamId, buffer, start, end);
        break;
      case FrameType.headers:
        this.onHeadersFrame(flags, streamId, buffer, start, end);
        break;
      case FrameType.rstStream:
        this.onRstStream(streamId, end - start);
        break;
      case FrameType.continuation:
        this.onContinuation(flags, buffer, start, end);
        break;
      default:
        this.control.onFrame(type, flags, streamId, buffer, start, end);
    }
  }

  onFault(code: ErrorCode, reason: string): void {
    if (!this.isOpen) return;
    this.sender.writeGoaway(this.streams.lastId, code, reason);
    this.finishConnection();
  }

  private onDataFrame(
    flags: number,
    streamId: number,
    buffer: Buffer,
    from: number,
    to: number,
  ): void {
    const size = to - from;
    let start = from;
    let end = to;
    if ((flags & Flag.padded) !== 0) {
      end -= buffer[start] ?? 0;
      start++;
      if (start > to || end < start) {
        this.onFault(ErrorCode.protocolError, 'padding exceeds the frame');
        return;
      }
    }
    this.receiveBytes(size);
    const endsStream = (flags & Flag.endStream) !== 0;
    if (start === end && !endsStream && !this.control.countIdleFrame()) return;
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.onDataOfClosed(streamId);
      return;
    }
    if (stream.remoteClosed) {
      this.resetStream(stream, ErrorCode.streamClosed);
      return;
    }
    // The common case: a unary request in one frame, passed on as a view of the socket's chunk.
    if (
      endsStream &&
      stream.receivedBytes === 0 &&
      stream.isUnary &&
      (stream.head.contentLength < 0 || stream.head.contentLength === end - start) &&
      end - start >= MESSAGE_PREFIX_BYTES &&
      buffer[start] === 0 &&
      buffer.readUInt32BE(start + 1) === end - start - MESSAGE_PREFIX_BYTES
    ) {
      const length = end - start - MESSAGE_PREFIX_BYTES;
      if (length > this.maxReceiveBytes) {
        stream.remoteClosed = true;
        stream.abandon(messageTooLarge(length, this.maxReceiveBytes));
      } else {
        stream.onRequest(buffer.subarray(start + MESSAGE_PREFIX_BYTES, end));
      }
      return;
    }
    this.receivePart(stream, size, buffer, start, end, endsStream);
  }

  private receivePart(
    stream: Http2Stream,
    size: number,
    buffer: Buffer,
    start: number,
    end: number,
    endsStream: boolean,
  ): void {
    stream.unacknowledged += size;
    if (stream.unacknowledged > limits.STREAM_WINDOW_BYTES) {
      this.resetStream(stream, ErrorCode.flowControlError);
      return;
    }
    stream.receivedBytes += end - start;
    stream.lastReceivedMs = this.nowMs;
    const { contentLength } = stream.head;
    if (contentLength >= 0) {
      const { receivedBytes } = stream;
      if (receivedBytes > contentLength || (endsStream && receivedBytes !== contentLength)) {
        this.resetStream(stream, ErrorCode.protocolError);
        return;
      }
    }
    if (end > start) stream.onPayload(buffer, start, end);
    if (!this.isKnown(stream)) return;
    this.countReceiving(stream);
    if (endsStream) stream.onRemoteEnd();
    else this.maybeOpenWindow(stream);
  }

  /** Opens the connection's window again as bytes arrive: what may be kept in memory is bounded per stream. */
  private receiveBytes(size: number): void {
    this.unacknowledged += size;
    if (this.unacknowledged < limits.CONNECTION_WINDOW_BYTES / 2) return;
    this.sender.writeWindowUpdate(0, this.unacknowledged);
    this.unacknowledged = 0;
  }

  private countReceiving(stream: Http2Stream): void {
    const { receivingBytes } = stream;
    this.receivingBytes += receivingBytes - stream.countedBytes;
    stream.countedBytes = receivingBytes;
    if (this.receivingBytes > limits.MAX_RECEIVING_BYTES) stream.abandon(TOO_MUCH_RECEIVING);
  }

  /** Opens the stream's window again once half of it is used and the handler takes its messages. */
  maybeOpenWindow(stream: Http2Stream): void {
    if (stream.remoteClosed || stream.unacknowledged < limits.STREAM_WINDOW_BYTES / 2) return;
    if (stream.inbox?.holds === true) return;
    this.sender.writeWindowUpdate(stream.id, stream.unacknowledged);
    stream.unacknowledged = 0;
    this.touch();
  }

  private onDataOfClosed(streamId: number): void {
    if (streamId === 0 || streamId > this.streams.lastId || streamId % 2 === 0) {
      this.onFault(ErrorCode.protocolError, 'DATA on an idle stream');
    } else if (!this.streams.wasEndedHere(streamId)) {
      this.sender.writeRst(streamId, ErrorCode.streamClosed);
    }
  }

  private onHeadersFrame(
    flags: number,
    streamId: number,
    buffer: Buffer,
    from: number,
    to: number,
  ): void {
    let start = from;
    let end = to;
    if ((flags & Flag.padded) !== 0) {
      end -= buffer[start] ?? 0;
      start++;
    }
    let dependsOnItself = false;
    if ((flags & Flag.priority) !== 0) {
      dependsOnItself = end - start >= PRIORITY_BYTES && readStreamId(buffer, start) === streamId;
      start += PRIORITY_BYTES;
    }
    if (start > to || end < start || streamId % 2 === 0 || dependsOnItself) {
      this.onFault(ErrorCode.protocolError, 'malformed HEADERS');
      return;
    }
    const endsStream = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) {
      this.onBlock(streamId, endsStream, buffer, start, end);
      return;
    }
    this.blocks.begin(streamId, endsStream, buffer, start, end);
  }

  private onContinuation(flags: number, buffer: Buffer, start: number, end: number): void {
    const { blocks } = this;
    const { openStreamId, endsStream } = blocks;
    if (openStreamId === 0) {
      this.onFault(ErrorCode.protocolError, 'CONTINUATION without HEADERS');
    } else if (!blocks.append(buffer, start, end)) {
      this.onFault(ErrorCode.enhanceYourCalm, 'header block too large');
    } else if ((flags & Flag.endHeaders) !== 0) {
      const block = blocks.join();
      this.onBlock(openStreamId, endsStream, block, 0, block.length);
    }
  }

  private onBlock(
    streamId: number,
    endsStream: boolean,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    const block = this.blocks.read(buffer, start, end);
    if (block === undefined) {
      this.onFault(ErrorCode.compressionError, 'malformed header block');
      return;
    }
    if (streamId <= this.streams.lastId) {
      this.onTrailers(streamId, endsStream);
      return;
    }
    this.streams.lastId = streamId;
    if (this.refusesNew) return;
    if (this.streams.size >= this.host.limits.maxConcurrentStreams) {
      this.refuseStream(streamId, ErrorCode.refusedStream);
      return;
    }
    this.open(streamId, block.head, block.method, endsStream);
  }

  /** A second header block of a stream: trailers, of which only the end matters. */
  private onTrailers(streamId: number, endsStream: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (!this.streams.wasEndedHere(streamId)) {
        this.onFault(ErrorCode.streamClosed, 'HEADERS on a closed stream');
      }
    } else if (stream.remoteClosed) {
      this.resetStream(stream, ErrorCode.streamClosed);
    } else if (!endsStream) {
      this.resetStream(stream, ErrorCode.protocolError);
    } else {
      stream.onRemoteEnd();
    }
  }

  private open(
    streamId: number,
    head: RequestHead,
    method: Method | undefined,
    endsStream: boolean,
  ): void {
    if (head.fault === HeadFault.malformed) {
      this.refuseStream(streamId, ErrorCode.protocolError);
      return;
    }
    const { nowMs } = this;
    const stream = new Http2Stream(
      this,
      streamId,
      head,
      method ?? NO_METHOD,
      this.streams.initialSendWindow,
      nowMs,
    );
    this.streams.add(stream);
    const refusal = refusalOf(head, method, this.host);
    if (refusal !== undefined) {
      stream.remoteClosed = endsStream;
      const { onHttpRequest } = this.host;
      if (refusal.isPlainHttp && onHttpRequest !== undefined) {
        stream.exchange = new HttpExchange(this, stream, onHttpRequest);
        if (endsStream) stream.exchange.onEnd();
      } else {
        stream.ended = true;
        stream.sendRefusal(refusal.error, refusal.httpStatus);
      }
      return;
    }
    this.host.observer?.started(head.path);
    if (head.timeoutMs <= 0) {
      stream.remoteClosed = endsStream;
      if (head.timeoutMs === BAD_TIMEOUT)
        stream.fail(new RpcError(Status.internal, 'malformed grpc-timeout'));
      else stream.expire();
      return;
    }
    if (head.timeoutMs !== Infinity) {
      stream.deadline = this.host.deadlines.add(stream.deadlineMs, stream);
    }
    stream.begin();
    if (endsStream && this.isKnown(stream)) stream.onRemoteEnd();
  }

  /** Answers HEADERS with a reset. */
  private refuseStream(streamId: number, code: ErrorCode): void {
    if (!this.countReset()) return;
    this.streams.rememberEnded(streamId);
    this.sender.writeRst(streamId, code);
  }

  private onRstStream(streamId: number, size: number): void {
    if (size !== 4) {
      this.onFault(ErrorCode.frameSizeError, 'RST_STREAM of wrong size');
      return;
    }
    if (streamId === 0 || streamId > this.streams.lastId) {
      this.onFault(ErrorCode.protocolError, 'RST_STREAM on an idle stream');
      return;
    }
    if (!this.countReset()) return;
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    this.remove(stream);
    stream.onGone();
  }

  /** Counts a stream reset by the client or for its fault; false when there were too many. */
  private countReset(): boolean {
    if (this.resets.take(this.nowMs)) return true;
    this.onFault(ErrorCode.enhanceYourCalm, 'too_many_resets');
    return false;
  }

  // Answers of streams.

  /** Ends a stream with RST_STREAM; the handler is told if it has not answered. */
  resetStream(stream: Http2Stream, code: ErrorCode): void {
    if (!this.isKnown(stream) || !this.countReset()) return;
    this.streams.rememberEnded(stream.id);
    this.sender.writeRst(stream.id, code);
    this.remove(stream);
    stream.onGone();
  }

  onHandled(stream: Http2Stream, code: Status): void {
    const { observer } = this.host;
    if (observer === undefined) return;
    const seconds = (this.host.env.clock.monoMs() - stream.startedMs) / 1000;
    observer.handled(stream.head.path, code, seconds);
  }

  onMessageSent(stream: Http2Stream, bytes: number): void {
    this.host.observer?.messageSent(stream.head.path, bytes);
  }

  onMessageReceived(stream: Http2Stream, bytes: number): void {
    this.host.observer?.messageReceived(stream.head.path, bytes);
  }

  onFinished(stream: Http2Stream): void {
    if (!stream.remoteClosed) {
      // The client need not go on sending what nobody reads.
      this.streams.rememberEnded(stream.id);
      this.sender.writeRst(stream.id, ErrorCode.noError);
    }
    this.remove(stream);
    this.touch();
  }

  isKnown(stream: Http2Stream): boolean {
    return this.streams.has(stream);
  }

  private remove(stream: Http2Stream): void {
    this.streams.delete(stream);
    if (stream.deadline !== undefined) {
      this.host.deadlines.remove(stream.deadline);
      stream.deadline = undefined;
    }
    this.receivingBytes -= stream.countedBytes;
    stream.countedBytes = 0;
    if (this.refusesNew && this.streams.size === 0) this.touch();
  }

  // Socket and timeouts.

  /** Sees to it that what was written leaves at the end of this turn. */
  touch(): void {
    if (this.reading || this.flushScheduled) return;
    this.flushScheduled = true;
    this.host.scheduleFlush(this);
  }

  private readonly onData = (chunk: Buffer): void => {
    if (!this.isOpen) return;
    const nowMs = this.host.env.clock.monoMs();
    this.nowMs = nowMs;
    this.lastReadMs = nowMs;
    this.reading = true;
    const { framesRead, isMidFrame } = this.reader;
    this.reader.push(chunk);
    // Whoever completes frames is not stalling, even if each chunk ends within one.
    if (!isMidFrame || this.reader.framesRead !== framesRead) this.midFrameSinceMs = nowMs;
    this.reading = false;
    this.flush();
  };

  private readonly onSocketDrain = (): void => {
    this.out.congested = false;
    this.flush();
  };

  private readonly onEnd = (): void => {
    if (this.isOpen) this.finishConnection();
    else this.socket.destroy();
  };

  private readonly onClose = (): void => {
    this.isOpen = false;
    this.out.discard();
    this.cancelStreams();
    this.host.onClosed(this);
  };

  /** Writes what is left, closes our side and forgets the calls. */
  private finishConnection(): void {
    this.isOpen = false;
    this.endingSinceMs = this.nowMs;
    this.out.flush();
    this.socket.end();
    this.cancelStreams();
  }

  onDrainAnswered(): void {
    if (!this.draining || this.refusesNew) return;
    this.refusesNew = true;
    this.sender.writeGoaway(this.streams.lastId, ErrorCode.noError, '');
    this.touch();
  }

  private cancelStreams(): void {
    for (const stream of this.streams.values()) {
      this.remove(stream);
      stream.onGone();
    }
  }

  private checkBacklog(): void {
    if (this.out.congested) {
      if (this.congestedSinceMs === 0) this.congestedSinceMs = this.nowMs;
      if (this.socket.writableLength > limits.MAX_BACKLOG_BYTES) this.destroy();
    } else {
      this.congestedSinceMs = 0;
    }
  }

  private keepAlive(nowMs: number): void {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.host.limits;
    if (this.keepaliveSentMs > this.lastReadMs) {
      if (nowMs - this.keepaliveSentMs > keepaliveTimeoutMs) this.destroy();
    } else if (keepaliveIntervalMs > 0 && nowMs - this.lastReadMs > keepaliveIntervalMs) {
      this.keepaliveSentMs = nowMs;
      this.sender.writePing(PING_KEEPALIVE);
    }
  }

  private sweepStream(stream: Http2Stream, nowMs: number): void {
    const { sending } = stream;
    if (sending !== undefined && sending.queuedBytes > 0) {
      // 13 rather than a cancellation: clients open a watch again after it.
      if (nowMs - sending.lastProgressMs > limits.SEND_STALL_MS) {
        this.resetStream(stream, ErrorCode.internalError);
        return;
      }
    }
    if (stream.awaitsRequest && nowMs - stream.lastReceivedMs > limits.REQUEST_STALL_MS) {
      stream.abandon(BODY_STALLED);
    }
  }
}
