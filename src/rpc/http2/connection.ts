/**
 * One HTTP/2 connection: reads its socket, hands frames to their handlers, and writes the frames
 * they made.
 *
 * Promises: Frames are parsed in the socket's chunks. The output of a turn of the event loop leaves
 * in one write. Both flow-control levels are kept in both directions. `limits.ts` bounds memory per
 * connection and per stream. A client that breaks the protocol or floods gets GOAWAY and harms no
 * other connection. One that sends more than a turn of the event loop has time for is read in
 * several.
 * Knows no services: it hands request bytes to the handler table through `Http2Stream`.
 * Made by `Http2Transport` for each accepted socket, swept by it once in a while for timeouts.
 * The parts: `request-frames` and `control-frames` act on frames, `flow-control` keeps the windows,
 * `timeouts` keeps the deadlines.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { ENDLESS } from '../../base/slices/sliced-work.js';
import { ControlFrames, PING_DRAIN, PING_KEEPALIVE } from './control-frames.js';
import type { ControlOwner } from './control-frames.js';
import { ReceiveWindows } from './flow-control.js';
import { FrameCursor } from './frame-cursor.js';
import { DEFAULT_WINDOW, ErrorCode, FrameType, MAX_WINDOW, Setting } from './frames.js';
import type { GzipWorkers } from './gzip.js';
import type { ConnectionHost } from './host.js';
import * as limits from './limits.js';
import { Output } from './output.js';
import type { UnfinishedRead } from './read-turns.js';
import { RequestFrames } from './request-frames.js';
import { MAX_HEADER_LIST_BYTES } from './request-head.js';
import { Sender } from './sender.js';
import type { SenderOwner } from './sender.js';
import { StreamTable } from './stream-table.js';
import type { Http2Stream } from './stream.js';
import { ConnectionTimeouts, isRequestStalled, isSendStalled, Verdict } from './timeouts.js';
import { RpcError, Status } from '../service.js';
import { peerName } from '../transport.js';

const BODY_STALLED = new RpcError(
  Status.deadlineExceeded,
  'request message did not arrive in time',
);

export class Http2Connection implements SenderOwner, ControlOwner, UnfinishedRead {
  readonly peer: string;
  /** Time at the start of the current read. */
  nowMs: number;
  isOpen = true;
  /** No further calls are taken: GOAWAY was sent. */
  refusesNew = false;
  /** Output of this connection. */
  readonly sender: Sender;
  private readonly host: ConnectionHost;
  private readonly socket: Socket;
  private readonly out: Output;
  private readonly cursor = new FrameCursor();
  private readonly streams = new StreamTable();
  private readonly windows: ReceiveWindows;
  private readonly control: ControlFrames;
  private readonly requests: RequestFrames;
  private readonly timeouts: ConnectionTimeouts;
  private readonly resets: limits.Allowance;
  private flushScheduled = false;
  /** Frames are being acted on: what they produce is written at the end. */
  private isReading = false;
  /** Bytes read from the socket wait for their turn; the socket is paused. */
  private isBehind = false;
  private draining = false;
  private isCancelling = false;
  private isClosed = false;

  constructor(host: ConnectionHost, socket: Socket, nowMs: number) {
    this.host = host;
    this.socket = socket;
    this.peer = peerName(socket);
    this.nowMs = nowMs;
    this.timeouts = new ConnectionTimeouts(host.limits, nowMs);
    this.resets = new limits.Allowance(limits.RESET_BURST, limits.RESETS_PER_SECOND, nowMs);
    this.out = new Output(socket, host.pool, socket instanceof TLSSocket);
    this.sender = new Sender(this, host, this.out);
    this.windows = new ReceiveWindows(this.sender, host.limits.maxReceiveBytes);
    const { keepaliveMinTimeMs } = host.limits;
    this.control = new ControlFrames(this, this.sender, this.streams, keepaliveMinTimeMs);
    this.requests = new RequestFrames(this, host, this.streams, this.windows);
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
      [Setting.maxConcurrentStreams, this.host.maxStreams],
      [Setting.initialWindowSize, limits.STREAM_WINDOW_BYTES],
      [Setting.maxFrameSize, limits.MAX_FRAME_BYTES],
      [Setting.maxHeaderListSize, MAX_HEADER_LIST_BYTES],
    ]);
    this.sender.writeWindowUpdate(0, limits.CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW);
    if (head.length > 0) {
      this.onData(Buffer.from(head.buffer, head.byteOffset, head.byteLength));
    }
    this.out.flush();
    if (!this.isBehind) socket.resume();
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

  get streamCount(): number {
    return this.streams.size;
  }

  /**
   * Ends the connection when the calls in flight have ended; new ones are refused once the client
   * confirmed the GOAWAY.
   */
  drain(): void {
    if (this.draining || !this.isOpen) return;
    this.draining = true;
    // The client may have sent calls before it read the GOAWAY: they are served until it answers.
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
    const { nowMs, out, socket } = this;
    if (this.timeouts.onFlushed(nowMs, out.congested, socket.writableLength)) this.destroy();
  }

  /** Looks after timeouts. */
  sweep(nowMs: number): void {
    this.nowMs = nowMs;
    const isMidFrame =
      this.cursor.isMidFrame || this.requests.openBlock !== 0 || !this.control.settingsSeen;
    switch (this.timeouts.sweep(nowMs, isMidFrame && !this.isBehind)) {
      case Verdict.frameStalled:
        this.onFault(ErrorCode.enhanceYourCalm, 'frame not completed in time');
        return;
      case Verdict.gone:
        this.destroy();
        return;
      case Verdict.ping:
        this.sender.writePing(PING_KEEPALIVE);
        break;
      default:
        if (this.timeouts.isEnding) return;
    }
    for (const stream of this.streams.values()) {
      // 13 rather than a cancellation: clients open a watch again after it.
      if (isSendStalled(stream, nowMs)) this.resetStream(stream, ErrorCode.internalError);
      else if (isRequestStalled(stream, nowMs)) stream.abandon(BODY_STALLED);
    }
    if (this.out.length > 0) this.touch();
  }

  // Reading.

  private readonly onData = (chunk: Buffer): void => {
    if (!this.isOpen) return;
    const nowMs = this.host.env.clock.monoMs();
    const { cursor } = this;
    this.host.reads.begin(nowMs);
    const wasMidFrame = cursor.isMidFrame;
    const { framesRead } = cursor;
    cursor.push(chunk);
    if (!this.read(nowMs, this.host.reads.endMs)) {
      this.isBehind = true;
      this.socket.pause();
      this.host.reads.wait(this);
    }
    // A client that completes frames is not stalling, even if each chunk ends within one.
    this.timeouts.onRead(nowMs, !wasMidFrame || cursor.framesRead !== framesRead);
  };

  readOn(untilMs: number): boolean {
    if (!this.isOpen) return true;
    const nowMs = this.host.env.clock.monoMs();
    if (!this.read(nowMs, untilMs)) return false;
    this.isBehind = false;
    this.timeouts.onRead(nowMs, true);
    this.socket.resume();
    return true;
  }

  /** Acts on the frames at hand until `untilMs`; false when some are left. */
  private read(nowMs: number, untilMs: number): boolean {
    const { cursor } = this;
    this.nowMs = nowMs;
    this.isReading = true;
    let left = limits.FRAMES_PER_LOOK;
    let isComplete = true;
    while (this.isOpen && cursor.next()) {
      this.onFrame(cursor);
      if (--left > 0) continue;
      left = limits.FRAMES_PER_LOOK;
      if (this.host.env.clock.monoMs() < untilMs) continue;
      isComplete = !this.isOpen || cursor.isAtEnd;
      if (!isComplete) break;
    }
    if (cursor.fault !== undefined) this.onFault(cursor.fault.code, cursor.fault.reason);
    this.isReading = false;
    this.flush();
    return isComplete;
  }

  private onFrame(frame: FrameCursor): void {
    if (!this.requests.allows(frame)) {
      this.onFault(ErrorCode.protocolError, 'header block interrupted');
      return;
    }
    if (!this.control.settingsSeen && frame.type !== FrameType.settings) {
      this.onFault(ErrorCode.protocolError, 'first frame is not SETTINGS');
      return;
    }
    switch (frame.type) {
      case FrameType.data:
        this.requests.onData(frame);
        break;
      case FrameType.headers:
        this.requests.onHeaders(frame);
        break;
      case FrameType.rstStream:
        this.requests.onRstStream(frame);
        break;
      case FrameType.continuation:
        this.requests.onContinuation(frame);
        break;
      default:
        this.control.onFrame(frame);
    }
  }

  onFault(code: ErrorCode, reason: string): void {
    if (!this.isOpen) return;
    this.sender.writeGoaway(this.streams.lastId, code, reason);
    this.finishConnection();
  }

  /** Counts a stream reset by the client or for its fault; false when there were too many. */
  countReset(): boolean {
    if (this.resets.take(this.nowMs)) return true;
    this.onFault(ErrorCode.enhanceYourCalm, 'too_many_resets');
    return false;
  }

  /** Counts a frame that asks for nothing; false when there were too many. */
  countIdleFrame(): boolean {
    return this.control.countIdleFrame();
  }

  // Streams.

  /** Opens the stream's window again when there is room. */
  maybeOpenWindow(stream: Http2Stream): void {
    this.windows.count(stream);
    if (this.windows.openStream(stream)) this.touch();
  }

  /** Ends a stream with RST_STREAM; a handler that has not answered is notified. */
  resetStream(stream: Http2Stream, code: ErrorCode): void {
    if (!this.isKnown(stream) || !this.countReset()) return;
    this.streams.rememberEnded(stream.id);
    this.sender.writeRst(stream.id, code);
    this.drop(stream);
  }

  resetStreamId(streamId: number, code: ErrorCode): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) this.requests.refuse(streamId, code);
    else this.resetStream(stream, code);
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
      // The client need not go on sending bytes that are not read.
      this.streams.rememberEnded(stream.id);
      this.sender.writeRst(stream.id, ErrorCode.noError);
    }
    this.remove(stream);
    this.touch();
  }

  isKnown(stream: Http2Stream): boolean {
    return this.streams.has(stream);
  }

  /** Takes a stream out without an answer; a handler that has not answered is notified. */
  drop(stream: Http2Stream): void {
    this.remove(stream);
    stream.onGone();
  }

  private remove(stream: Http2Stream): void {
    this.streams.delete(stream);
    if (stream.deadline !== undefined) {
      this.host.deadlines.remove(stream.deadline);
      stream.deadline = undefined;
    }
    this.windows.forget(stream);
    if (this.refusesNew && this.streams.size === 0) this.touch();
  }

  // The socket and its end.

  /** Sees to it that what was written leaves at the end of this turn. */
  touch(): void {
    if (this.isReading || this.flushScheduled) return;
    this.flushScheduled = true;
    this.host.scheduleFlush(this);
  }

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
    this.isClosed = true;
    this.out.discard();
    this.cancelStreams();
  };

  /** Writes what is left, closes our side and forgets the calls. */
  private finishConnection(): void {
    this.isOpen = false;
    this.timeouts.onEnding(this.nowMs);
    this.out.flush();
    this.socket.end();
    if (this.isBehind) this.socket.resume();
    this.cancelStreams();
  }

  onDrainAnswered(): void {
    if (!this.draining || this.refusesNew) return;
    this.refusesNew = true;
    this.sender.writeGoaway(this.streams.lastId, ErrorCode.noError, '');
    this.touch();
  }

  /** Cancels the calls still open, as many in a turn of the event loop as there is time for. */
  private cancelStreams(): void {
    if (this.isCancelling) return;
    this.isCancelling = true;
    this.host.cancellations.run(ENDLESS, this.cancelSome, this.onAllCancelled);
  }

  private readonly cancelSome = (): boolean => {
    for (let count = 0; count < limits.CANCELS_PER_STEP; count++) {
      const stream = this.streams.oldest;
      if (stream === undefined) return true;
      this.drop(stream);
    }
    return this.streams.size === 0;
  };

  private readonly onAllCancelled = (): void => {
    this.isCancelling = false;
    if (this.isClosed) this.host.onClosed(this);
  };
}
