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
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_MAX_FRAME_BYTES,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  Setting,
  writeFrameHeader,
  writeU32,
} from './frames.js';
import { FrameReader } from './frame-reader.js';
import type { FrameHandler } from './frame-reader.js';
import { HpackDecoder } from './hpack-decoder.js';
import { HttpExchange } from './http-exchange.js';
import * as limits from './limits.js';
import { Output, BLOCK_BYTES } from './output.js';
import {
  BAD_TIMEOUT,
  HeadFault,
  isGrpcContentType,
  MAX_HEADER_LIST_BYTES,
} from './request-head.js';
import type { RequestHead } from './request-head.js';
import {
  MESSAGE_PREFIX_BYTES,
  REPLY_DATA_AT,
  REPLY_END,
  REPLY_START,
  RESPONSE_HEADERS,
} from './response-blocks.js';
import { Http2Stream } from './stream.js';
import { RpcError, Status } from '../service.js';
import type { Method } from '../service.js';
import { messageTooLarge, peerName, unknownPath } from '../transport.js';
import type { ConnectionHost } from './host.js';

const WINDOW_UPDATE_BYTES = FRAME_HEADER_BYTES + 4;
const PING_BYTES = FRAME_HEADER_BYTES + 8;
const RST_BYTES = FRAME_HEADER_BYTES + 4;
const SETTING_BYTES = 6;
const PRIORITY_BYTES = 5;
const GOAWAY_BYTES = 8;
/** A frame of queued data is not cut for less room than this in the block. */
const MIN_DATA_ROOM = 1024;
const MEMO_MAX_BLOCKS = 8;
const MEMO_MAX_BLOCK_BYTES = 256;
const REMEMBERED_RESETS_MAX = 1024;

const PING_KEEPALIVE = 1;
const PING_DRAIN = 2;

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

/** A header block seen before, and what it means; valid for one state of the dynamic table. */
interface KnownBlock {
  readonly bytes: Buffer;
  readonly head: RequestHead;
  readonly method: Method | undefined;
}

export class Http2Connection implements FrameHandler {
  readonly peer: string;
  /** Time at the start of the current read. */
  nowMs: number;
  isOpen = true;
  flushScheduled = false;
  private readonly host: ConnectionHost;
  private readonly socket: Socket;
  private readonly out: Output;
  private readonly reader: FrameReader;
  private readonly decoder: HpackDecoder;
  private readonly streams = new Map<number, Http2Stream>();
  /** The stream of the latest HEADERS frame: its DATA mostly follows at once. */
  private recent: Http2Stream | undefined;
  private reading = false;
  private settingsSeen = false;
  private lastStreamId = 0;

  // Header blocks.
  private blockStreamId = 0;
  private blockEndsStream = false;
  private blockParts: Buffer[] = [];
  private blockBytes = 0;
  private known: KnownBlock[] = [];
  private knownGeneration = 0;

  // Flow control.
  private sendWindow = DEFAULT_WINDOW;
  private peerInitialWindow = DEFAULT_WINDOW;
  private peerMaxFrame = MIN_MAX_FRAME_BYTES;
  private unacknowledged = 0;
  private receivingBytes = 0;

  // Streams with something to send: in turn, or waiting for the connection's window.
  private ready: Http2Stream[] = [];
  private readyFirst = 0;
  private blocked: Http2Stream[] = [];

  // Abuse and timeouts.
  private readonly resets: limits.Allowance;
  private readonly idleFrames: limits.Allowance;
  private readonly resetByUs = new Set<number>();
  private pingStrikes = 0;
  private pingStrikesReset = false;
  private lastPingMs = -Infinity;
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
    this.decoder = new HpackDecoder(host.scratch);
    this.resets = new limits.Allowance(limits.RESET_BURST, limits.RESETS_PER_SECOND, nowMs);
    this.idleFrames = new limits.Allowance(
      limits.IDLE_FRAME_BURST,
      limits.IDLE_FRAMES_PER_SECOND,
      nowMs,
    );
  }

  /** Greets the client and begins to read. */
  start(head: Uint8Array): void {
    const { socket } = this;
    socket.on('data', this.onData);
    socket.on('end', this.onEnd);
    socket.on('drain', this.onSocketDrain);
    socket.on('close', this.onClose);
    // 'close' follows and does the work.
    socket.on('error', () => {});
    this.writeSettings();
    this.writeWindowUpdate(0, limits.CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW);
    if (head.length > 0) {
      this.onData(Buffer.from(head.buffer, head.byteOffset, head.byteLength));
    }
    this.out.flush();
    socket.resume();
  }

  get maxReceiveBytes(): number {
    return this.host.limits.maxReceiveBytes;
  }

  get unsentBytes(): number {
    return this.out.unsentBytes;
  }

  /** Ends the connection when the calls in flight have ended: new streams are refused once the client has heard of it. */
  drain(): void {
    if (this.draining || !this.isOpen) return;
    this.draining = true;
    // The client may have sent calls by now that it does not know to be refused: they are served until it answers.
    this.writeGoaway(MAX_WINDOW, ErrorCode.noError, '');
    this.writePing(0, PING_DRAIN);
    this.touch();
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
    this.pump();
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
    const midFrame = this.reader.isMidFrame || this.blockStreamId !== 0 || !this.settingsSeen;
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
    if (
      this.blockStreamId !== 0 &&
      (type !== FrameType.continuation || streamId !== this.blockStreamId)
    ) {
      this.onFault(ErrorCode.protocolError, 'header block interrupted');
      return;
    }
    if (!this.settingsSeen && type !== FrameType.settings) {
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
      case FrameType.windowUpdate:
        this.onWindowUpdate(streamId, buffer, start, end);
        break;
      case FrameType.rstStream:
        this.onRstStream(streamId, end - start);
        break;
      case FrameType.ping:
        this.onPing(flags, streamId, buffer, start, end);
        break;
      case FrameType.settings:
        this.onSettings(flags, streamId, buffer, start, end);
        break;
      case FrameType.continuation:
        this.onContinuation(flags, buffer, start, end);
        break;
      case FrameType.priority:
        this.onPriority(streamId, end - start);
        break;
      case FrameType.goaway:
        if (streamId !== 0) this.onFault(ErrorCode.protocolError, 'GOAWAY on a stream');
        else if (end - start < GOAWAY_BYTES) this.onFault(ErrorCode.frameSizeError, 'short GOAWAY');
        break;
      case FrameType.pushPromise:
        this.onFault(ErrorCode.protocolError, 'PUSH_PROMISE from a client');
        break;
      default:
        this.countIdleFrame();
    }
  }

  onFault(code: ErrorCode, reason: string): void {
    if (!this.isOpen) return;
    this.writeGoaway(this.lastStreamId, code, reason);
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
    if (!this.receiveBytes(size)) return;
    const endsStream = (flags & Flag.endStream) !== 0;
    if (start === end && !endsStream && !this.countIdleFrame()) return;
    const { recent } = this;
    const stream =
      recent !== undefined && recent.id === streamId ? recent : this.streams.get(streamId);
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
      stream.head.contentLength < 0 &&
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
    if (this.streams.get(stream.id) !== stream) return;
    this.countReceiving(stream);
    if (endsStream) stream.onRemoteEnd();
    else this.maybeOpenWindow(stream);
  }

  /** Accounts for received bytes on the connection's window, which is opened again regardless of streams. */
  private receiveBytes(size: number): boolean {
    this.unacknowledged += size;
    if (this.unacknowledged > limits.CONNECTION_WINDOW_BYTES) {
      this.onFault(ErrorCode.flowControlError, 'connection window exceeded');
      return false;
    }
    if (this.unacknowledged >= limits.CONNECTION_WINDOW_BYTES / 2) {
      this.writeWindowUpdate(0, this.unacknowledged);
      this.unacknowledged = 0;
    }
    return true;
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
    this.writeWindowUpdate(stream.id, stream.unacknowledged);
    stream.unacknowledged = 0;
    this.touch();
  }

  private onDataOfClosed(streamId: number): void {
    if (streamId === 0 || streamId > this.lastStreamId || streamId % 2 === 0) {
      this.onFault(ErrorCode.protocolError, 'DATA on an idle stream');
    } else if (!this.resetByUs.has(streamId)) {
      this.writeRst(streamId, ErrorCode.streamClosed);
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
    if ((flags & Flag.priority) !== 0) start += PRIORITY_BYTES;
    if (start > to || end < start || streamId % 2 === 0) {
      this.onFault(ErrorCode.protocolError, 'malformed HEADERS');
      return;
    }
    const endsStream = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) {
      this.onBlock(streamId, endsStream, buffer, start, end);
      return;
    }
    this.blockStreamId = streamId;
    this.blockEndsStream = endsStream;
    this.blockBytes = end - start;
    this.blockParts.push(Buffer.from(buffer.subarray(start, end)));
  }

  private onContinuation(flags: number, buffer: Buffer, start: number, end: number): void {
    if (this.blockStreamId === 0) {
      this.onFault(ErrorCode.protocolError, 'CONTINUATION without HEADERS');
      return;
    }
    this.blockBytes += end - start;
    this.blockParts.push(Buffer.from(buffer.subarray(start, end)));
    if (
      this.blockBytes > limits.MAX_HEADER_BLOCK_BYTES ||
      this.blockParts.length > limits.MAX_CONTINUATIONS
    ) {
      this.onFault(ErrorCode.enhanceYourCalm, 'header block too large');
      return;
    }
    if ((flags & Flag.endHeaders) === 0) return;
    const block = Buffer.concat(this.blockParts);
    const streamId = this.blockStreamId;
    this.blockParts = [];
    this.blockStreamId = 0;
    this.onBlock(streamId, this.blockEndsStream, block, 0, block.length);
  }

  private onBlock(
    streamId: number,
    endsStream: boolean,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (streamId <= this.lastStreamId) {
      this.onTrailers(streamId, endsStream, buffer, start, end);
      return;
    }
    this.lastStreamId = streamId;
    const block = this.recall(buffer, start, end) ?? this.decode(buffer, start, end);
    if (block === undefined) return;
    if (this.refusesNew) return;
    if (this.streams.size >= this.host.limits.maxConcurrentStreams) {
      this.rememberReset(streamId);
      this.writeRst(streamId, ErrorCode.refusedStream);
      return;
    }
    this.open(streamId, block.head, block.method, endsStream);
  }

  /** A second header block of a stream: trailers, which carry nothing of interest but keep the tables equal. */
  private onTrailers(
    streamId: number,
    endsStream: boolean,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    const block = this.decode(buffer, start, end);
    if (block === undefined) return;
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (!this.resetByUs.has(streamId)) {
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

  private recall(buffer: Buffer, start: number, end: number): KnownBlock | undefined {
    if (this.knownGeneration !== this.decoder.generation) return undefined;
    const length = end - start;
    for (const block of this.known) {
      const { bytes } = block;
      if (bytes.length !== length) continue;
      let same = 0;
      while (same < length && bytes[same] === buffer[start + same]) same++;
      if (same === length) return block;
    }
    return undefined;
  }

  private decode(buffer: Buffer, start: number, end: number): KnownBlock | undefined {
    const { generation } = this.decoder;
    const valid = this.decoder.decode(buffer, start, end, this.host.heads);
    const head = this.host.heads.take();
    if (!valid) {
      this.onFault(ErrorCode.compressionError, 'malformed header block');
      return undefined;
    }
    const isReusable =
      generation === this.decoder.generation && end - start <= MEMO_MAX_BLOCK_BYTES;
    const bytes = isReusable ? Buffer.from(buffer.subarray(start, end)) : NO_BYTES;
    const block: KnownBlock = { bytes, head, method: this.host.table.get(head.path) };
    if (isReusable) this.keep(block);
    return block;
  }

  private keep(block: KnownBlock): void {
    if (this.knownGeneration !== this.decoder.generation || this.known.length >= MEMO_MAX_BLOCKS) {
      this.known = [];
      this.knownGeneration = this.decoder.generation;
    }
    this.known.push(block);
  }

  private open(
    streamId: number,
    head: RequestHead,
    method: Method | undefined,
    endsStream: boolean,
  ): void {
    if (head.fault === HeadFault.malformed) {
      this.rememberReset(streamId);
      this.writeRst(streamId, ErrorCode.protocolError);
      return;
    }
    const { nowMs } = this;
    const stream = new Http2Stream(
      this,
      streamId,
      head,
      method ?? NO_METHOD,
      this.peerInitialWindow,
      nowMs,
    );
    this.streams.set(streamId, stream);
    this.recent = stream;
    if (method === undefined || head.fault !== HeadFault.none || !isCall(head)) {
      this.openOther(stream, head, method, endsStream);
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
    if (endsStream && this.streams.get(streamId) === stream) stream.onRemoteEnd();
  }

  /** A request that is no call of the table: refused, or left to the HTTP side. */
  private openOther(
    stream: Http2Stream,
    head: RequestHead,
    method: Method | undefined,
    endsStream: boolean,
  ): void {
    stream.remoteClosed = endsStream;
    if (head.fault === HeadFault.tooLarge) {
      this.refuse(stream, 431, new RpcError(Status.resourceExhausted, 'header list too large'));
    } else if (!isGrpcContentType(head.contentType)) {
      const { onHttpRequest } = this.host;
      if (onHttpRequest === undefined || head.contentType.startsWith('application/grpc')) {
        const text = `invalid gRPC request content-type ${JSON.stringify(head.contentType)}`;
        this.refuse(stream, 415, new RpcError(Status.invalidArgument, text));
        return;
      }
      stream.exchange = new HttpExchange(this, stream, onHttpRequest);
      if (endsStream) stream.exchange.onEnd();
    } else if (head.method !== 'POST') {
      const text = `Received a HEADERS frame with :method ${JSON.stringify(head.method)} which should be POST`;
      this.refuse(stream, 405, new RpcError(Status.internal, text));
    } else if (method === undefined) {
      this.refuse(stream, 200, unknownPath(head.path, this.host.services));
    }
  }

  private refuse(stream: Http2Stream, httpStatus: number, error: RpcError): void {
    stream.ended = true;
    stream.sendRefusal(error, httpStatus);
  }

  private onWindowUpdate(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 4) {
      this.onFault(ErrorCode.frameSizeError, 'WINDOW_UPDATE of wrong size');
      return;
    }
    const increment = buffer.readUInt32BE(start) & 0x7fffffff;
    if (streamId === 0) {
      this.sendWindow += increment;
      if (increment === 0) this.onFault(ErrorCode.protocolError, 'window increment of zero');
      else if (this.sendWindow > MAX_WINDOW)
        this.onFault(ErrorCode.flowControlError, 'window overflow');
      else this.unblock();
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (streamId > this.lastStreamId)
        this.onFault(ErrorCode.protocolError, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    stream.sendWindow += increment;
    if (increment === 0) this.resetStream(stream, ErrorCode.protocolError);
    else if (stream.sendWindow > MAX_WINDOW) this.resetStream(stream, ErrorCode.flowControlError);
    else if (stream.sending !== undefined) this.startSending(stream);
  }

  private onRstStream(streamId: number, size: number): void {
    if (size !== 4) {
      this.onFault(ErrorCode.frameSizeError, 'RST_STREAM of wrong size');
      return;
    }
    if (streamId === 0 || streamId > this.lastStreamId) {
      this.onFault(ErrorCode.protocolError, 'RST_STREAM on an idle stream');
      return;
    }
    if (!this.resets.take(this.nowMs)) {
      this.onFault(ErrorCode.enhanceYourCalm, 'too_many_resets');
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    this.remove(stream);
    stream.onGone();
  }

  private onPing(
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (streamId !== 0) {
      this.onFault(ErrorCode.protocolError, 'PING on a stream');
      return;
    }
    if (end - start !== 8) {
      this.onFault(ErrorCode.frameSizeError, 'PING of wrong size');
      return;
    }
    if ((flags & Flag.ack) !== 0) {
      const isDrain =
        buffer.readUInt32BE(start) === 0 && buffer.readUInt32BE(start + 4) === PING_DRAIN;
      if (this.draining && isDrain) this.finishDraining();
      return;
    }
    const at = this.out.reserve(PING_BYTES);
    const { block } = this.out;
    writeFrameHeader(block, at, 8, FrameType.ping, Flag.ack, 0);
    buffer.copy(block, at + FRAME_HEADER_BYTES, start, end);
    this.out.length += PING_BYTES;
    this.countPing();
  }

  /** Counts pings that come more often than allowed, as grpc-go does. */
  private countPing(): void {
    const { nowMs } = this;
    const sinceMs = nowMs - this.lastPingMs;
    this.lastPingMs = nowMs;
    if (this.pingStrikesReset) {
      this.pingStrikesReset = false;
      this.pingStrikes = 0;
      return;
    }
    const intervalMs =
      this.streams.size > 0 ? this.host.limits.keepaliveMinTimeMs : limits.IDLE_PING_INTERVAL_MS;
    if (sinceMs >= intervalMs) return;
    this.pingStrikes++;
    if (this.pingStrikes > limits.MAX_PING_STRIKES) {
      this.onFault(ErrorCode.enhanceYourCalm, 'too_many_pings');
    }
  }

  private onSettings(
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (streamId !== 0) {
      this.onFault(ErrorCode.protocolError, 'SETTINGS on a stream');
      return;
    }
    const isAck = (flags & Flag.ack) !== 0;
    if (isAck ? end !== start : (end - start) % SETTING_BYTES !== 0) {
      this.onFault(ErrorCode.frameSizeError, 'SETTINGS of wrong size');
      return;
    }
    this.settingsSeen = true;
    if (isAck || !this.countIdleFrame()) return;
    for (let at = start; at < end; at += SETTING_BYTES) {
      if (!this.applySetting(buffer.readUInt16BE(at), buffer.readUInt32BE(at + 2))) return;
    }
    const at = this.out.reserve(FRAME_HEADER_BYTES);
    writeFrameHeader(this.out.block, at, 0, FrameType.settings, Flag.ack, 0);
    this.out.length += FRAME_HEADER_BYTES;
  }

  private applySetting(id: number, value: number): boolean {
    switch (id) {
      case Setting.initialWindowSize:
        return this.applyInitialWindow(value);
      case Setting.maxFrameSize:
        if (value < MIN_MAX_FRAME_BYTES || value > MAX_MAX_FRAME_BYTES) {
          this.onFault(ErrorCode.protocolError, 'frame size out of range');
          return false;
        }
        this.peerMaxFrame = value;
        return true;
      case Setting.enablePush:
        if (value > 1) {
          this.onFault(ErrorCode.protocolError, 'ENABLE_PUSH out of range');
          return false;
        }
        return true;
      default:
        // The others bound what this server never does: index header fields, open streams, send long header lists.
        return true;
    }
  }

  private applyInitialWindow(value: number): boolean {
    if (value > MAX_WINDOW) {
      this.onFault(ErrorCode.flowControlError, 'initial window out of range');
      return false;
    }
    const change = value - this.peerInitialWindow;
    this.peerInitialWindow = value;
    for (const stream of this.streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW) {
        this.onFault(ErrorCode.flowControlError, 'window overflow');
        return false;
      }
      if (stream.sending !== undefined) this.startSending(stream);
    }
    return true;
  }

  private onPriority(streamId: number, size: number): void {
    if (streamId === 0) this.onFault(ErrorCode.protocolError, 'PRIORITY without a stream');
    else if (size !== PRIORITY_BYTES)
      this.onFault(ErrorCode.frameSizeError, 'PRIORITY of wrong size');
    else this.countIdleFrame();
  }

  /** Counts a frame that asks for nothing; false when there were too many. */
  private countIdleFrame(): boolean {
    if (this.idleFrames.take(this.nowMs)) return true;
    this.onFault(ErrorCode.enhanceYourCalm, 'too many frames without effect');
    return false;
  }

  // Answers of streams.

  /** Writes headers, message and trailers of a unary reply at once; false when windows or the socket do not allow it. */
  sendReply(stream: Http2Stream, message: Uint8Array): boolean {
    const size = message.length + MESSAGE_PREFIX_BYTES;
    if (size > stream.sendWindow || size > this.sendWindow || size > this.peerMaxFrame)
      return false;
    const total = REPLY_START.length + message.length + REPLY_END.length;
    if (this.out.congested || total > BLOCK_BYTES) return false;
    this.sendWindow -= size;
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
    this.finish(stream);
    return true;
  }

  /** Writes one message of a stream at once; false when windows or the socket do not allow it. */
  sendMessage(stream: Http2Stream, message: Uint8Array): boolean {
    const size = message.length + MESSAGE_PREFIX_BYTES;
    if (size > stream.sendWindow || size > this.sendWindow || size > this.peerMaxFrame)
      return false;
    if (this.out.congested || size + FRAME_HEADER_BYTES > BLOCK_BYTES) return false;
    if (!stream.headersSent) this.sendHeaders(stream, RESPONSE_HEADERS, false);
    stream.sendWindow -= size;
    this.sendWindow -= size;
    const at = this.out.reserve(FRAME_HEADER_BYTES + size);
    const { block } = this.out;
    const prefixAt = writeFrameHeader(block, at, size, FrameType.data, 0, stream.id);
    block[prefixAt] = 0;
    const bodyAt = writeU32(block, prefixAt + 1, message.length);
    block.set(message, bodyAt);
    this.out.length += FRAME_HEADER_BYTES + size;
    this.touch();
    return true;
  }

  sendHeaders(stream: Http2Stream, block: Buffer, endsStream: boolean): void {
    stream.headersSent = true;
    this.pingStrikesReset = true;
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
    this.touch();
  }

  /** Ends the stream with `block`, after the usual headers if asked. */
  sendEnd(stream: Http2Stream, block: Buffer, withHeaders: boolean): void {
    if (withHeaders) this.sendHeaders(stream, RESPONSE_HEADERS, false);
    this.sendHeaders(stream, block, true);
    this.finish(stream);
  }

  /** Puts a stream that has something queued in line. */
  startSending(stream: Http2Stream): void {
    const { sending } = stream;
    if (sending === undefined || sending.isReady) return;
    if (stream.sendWindow <= 0 && sending.queuedBytes > 0 && stream.headersSent) return;
    sending.isReady = true;
    this.ready.push(stream);
    this.touch();
  }

  /** Ends a stream with RST_STREAM; the handler is told if it has not answered. */
  resetStream(stream: Http2Stream, code: ErrorCode): void {
    if (this.streams.get(stream.id) !== stream) return;
    this.rememberReset(stream.id);
    this.writeRst(stream.id, code);
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

  private finish(stream: Http2Stream): void {
    this.pingStrikesReset = true;
    if (!stream.remoteClosed) {
      // The client need not go on sending what nobody reads.
      this.rememberReset(stream.id);
      this.writeRst(stream.id, ErrorCode.noError);
    }
    this.remove(stream);
    this.touch();
  }

  private remove(stream: Http2Stream): void {
    this.streams.delete(stream.id);
    if (this.recent === stream) this.recent = undefined;
    if (stream.deadline !== undefined) {
      this.host.deadlines.remove(stream.deadline);
      stream.deadline = undefined;
    }
    this.receivingBytes -= stream.countedBytes;
    stream.countedBytes = 0;
    if (this.refusesNew && this.streams.size === 0) this.touch();
  }

  private rememberReset(streamId: number): void {
    if (this.resetByUs.size >= REMEMBERED_RESETS_MAX) this.resetByUs.clear();
    this.resetByUs.add(streamId);
  }

  // Queued data.

  private pump(): void {
    let budget = limits.PUMP_SLICE_BYTES;
    while (this.readyFirst < this.ready.length && !this.out.congested && budget > 0) {
      const stream = this.ready[this.readyFirst];
      this.readyFirst++;
      if (stream !== undefined) budget -= this.sendSome(stream);
    }
    if (this.readyFirst === this.ready.length) {
      this.ready.length = 0;
      this.readyFirst = 0;
    } else {
      if (this.readyFirst > 0) {
        this.ready.splice(0, this.readyFirst);
        this.readyFirst = 0;
      }
      if (!this.out.congested) this.touch();
    }
    if (this.refusesNew && this.streams.size === 0 && this.isOpen) this.finishConnection();
  }

  /** Writes one frame of a queued stream, and its end if that is all; returns the bytes written. */
  private sendSome(stream: Http2Stream): number {
    const { sending } = stream;
    if (sending === undefined || this.streams.get(stream.id) !== stream) return 0;
    sending.isReady = false;
    stream.refill();
    let count = Math.max(0, Math.min(sending.queuedBytes, stream.sendWindow, this.peerMaxFrame));
    if (count > this.sendWindow) {
      count = this.sendWindow;
      if (count <= 0) {
        sending.isReady = true;
        this.blocked.push(stream);
        return 0;
      }
    }
    if (!stream.headersSent && sending.hasWork) this.sendHeaders(stream, RESPONSE_HEADERS, false);
    if (count > 0) {
      count = this.writeQueued(stream, count);
      sending.lastProgressMs = this.nowMs;
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
    stream.sendWindow -= count;
    this.sendWindow -= count;
    this.pingStrikesReset = true;
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
    this.finish(stream);
  }

  private unblock(): void {
    if (this.blocked.length === 0) return;
    for (const stream of this.blocked) this.ready.push(stream);
    this.blocked = [];
    this.touch();
  }

  // Small frames.

  private writeSettings(): void {
    const values: readonly (readonly [number, number])[] = [
      [Setting.maxConcurrentStreams, Math.min(this.host.limits.maxConcurrentStreams, 2 ** 32 - 1)],
      [Setting.initialWindowSize, limits.STREAM_WINDOW_BYTES],
      [Setting.maxFrameSize, limits.MAX_FRAME_BYTES],
      [Setting.maxHeaderListSize, MAX_HEADER_LIST_BYTES],
    ];
    const size = values.length * SETTING_BYTES;
    let at = this.out.reserve(FRAME_HEADER_BYTES + size);
    this.out.length += FRAME_HEADER_BYTES + size;
    at = writeFrameHeader(this.out.block, at, size, FrameType.settings, 0, 0);
    for (const [id, value] of values) {
      this.out.block.writeUInt16BE(id, at);
      at = writeU32(this.out.block, at + 2, value);
    }
  }

  private writeWindowUpdate(streamId: number, increment: number): void {
    const at = this.out.reserve(WINDOW_UPDATE_BYTES);
    const { block } = this.out;
    writeU32(block, writeFrameHeader(block, at, 4, FrameType.windowUpdate, 0, streamId), increment);
    this.out.length += WINDOW_UPDATE_BYTES;
  }

  private writeRst(streamId: number, code: ErrorCode): void {
    const at = this.out.reserve(RST_BYTES);
    const { block } = this.out;
    writeU32(block, writeFrameHeader(block, at, 4, FrameType.rstStream, 0, streamId), code);
    this.out.length += RST_BYTES;
    this.touch();
  }

  private writePing(high: number, low: number): void {
    const at = this.out.reserve(PING_BYTES);
    const { block } = this.out;
    const bodyAt = writeFrameHeader(block, at, 8, FrameType.ping, 0, 0);
    writeU32(block, writeU32(block, bodyAt, high), low);
    this.out.length += PING_BYTES;
  }

  private writeGoaway(lastStreamId: number, code: ErrorCode, reason: string): void {
    const size = GOAWAY_BYTES + reason.length;
    const at = this.out.reserve(FRAME_HEADER_BYTES + size);
    const { block } = this.out;
    const idAt = writeFrameHeader(block, at, size, FrameType.goaway, 0, 0);
    const textAt = writeU32(block, writeU32(block, idAt, lastStreamId), code);
    block.write(reason, textAt, 'latin1');
    this.out.length += FRAME_HEADER_BYTES + size;
  }

  // Socket and timeouts.

  /** Sees to it that what was written leaves at the end of this turn. */
  private touch(): void {
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
    if (!this.reader.isMidFrame && this.blockStreamId === 0) this.midFrameSinceMs = nowMs;
    this.reader.push(chunk);
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

  private finishDraining(): void {
    if (this.refusesNew) return;
    this.refusesNew = true;
    this.writeGoaway(this.lastStreamId, ErrorCode.noError, '');
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
      this.writePing(0, PING_KEEPALIVE);
      this.touch();
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

const NO_BYTES = Buffer.alloc(0);

function isCall(head: RequestHead): boolean {
  return head.method === 'POST' && isGrpcContentType(head.contentType);
}
