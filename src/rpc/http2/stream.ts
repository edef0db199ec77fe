/**
 * One call on one HTTP/2 stream: the handler's side of it and the connection's.
 *
 * One class serves unary and streaming calls, so that the connection meets a single shape. State
 * that few calls need (assembly of split messages, queues, deadlines) is made when it is needed.
 */
import { GzipQueue } from './gzip.js';
import { FieldKind } from './header-field.js';
import { Inbox } from './inbox.js';
import type { MessageSink } from './inbox.js';
import {
  errorTrailers,
  GZIP_RESPONSE_HEADERS,
  messagePrefix,
  OK_TRAILERS,
  RESPONSE_HEADERS,
  trailersOnly,
} from './response-blocks.js';
import { SendQueue } from './send-queue.js';
import { ErrorCode } from './frames.js';
import { RpcError, Status } from '../service.js';
import type { Method, PartSource, StreamCall, UnaryCall } from '../service.js';
import {
  BAD_PARTS,
  CANCELLED,
  DEADLINE_EXCEEDED,
  MAX_SEND_BYTES,
  replyTooLarge,
  streamMessageTooLarge,
} from '../transport.js';
import type { Http2Connection } from './connection.js';
import type { Exchange } from './http-exchange.js';
import type { Deadline } from './deadlines.js';
import type { RequestHead } from './request-head.js';

/** With this much queued on one stream, `write` returns false: the handler is to stop. */
const STREAM_HIGH_WATER_BYTES = 64 * 1024;
/** The handler may go on when no more than this is queued. */
const STREAM_LOW_WATER_BYTES = 16 * 1024;
const HTTP_OK = 200;
const NOTHING = new Uint8Array(0);

const NO_REQUEST = new RpcError(Status.internal, 'call ended without a request message');
const SECOND_REQUEST = new RpcError(
  Status.internal,
  'unary call received a second request message',
);
const CUT_MESSAGE = new RpcError(Status.internal, 'unexpected EOF');

export class Http2Stream implements UnaryCall, StreamCall, MessageSink {
  readonly id: number;
  readonly head: RequestHead;
  readonly deadlineMs: number;
  readonly startedMs: number;
  cancelled = false;
  /** The handler has given its answer, or the call was cancelled. */
  ended = false;
  /** The client has sent its last frame of this stream. */
  remoteClosed = false;
  headersSent = false;
  sendWindow: number;
  /** Received since the window was last opened. */
  unacknowledged = 0;
  receivedBytes = 0;
  lastReceivedMs: number;
  sending: SendQueue | undefined;
  inbox: Inbox | undefined;
  deadline: Deadline | undefined;
  /** Set when this is a plain HTTP request instead of a call. */
  exchange: Exchange | undefined;
  /** Bytes that the connection has counted as buffered for this stream. */
  countedBytes = 0;
  private readonly connection: Http2Connection;
  private readonly method: Method;
  private request: Uint8Array | undefined;
  private cancelListener: (() => void) | undefined;
  private handlerPaused = false;
  private messageListener: ((message: Uint8Array) => void) | undefined;
  private halfCloseListener: (() => void) | undefined;
  private drainListener: (() => void) | undefined;

  constructor(
    connection: Http2Connection,
    id: number,
    head: RequestHead,
    method: Method,
    sendWindow: number,
    nowMs: number,
  ) {
    this.connection = connection;
    this.id = id;
    this.head = head;
    this.method = method;
    this.sendWindow = sendWindow;
    this.startedMs = nowMs;
    this.lastReceivedMs = nowMs;
    this.deadlineMs = nowMs + head.timeoutMs;
  }

  metadata(name: string): string | undefined {
    const { fields } = this.head;
    for (const field of fields) {
      if (field.name === name && field.kind === FieldKind.regular) return field.value;
    }
    return undefined;
  }

  get peer(): string {
    return this.connection.peer;
  }

  onCancel(listener: () => void): void {
    this.cancelListener = listener;
  }

  get responseHeaders(): Buffer {
    return this.head.gzipReplies ? GZIP_RESPONSE_HEADERS : RESPONSE_HEADERS;
  }

  // Towards the client.

  reply(message: Uint8Array): void {
    if (this.ended) return;
    if (message.length > MAX_SEND_BYTES) {
      this.fail(replyTooLarge(message.length));
      return;
    }
    this.ended = true;
    const { connection } = this;
    connection.onHandled(this, Status.ok);
    connection.onMessageSent(this, message.length);
    if (this.head.gzipReplies) {
      const queue = this.openQueue(false);
      this.pack(queue, message);
      queue.trailers = OK_TRAILERS;
      return;
    }
    if (connection.sender.sendReply(this, message)) return;
    const queue = this.openQueue(true);
    queue.push(message);
    queue.trailers = OK_TRAILERS;
    connection.sender.startSending(this);
  }

  replyParts(totalBytes: number, source: PartSource): void {
    if (this.ended || totalBytes > MAX_SEND_BYTES) {
      source.abort();
      this.fail(replyTooLarge(totalBytes));
      return;
    }
    this.ended = true;
    this.connection.onHandled(this, Status.ok);
    this.connection.onMessageSent(this, totalBytes);
    const queue = this.openQueue(false);
    // Never compressed. The prefix wants the packed size, which exists only when the whole reply
    // has been packed. Parts are given so that the whole is never in memory. The flag allows it
    // with any encoding of the call.
    queue.push(messagePrefix(totalBytes, false));
    queue.attach(source, totalBytes);
    queue.trailers = OK_TRAILERS;
    this.connection.sender.startSending(this);
  }

  fail(error: RpcError): void {
    if (this.ended) return;
    this.ended = true;
    this.connection.onHandled(this, error.code);
    if (this.sending !== undefined && !this.sending.isDrained) {
      this.sending.trailers = errorTrailers(error.code, error.message);
    } else {
      this.sendRefusal(error);
    }
  }

  write(message: Uint8Array, rest: Uint8Array = NOTHING): boolean {
    if (this.ended) return false;
    const { connection } = this;
    const bytes = message.length + rest.length;
    if (bytes > MAX_SEND_BYTES) {
      this.abandon(streamMessageTooLarge(bytes));
      return false;
    }
    connection.onMessageSent(this, bytes);
    if (this.head.gzipReplies) {
      const queue = this.openQueue(false);
      this.pack(queue, joined(message, rest));
      return this.hasRoom(queue);
    }
    if (
      (this.sending === undefined || this.sending.isDrained) &&
      connection.sender.sendMessage(this, message, rest)
    ) {
      return true;
    }
    const queue = this.openQueue(true);
    queue.push(joined(message, rest));
    connection.sender.startSending(this);
    return this.hasRoom(queue);
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.connection.onHandled(this, Status.ok);
    if (this.sending !== undefined && !this.sending.isDrained) {
      this.sending.trailers = OK_TRAILERS;
    } else {
      this.connection.sender.sendEnd(this, OK_TRAILERS, !this.headersSent);
    }
  }

  onDrain(listener: () => void): void {
    this.drainListener = listener;
  }

  get bufferedBytes(): number {
    return (this.sending?.bufferedBytes ?? 0) + this.connection.unsentBytes;
  }

  // From the client.

  onMessage(listener: (message: Uint8Array) => void): void {
    this.messageListener = listener;
    this.releaseInbox();
  }

  onHalfClose(listener: () => void): void {
    this.halfCloseListener = listener;
    this.maybeHalfClose();
  }

  pause(): void {
    this.handlerPaused = true;
    this.openInbox().paused = true;
  }

  resume(): void {
    if (!this.handlerPaused) return;
    this.handlerPaused = false;
    this.releaseInbox();
  }

  // Called by the connection.

  /** Starts a streaming handler; a unary one starts with its request. */
  begin(): void {
    if (this.method.kind !== 'stream') return;
    // Messages wait until the handler names their receiver.
    this.openInbox().paused = true;
    this.method.handle(this);
  }

  get isUnary(): boolean {
    return this.method.kind === 'unary';
  }

  /** The client owes us bytes: a unary request, or the rest of a message. */
  get awaitsRequest(): boolean {
    if (this.remoteClosed || this.ended) return false;
    return this.isUnary || this.exchange !== undefined || this.inbox?.isMidMessage === true;
  }

  /** Bytes held in memory for the client's messages. */
  get receivingBytes(): number {
    return (this.inbox?.bufferedBytes ?? 0) + (this.exchange?.bufferedBytes ?? 0);
  }

  /** The request of a unary call, whole and last. */
  onRequest(request: Uint8Array): void {
    this.remoteClosed = true;
    this.connection.onMessageReceived(this, request.length);
    if (this.method.kind === 'unary') this.method.handle(request, this);
  }

  /** Payload of a DATA frame that is not a whole unary request. */
  onPayload(chunk: Buffer, start: number, end: number): void {
    if (this.exchange !== undefined) {
      this.exchange.onPayload(chunk, start, end);
      return;
    }
    const refusal = this.openInbox().push(chunk, start, end);
    if (refusal !== undefined) this.abandon(refusal);
  }

  /** A whole message from the inbox. */
  onWholeMessage(message: Uint8Array, isView: boolean): void {
    if (this.ended) return;
    if (this.method.kind === 'stream') {
      this.connection.onMessageReceived(this, message.length);
      this.messageListener?.(message);
    } else if (this.request === undefined) {
      // It waits for the end of the stream, and must not keep the network buffer until then.
      this.request = isView ? message.slice() : message;
    } else {
      this.abandon(SECOND_REQUEST);
    }
  }

  onBadMessage(refusal: RpcError): void {
    this.abandon(refusal);
  }

  onAllHandedOut(): void {
    if (this.ended) return;
    this.connection.maybeOpenWindow(this);
    if (this.remoteClosed) this.onRemoteEnd();
  }

  /** The client ended its side. */
  onRemoteEnd(): void {
    this.remoteClosed = true;
    if (this.ended) return;
    if (this.exchange !== undefined) {
      this.exchange.onEnd();
      return;
    }
    if (this.inbox?.isMidMessage === true) {
      this.abandon(CUT_MESSAGE);
    } else if (this.method.kind === 'stream') {
      this.maybeHalfClose();
    } else if (this.inbox?.holds === true) {
      // Its request is being unpacked.
    } else if (this.request === undefined) {
      this.abandon(NO_REQUEST);
    } else {
      const { request } = this;
      this.request = undefined;
      this.onRequest(request);
    }
  }

  /** The wheel's call: the client no longer waits. */
  expire(): void {
    this.deadline = undefined;
    this.abandon(DEADLINE_EXCEEDED);
  }

  /**
   * Ends the call from our side before the handler did: the client gets the status, the handler is
   * notified.
   */
  abandon(error: RpcError): void {
    if (this.ended || this.exchange !== undefined) {
      // The answer was given but could not be delivered in time, or there is no status to give.
      this.connection.resetStream(this, ErrorCode.cancel);
      return;
    }
    this.sending?.abort();
    this.fail(error);
    this.notifyCancelled();
  }

  /** The stream is gone without an answer; the connection no longer has it. */
  onGone(): void {
    this.sending?.abort();
    if (this.ended) return;
    this.ended = true;
    if (this.exchange === undefined) this.connection.onHandled(this, CANCELLED.code);
    this.notifyCancelled();
  }

  /** Sends the refusal at once. Requires: nothing queued. */
  sendRefusal(error: RpcError, httpStatus = HTTP_OK): void {
    const block = this.headersSent
      ? errorTrailers(error.code, error.message)
      : trailersOnly(httpStatus, error.code, error.message);
    this.connection.sender.sendEnd(this, block, false);
  }

  /** Asks the queue's source for more; a source that breaks its promise of size ends the stream with a refusal. */
  refill(): void {
    const { sending } = this;
    if (sending === undefined || sending.refill()) return;
    sending.abort();
    sending.trailers = errorTrailers(BAD_PARTS.code, BAD_PARTS.message);
  }

  /** Notifies a waiting handler that there is room again. */
  maybeDrain(): void {
    const { sending } = this;
    if (sending === undefined || !sending.wantsDrain || this.ended) return;
    if (sending.bufferedBytes > STREAM_LOW_WATER_BYTES) return;
    sending.wantsDrain = false;
    this.drainListener?.();
  }

  private notifyCancelled(): void {
    this.cancelled = true;
    const listener = this.cancelListener;
    this.cancelListener = undefined;
    listener?.();
  }

  private releaseInbox(): void {
    if (this.handlerPaused || this.messageListener === undefined) return;
    const inbox = this.openInbox();
    inbox.paused = false;
    inbox.release();
    this.maybeHalfClose();
  }

  private maybeHalfClose(): void {
    if (!this.remoteClosed || this.ended || this.halfCloseListener === undefined) return;
    if (this.handlerPaused || this.inbox?.holds === true) return;
    const listener = this.halfCloseListener;
    this.halfCloseListener = undefined;
    listener();
  }

  private openQueue(prefixed: boolean): SendQueue {
    this.sending ??= new SendQueue(prefixed, this.connection, () => {
      this.connection.sender.startSending(this);
    });
    return this.sending;
  }

  /** False when the handler is to wait for `onDrain`. */
  private hasRoom(queue: SendQueue): boolean {
    if (queue.bufferedBytes <= STREAM_HIGH_WATER_BYTES) return true;
    queue.wantsDrain = true;
    return false;
  }

  /** Queues a message compressed, at once or later. Requires: a queue without prefixes. */
  private pack(queue: SendQueue, message: Uint8Array): void {
    queue.packing ??= new GzipQueue(this.connection.gzip, (body, compressed) => {
      queue.push(messagePrefix(body.length, compressed));
      queue.push(body);
      this.connection.sender.startSending(this);
    });
    queue.packing.push(message);
  }

  private openInbox(): Inbox {
    const { connection, head } = this;
    this.inbox ??= new Inbox(this, connection.gzip, connection.maxReceiveBytes, head.encoding);
    return this.inbox;
  }
}

function joined(message: Uint8Array, rest: Uint8Array): Uint8Array {
  return rest.length === 0 ? message : Buffer.concat([message, rest]);
}
