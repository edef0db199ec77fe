/**
 * The handler table mounted on @grpc/grpc-js. It is the reference that the transport of our own
 * (`http2/`) is tested against, and a way out if that one should ever misbehave.
 *
 * Promises the same calls, statuses and texts as `http2/`, except where the library answers before
 * a handler is called. It has its own text for an unknown path, and enforces no minimum interval
 * between client pings. Large replies given in parts are gathered before they are sent. Slower than
 * `http2/` by an order of magnitude.
 */
import {
  Server,
  ServerCredentials,
  type ConnectionInjector,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import type { Socket } from 'node:net';
import { streamBound } from './http2/limits.js';
import { RpcError, Status } from './service.js';
import type {
  Method,
  PartSource,
  RpcTransport,
  StreamCall,
  TransportObserver,
  UnaryCall,
} from './service.js';
import {
  MAX_SEND_BYTES,
  messageTooLarge,
  replyTooLarge,
  streamMessageTooLarge,
} from './transport.js';
import type { TransportEnv, TransportSetup } from './transport.js';

/**
 * Bytes above the limit up to which the library assembles a message, so that the refusal carries
 * our text.
 */
const OVERSIZE_SLACK_BYTES = 16 * 1024 * 1024;
const NO_LIMIT = -1;

type Bytes = Uint8Array;
type UnaryDone = sendUnaryData<Bytes>;
type SurfaceCall = ServerUnaryCall<Bytes, Bytes> | ServerDuplexStream<Bytes, Bytes>;

export class GrpcJsTransport implements RpcTransport {
  private readonly setup: TransportSetup;
  private readonly server: Server;
  private readonly injector: ConnectionInjector;
  private readonly sockets = new Set<Socket>();
  private stopping = false;
  private whenEmpty: (() => void) | undefined;

  constructor(setup: TransportSetup) {
    this.setup = setup;
    const { limits } = setup;
    this.server = new Server({
      'grpc.max_receive_message_length': limits.maxReceiveBytes + OVERSIZE_SLACK_BYTES,
      'grpc.max_send_message_length': NO_LIMIT,
      'grpc.max_concurrent_streams': streamBound(limits.maxConcurrentStreams),
      'grpc.keepalive_time_ms': limits.keepaliveIntervalMs,
      'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
      'grpc.enable_channelz': 0,
    });
    for (const [path, method] of setup.table) this.register(path, method);
    this.injector = this.server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  accept(socket: Socket, head: Uint8Array): void {
    if (this.stopping) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      if (this.sockets.size === 0) this.whenEmpty?.();
    });
    // The library never ends its side of a connection whose client closed the other one.
    socket.allowHalfOpen = false;
    if (head.length > 0) socket.unshift(head);
    this.injector.injectConnection(socket);
  }

  stop(graceMs: number, done: () => void): void {
    this.stopping = true;
    const finish = (): void => {
      this.whenEmpty = undefined;
      timer.cancel();
      this.server.forceShutdown();
      done();
    };
    const timer = this.setup.env.after(graceMs, () => {
      for (const socket of this.sockets) socket.destroy();
    });
    this.whenEmpty = finish;
    if (this.sockets.size === 0) {
      finish();
      return;
    }
    this.injector.drain(graceMs);
  }

  private register(path: string, method: Method): void {
    const { env, limits, observer } = this.setup;
    if (method.kind === 'unary') {
      const { handle } = method;
      this.server.register(
        path,
        (call: ServerUnaryCall<Bytes, Bytes>, respond: UnaryDone) => {
          const context = new GrpcJsUnaryCall(path, call, respond, env, observer);
          observer?.messageReceived(path, call.request.length);
          if (call.request.length > limits.maxReceiveBytes) {
            context.fail(messageTooLarge(call.request.length, limits.maxReceiveBytes));
            return;
          }
          handle(call.request, context);
        },
        asBuffer,
        asBytes,
        'unary',
      );
      return;
    }
    const { handle } = method;
    this.server.register(
      path,
      (call: ServerDuplexStream<Bytes, Bytes>) => {
        handle(new GrpcJsStreamCall(path, call, env, limits.maxReceiveBytes, observer));
      },
      asBuffer,
      asBytes,
      'bidi',
    );
  }
}

function asBuffer(message: Bytes): Buffer {
  return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
}

function asBytes(message: Buffer): Bytes {
  return message;
}

function monotonicDeadline(call: SurfaceCall, env: TransportEnv): number {
  const deadline = call.getDeadline();
  const wallMs = typeof deadline === 'number' ? deadline : deadline.getTime();
  return wallMs === Infinity ? Infinity : env.clock.monoMs() + (wallMs - env.clock.wallMs());
}

/** State and context common to both kinds of call; `ended` is true once the handler or the client ended it. */
abstract class GrpcJsCall {
  readonly deadlineMs: number;
  ended = false;
  cancelled = false;
  protected readonly path: string;
  protected readonly observer: TransportObserver | undefined;
  private readonly surface: SurfaceCall;
  private readonly env: TransportEnv;
  private readonly startedMs: number;
  private cancelListener: (() => void) | undefined;

  constructor(
    path: string,
    surface: SurfaceCall,
    env: TransportEnv,
    observer: TransportObserver | undefined,
  ) {
    this.path = path;
    this.surface = surface;
    this.env = env;
    this.observer = observer;
    this.startedMs = env.clock.monoMs();
    this.deadlineMs = monotonicDeadline(surface, env);
    observer?.started(path);
    surface.on('cancelled', () => {
      if (this.ended) return;
      const expired = env.clock.monoMs() >= this.deadlineMs;
      this.cancel(expired ? Status.deadlineExceeded : Status.cancelled);
    });
  }

  /** Ends the call before the handler did, which is notified. */
  protected cancel(code: Status): void {
    this.cancelled = true;
    this.finish(code);
    this.cancelListener?.();
  }

  metadata(name: string): string | undefined {
    const value = this.surface.metadata.get(name)[0];
    return typeof value === 'string' ? value : undefined;
  }

  get peer(): string {
    return this.surface.getPeer();
  }

  onCancel(listener: () => void): void {
    this.cancelListener = listener;
  }

  protected finish(code: Status): void {
    this.ended = true;
    this.observer?.handled(this.path, code, (this.env.clock.monoMs() - this.startedMs) / 1000);
  }
}

class GrpcJsUnaryCall extends GrpcJsCall implements UnaryCall {
  private readonly respond: UnaryDone;
  private parts: PartSource | undefined;

  constructor(
    path: string,
    call: ServerUnaryCall<Bytes, Bytes>,
    respond: UnaryDone,
    env: TransportEnv,
    observer: TransportObserver | undefined,
  ) {
    super(path, call, env, observer);
    this.respond = respond;
  }

  reply(message: Bytes): void {
    if (this.ended) return;
    if (message.length > MAX_SEND_BYTES) {
      this.fail(replyTooLarge(message.length));
      return;
    }
    this.finish(Status.ok);
    this.observer?.messageSent(this.path, message.length);
    this.respond(null, message);
  }

  replyParts(totalBytes: number, source: PartSource): void {
    if (this.ended || totalBytes > MAX_SEND_BYTES) {
      source.abort();
      this.fail(replyTooLarge(totalBytes));
      return;
    }
    this.parts = source;
    this.onCancel(() => source.abort());
    const whole = Buffer.allocUnsafe(totalBytes);
    let filled = 0;
    const pull = (): void => {
      if (this.ended) return;
      for (;;) {
        const part = source.next(pull);
        if (part === null) return;
        if (part === undefined) break;
        if (filled + part.length > totalBytes) {
          this.failParts(filled + part.length, totalBytes);
          return;
        }
        whole.set(part, filled);
        filled += part.length;
      }
      if (filled !== totalBytes) this.failParts(filled, totalBytes);
      else this.reply(whole);
    };
    pull();
  }

  fail(error: RpcError): void {
    if (this.ended) return;
    this.finish(error.code);
    this.respond({ code: error.code, details: error.message });
  }

  private failParts(gotBytes: number, totalBytes: number): void {
    this.parts?.abort();
    this.fail(
      new RpcError(Status.internal, `reply of ${gotBytes} bytes was announced as ${totalBytes}`),
    );
  }
}

class GrpcJsStreamCall extends GrpcJsCall implements StreamCall {
  private readonly call: ServerDuplexStream<Bytes, Bytes>;
  private readonly maxReceiveBytes: number;
  private queuedBytes = 0;
  private drainListener: (() => void) | undefined;

  constructor(
    path: string,
    call: ServerDuplexStream<Bytes, Bytes>,
    env: TransportEnv,
    maxReceiveBytes: number,
    observer: TransportObserver | undefined,
  ) {
    super(path, call, env, observer);
    this.call = call;
    this.maxReceiveBytes = maxReceiveBytes;
    call.on('drain', () => {
      if (!this.ended) this.drainListener?.();
    });
  }

  get bufferedBytes(): number {
    return this.queuedBytes;
  }

  onMessage(listener: (message: Bytes) => void): void {
    this.call.on('data', (message: Bytes) => {
      if (this.ended) return;
      this.observer?.messageReceived(this.path, message.length);
      if (message.length > this.maxReceiveBytes) {
        this.fail(messageTooLarge(message.length, this.maxReceiveBytes));
        return;
      }
      listener(message);
    });
  }

  onHalfClose(listener: () => void): void {
    this.call.on('end', () => {
      if (!this.ended) listener();
    });
  }

  onDrain(listener: () => void): void {
    this.drainListener = listener;
  }

  write(message: Bytes, rest?: Bytes): boolean {
    if (this.ended) return false;
    const bytes = message.length + (rest?.length ?? 0);
    if (bytes > MAX_SEND_BYTES) {
      this.cancel(streamMessageTooLarge(bytes).code);
      this.refuse(streamMessageTooLarge(bytes));
      return false;
    }
    const whole = rest === undefined ? message : Buffer.concat([message, rest]);
    this.queuedBytes += whole.length;
    this.observer?.messageSent(this.path, whole.length);
    return this.call.write(whole, () => {
      this.queuedBytes -= whole.length;
    });
  }

  end(): void {
    if (this.ended) return;
    this.finish(Status.ok);
    this.call.end();
  }

  fail(error: RpcError): void {
    if (this.ended) return;
    this.finish(error.code);
    this.refuse(error);
  }

  private refuse(error: RpcError): void {
    this.call.emit('error', { code: error.code, details: error.message });
  }

  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }
}
