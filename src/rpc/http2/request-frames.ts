/**
 * The frames of requests: HEADERS and CONTINUATION open calls and end them, DATA carries messages, RST_STREAM cancels.
 *
 * A frame that breaks the rules of one stream resets it; one that breaks those of the connection
 * ends it (RFC 9113, 5.4).
 */
import { ErrorCode, Flag, FrameType, readStreamId } from './frames.js';
import type { FrameCursor } from './frame-cursor.js';
import type { ReceiveWindows } from './flow-control.js';
import { HeaderBlocks } from './header-blocks.js';
import type { HeaderBlock } from './header-blocks.js';
import type { ConnectionHost } from './host.js';
import { HttpExchange, UnsupportedMedia } from './http-exchange.js';
import { BAD_TIMEOUT, HeadFault } from './request-head.js';
import type { RequestHead } from './request-head.js';
import { refusalOf } from './refusal.js';
import { MESSAGE_PREFIX_BYTES } from './response-blocks.js';
import type { Sender } from './sender.js';
import type { StreamTable } from './stream-table.js';
import { Http2Stream } from './stream.js';
import { RpcError, Status } from '../service.js';
import type { Method } from '../service.js';
import { messageTooLarge } from '../transport.js';
import type { Http2Connection } from './connection.js';

const PRIORITY_BYTES = 5;

/** Stands in where a request has no handler; never called. */
const NO_METHOD: Method = { kind: 'stream', streamType: 'bidi_stream', handle: () => {} };

const TOO_MUCH_RECEIVING = new RpcError(
  Status.resourceExhausted,
  'too many bytes of incomplete requests on this connection',
);

export class RequestFrames {
  private readonly connection: Http2Connection;
  private readonly host: ConnectionHost;
  private readonly sender: Sender;
  private readonly streams: StreamTable;
  private readonly windows: ReceiveWindows;
  private readonly blocks: HeaderBlocks;

  constructor(
    connection: Http2Connection,
    host: ConnectionHost,
    streams: StreamTable,
    windows: ReceiveWindows,
  ) {
    this.connection = connection;
    this.host = host;
    this.sender = connection.sender;
    this.streams = streams;
    this.windows = windows;
    this.blocks = new HeaderBlocks(host);
  }

  /** Stream of the header block that goes on in the next frame, or 0. */
  get openBlock(): number {
    return this.blocks.openStreamId;
  }

  onData(frame: FrameCursor): void {
    const { connection } = this;
    const { streamId, length } = frame;
    if (!frame.dropPadding()) {
      connection.onFault(ErrorCode.protocolError, 'padding exceeds the frame');
      return;
    }
    this.windows.onConnectionBytes(length);
    const endsStream = frame.has(Flag.endStream);
    if (frame.length === 0 && !endsStream && !connection.countIdleFrame()) return;
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.onDataOfClosed(streamId);
    } else if (stream.remoteClosed) {
      connection.resetStream(stream, ErrorCode.streamClosed);
    } else if (endsStream && isWholeRequest(stream, frame)) {
      this.onWholeRequest(stream, frame);
    } else {
      this.onPart(stream, frame, length);
    }
  }

  /** The common case: a unary request in one frame, passed on as a view of the socket's chunk. */
  private onWholeRequest(stream: Http2Stream, frame: FrameCursor): void {
    const length = frame.length - MESSAGE_PREFIX_BYTES;
    const { maxReceiveBytes } = this.host.limits;
    if (length > maxReceiveBytes) {
      stream.remoteClosed = true;
      stream.abandon(messageTooLarge(length, maxReceiveBytes));
    } else {
      stream.onRequest(frame.buffer.subarray(frame.start + MESSAGE_PREFIX_BYTES, frame.end));
    }
  }

  /** `paddedBytes`: the frame's payload with its padding, which is what counts for the window. */
  private onPart(stream: Http2Stream, frame: FrameCursor, paddedBytes: number): void {
    const { connection, windows } = this;
    const endsStream = frame.has(Flag.endStream);
    if (!windows.onStreamBytes(stream, paddedBytes)) {
      connection.resetStream(stream, ErrorCode.flowControlError);
      return;
    }
    stream.receivedBytes += frame.length;
    stream.lastReceivedMs = connection.nowMs;
    if (!keepsContentLength(stream, endsStream)) {
      connection.resetStream(stream, ErrorCode.protocolError);
      return;
    }
    if (frame.length > 0) stream.onPayload(frame.buffer, frame.start, frame.end);
    if (!connection.isKnown(stream)) return;
    if (!windows.count(stream)) stream.abandon(TOO_MUCH_RECEIVING);
    if (endsStream) stream.onRemoteEnd();
    else connection.maybeOpenWindow(stream);
  }

  private onDataOfClosed(streamId: number): void {
    if (this.isIdle(streamId)) {
      this.connection.onFault(ErrorCode.protocolError, 'DATA on an idle stream');
    } else if (!this.streams.wasEndedHere(streamId)) {
      this.sender.writeRst(streamId, ErrorCode.streamClosed);
    }
  }

  private isIdle(streamId: number): boolean {
    return streamId === 0 || streamId > this.streams.lastId || streamId % 2 === 0;
  }

  onHeaders(frame: FrameCursor): void {
    const { streamId } = frame;
    let isValid = streamId % 2 === 1 && frame.dropPadding();
    if (isValid && frame.has(Flag.priority)) {
      isValid =
        frame.length >= PRIORITY_BYTES && readStreamId(frame.buffer, frame.start) !== streamId;
      frame.start += PRIORITY_BYTES;
    }
    if (!isValid) {
      this.connection.onFault(ErrorCode.protocolError, 'malformed HEADERS');
    } else if (frame.has(Flag.endHeaders)) {
      const block = this.blocks.read(frame.buffer, frame.start, frame.end);
      this.onBlock(streamId, frame.has(Flag.endStream), block);
    } else {
      this.blocks.begin(frame);
    }
  }

  onContinuation(frame: FrameCursor): void {
    const { blocks } = this;
    const { openStreamId, endsStream } = blocks;
    if (openStreamId === 0) {
      this.connection.onFault(ErrorCode.protocolError, 'CONTINUATION without HEADERS');
    } else if (!blocks.append(frame)) {
      this.connection.onFault(ErrorCode.enhanceYourCalm, 'header block too large');
    } else if (frame.has(Flag.endHeaders)) {
      const whole = blocks.join();
      this.onBlock(openStreamId, endsStream, blocks.read(whole, 0, whole.length));
    }
  }

  private onBlock(streamId: number, endsStream: boolean, block: HeaderBlock | undefined): void {
    const { connection, streams } = this;
    if (block === undefined) {
      connection.onFault(ErrorCode.compressionError, 'malformed header block');
    } else if (streamId <= streams.lastId) {
      this.onTrailers(streamId, endsStream, block.head);
    } else {
      streams.lastId = streamId;
      if (connection.refusesNew) return;
      if (streams.size >= this.host.maxStreams) {
        this.refuse(streamId, ErrorCode.refusedStream);
      } else if (block.head.fault === HeadFault.malformed) {
        this.refuse(streamId, ErrorCode.protocolError);
      } else if (endsStream && block.head.contentLength > 0) {
        this.refuse(streamId, ErrorCode.protocolError);
      } else {
        this.open(streamId, block, endsStream);
      }
    }
  }

  /** A second header block of a stream ends it (RFC 9113, 8.1); its fields mean nothing to this server. */
  private onTrailers(streamId: number, endsStream: boolean, head: RequestHead): void {
    const { connection } = this;
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (!this.streams.wasEndedHere(streamId)) {
        connection.onFault(ErrorCode.streamClosed, 'HEADERS on a closed stream');
      }
    } else if (stream.remoteClosed) {
      connection.resetStream(stream, ErrorCode.streamClosed);
    } else if (!endsStream || !head.fitsTrailers || !keepsContentLength(stream, true)) {
      connection.resetStream(stream, ErrorCode.protocolError);
    } else {
      stream.onRemoteEnd();
    }
  }

  private open(streamId: number, { head, method }: HeaderBlock, endsStream: boolean): void {
    const { connection, streams } = this;
    const { nowMs } = connection;
    const stream = new Http2Stream(
      connection,
      streamId,
      head,
      method ?? NO_METHOD,
      streams.initialSendWindow,
      nowMs,
    );
    streams.add(stream);
    const refusal = refusalOf(head, method, this.host);
    if (refusal?.isPlainHttp === true) {
      const { onHttpRequest } = this.host;
      stream.exchange =
        onHttpRequest === undefined
          ? new UnsupportedMedia(connection, stream, refusal.error)
          : new HttpExchange(connection, stream, onHttpRequest);
      if (endsStream) stream.onRemoteEnd();
      return;
    }
    if (refusal !== undefined) {
      stream.remoteClosed = endsStream;
      stream.ended = true;
      stream.sendRefusal(refusal.error, refusal.httpStatus);
      return;
    }
    this.begin(stream, endsStream);
  }

  private begin(stream: Http2Stream, endsStream: boolean): void {
    const { head } = stream;
    this.host.observer?.started(head.path);
    if (head.timeoutMs <= 0) {
      stream.remoteClosed = endsStream;
      if (head.timeoutMs === BAD_TIMEOUT)
        stream.fail(new RpcError(Status.internal, 'malformed grpc-timeout'));
      else stream.expire();
    } else {
      if (head.timeoutMs !== Infinity) {
        stream.deadline = this.host.deadlines.add(stream.deadlineMs, stream);
      }
      stream.begin();
      if (endsStream && this.connection.isKnown(stream)) stream.onRemoteEnd();
    }
  }

  onRstStream(frame: FrameCursor): void {
    const { connection } = this;
    const { streamId } = frame;
    if (frame.length !== 4) {
      connection.onFault(ErrorCode.frameSizeError, 'RST_STREAM of wrong size');
    } else if (streamId === 0 || streamId > this.streams.lastId) {
      connection.onFault(ErrorCode.protocolError, 'RST_STREAM on an idle stream');
    } else if (connection.countReset()) {
      const stream = this.streams.get(streamId);
      if (stream !== undefined) connection.drop(stream);
    }
  }

  /** Answers a frame of a stream that is not open with a reset. */
  refuse(streamId: number, code: ErrorCode): void {
    if (!this.connection.countReset()) return;
    this.streams.rememberEnded(streamId);
    this.sender.writeRst(streamId, code);
  }

  /** False when the frame may not come now: a header block is not interrupted (RFC 9113, 4.3). */
  allows({ type, streamId }: FrameCursor): boolean {
    const { openStreamId } = this.blocks;
    return openStreamId === 0 || (type === FrameType.continuation && streamId === openStreamId);
  }
}

/** A unary request that lies in this one frame, uncompressed. */
function isWholeRequest(stream: Http2Stream, { buffer, start, end }: FrameCursor): boolean {
  const { contentLength } = stream.head;
  return (
    stream.receivedBytes === 0 &&
    stream.isUnary &&
    (contentLength < 0 || contentLength === end - start) &&
    end - start >= MESSAGE_PREFIX_BYTES &&
    buffer[start] === 0 &&
    buffer.readUInt32BE(start + 1) === end - start - MESSAGE_PREFIX_BYTES
  );
}

/** True if the bytes received do not contradict the announced content-length (RFC 9113, 8.1.1). */
function keepsContentLength({ head, receivedBytes }: Http2Stream, isAll: boolean): boolean {
  const { contentLength } = head;
  if (contentLength < 0) return true;
  return isAll ? receivedBytes === contentLength : receivedBytes <= contentLength;
}
