/**
 * Calls on a table of services inside the process, for those that would otherwise need a connection to themselves: the
 * JSON gateway, services built on other services, the simulator, tests.
 *
 * Promises the handler the calls a transport would give it: limits, deadlines, cancellation and back-pressure included.
 * Everything happens within the caller's turn of the event loop, as far as neither side pauses: `done` may run before
 * the call that was given it returns. Refusals are values. Bytes are passed on as they are; a handler that keeps request
 * bytes copies them, as with any transport.
 */
import type { Timer } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import { Lane } from './local-lane.js';
import { RpcError, Status } from './service.js';
import type { CallContext, Method, PartSource, StreamCall, UnaryCall } from './service.js';
import {
  CANCELLED,
  DEADLINE_EXCEEDED,
  MAX_SEND_BYTES,
  messageTooLarge,
  replyTooLarge,
  serviceNames,
  streamMessageTooLarge,
  unknownPath,
} from './transport.js';
import type { TransportSetup } from './transport.js';

const NO_METADATA: Readonly<Record<string, string>> = {};
const BAD_PARTS = new RpcError(Status.internal, 'reply differs from its announced size');
const HIGH_WATER_BYTES = 64 * 1024;

/** The part of a transport's setup that concerns calls. */
export type LocalSetup = Pick<TransportSetup, 'table' | 'env' | 'observer'> & {
  /** A request longer than this is refused as by a transport; absent: none is. */
  readonly maxReceiveBytes?: number;
};

export interface LocalCallOptions {
  /** Keys in lower case. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Address of whoever the call is made for. */
  readonly peer?: string;
  /** Monotonic milliseconds after which the call is cancelled. */
  readonly deadlineMs?: number;
  /** With more bytes than this waiting, the writing side of a stream is told to wait. */
  readonly highWaterBytes?: number;
  /**
   * Takes the source of a unary reply that is given in parts, to read it at its own pace; without it the parts are
   * gathered, and `done` receives the whole. A cancellation aborts the source, also later.
   */
  readonly takeParts?: (totalBytes: number, source: PartSource) => void;
}

/** The caller's end of a unary call. */
export interface LocalUnary {
  /** Ends the call with CANCELLED; the handler is told. Nothing happens when the reply has been given whole. */
  cancel(): void;
}

/** What the caller of a stream is told. */
export interface LocalStreamEvents {
  onMessage(message: Uint8Array): void;
  /** Once, and last: null when the handler ended the stream without an error. */
  onEnd(error: RpcError | null): void;
  /** `send` has returned false before, and there is room again. */
  onDrain?(): void;
}

/** The caller's end of a stream; after its end nothing happens any more. */
export interface LocalStream {
  /** Returns false when the caller is to wait for `onDrain`. The message is queued in any case. */
  send(message: Uint8Array): boolean;
  /** No message follows. */
  halfClose(): void;
  /** Ends the stream with CANCELLED; the handler is told, and messages under way are dropped. */
  cancel(): void;
  /** Keeps the handler's messages back until `resume`. */
  pause(): void;
  resume(): void;
  /** The handler takes no message at present: those that are sent wait. */
  readonly isHeldUp: boolean;
}

export class LocalCaller {
  private readonly setup: LocalSetup;
  private readonly services: ReadonlySet<string>;

  constructor(setup: LocalSetup) {
    this.setup = setup;
    this.services = serviceNames(setup.table);
  }

  /** Makes a unary call; `done` receives the reply, or the refusal, once. Requires: no streaming method. */
  unary(
    path: string,
    request: Uint8Array,
    options: LocalCallOptions,
    done: (outcome: Uint8Array | RpcError) => void,
  ): LocalUnary {
    const method = this.setup.table.get(path);
    invariant(method?.kind !== 'stream', 'a unary call of a unary method');
    const call = new UnaryEnd(this.setupFor(method), path, options, done);
    if (method === undefined) call.fail(unknownPath(path, this.services));
    else call.begin(method, request);
    return call;
  }

  /** Opens a stream, in whichever directions the method streams. Requires: no unary method. */
  stream(path: string, options: LocalCallOptions, events: LocalStreamEvents): LocalStream {
    const method = this.setup.table.get(path);
    invariant(method?.kind !== 'unary', 'a stream of a streaming method');
    const call = new StreamEnd(this.setupFor(method), path, options, events);
    if (method === undefined) call.fail(unknownPath(path, this.services));
    else call.begin(method);
    return call.caller;
  }

  /** Calls of unknown methods are not counted, as by the transports. */
  private setupFor(method: Method | undefined): LocalSetup {
    const { table, env } = this.setup;
    return method === undefined ? { table, env } : this.setup;
  }
}

/** What both kinds of call share: the context a handler sees, and how a call ends early. */
abstract class LocalContext implements CallContext {
  readonly peer: string;
  readonly deadlineMs: number;
  cancelled = false;
  protected readonly setup: LocalSetup;
  protected readonly path: string;
  /** The handler has given its answer, or the call was cancelled. */
  protected ended = false;
  private readonly fields: Readonly<Record<string, string>>;
  private readonly startedMs: number;
  private cancelListener: (() => void) | undefined;
  private timer: Timer | undefined;

  constructor(setup: LocalSetup, path: string, options: LocalCallOptions) {
    this.setup = setup;
    this.path = path;
    this.peer = options.peer ?? '@';
    this.deadlineMs = options.deadlineMs ?? Infinity;
    this.fields = options.metadata ?? NO_METADATA;
    this.startedMs = setup.env.clock.monoMs();
    setup.observer?.started(path);
  }

  metadata(name: string): string | undefined {
    return this.fields[name];
  }

  onCancel(listener: () => void): void {
    this.cancelListener = listener;
  }

  cancel(): void {
    this.abandon(CANCELLED);
  }

  abstract fail(error: RpcError): void;

  /** False when the deadline has passed already. */
  protected armDeadline(): boolean {
    if (this.deadlineMs === Infinity) return true;
    const leftMs = this.deadlineMs - this.startedMs;
    if (leftMs <= 0) {
      this.fail(DEADLINE_EXCEEDED);
      return false;
    }
    this.timer = this.setup.env.after(leftMs, () => this.abandon(DEADLINE_EXCEEDED));
    return true;
  }

  /** False when the message is longer than is accepted: the call has been refused then. */
  protected mayReceive({ length }: Uint8Array): boolean {
    const { maxReceiveBytes = Infinity, observer } = this.setup;
    observer?.messageReceived(this.path, length);
    if (length <= maxReceiveBytes) return true;
    this.abandon(messageTooLarge(length, maxReceiveBytes));
    return false;
  }

  /** Ends the call before its handler did, which is told. */
  protected abandon(error: RpcError): void {
    if (this.ended) return;
    this.cancelled = true;
    this.fail(error);
    const listener = this.cancelListener;
    this.cancelListener = undefined;
    listener?.();
  }

  protected finish(code: Status): void {
    this.ended = true;
    this.timer?.cancel();
    const seconds = (this.setup.env.clock.monoMs() - this.startedMs) / 1000;
    this.setup.observer?.handled(this.path, code, seconds);
  }
}

class UnaryEnd extends LocalContext implements UnaryCall, LocalUnary {
  private readonly takeParts: LocalCallOptions['takeParts'];
  private readonly done: (outcome: Uint8Array | RpcError) => void;
  private parts: PartSource | undefined;

  constructor(
    setup: LocalSetup,
    path: string,
    options: LocalCallOptions,
    done: (outcome: Uint8Array | RpcError) => void,
  ) {
    super(setup, path, options);
    this.takeParts = options.takeParts;
    this.done = done;
  }

  begin(method: Method, request: Uint8Array): void {
    if (method.kind !== 'unary' || !this.armDeadline() || !this.mayReceive(request)) return;
    method.handle(request, this);
  }

  reply(message: Uint8Array): void {
    if (this.ended) return;
    if (message.length > MAX_SEND_BYTES) {
      this.fail(replyTooLarge(message.length));
      return;
    }
    this.finish(Status.ok);
    this.setup.observer?.messageSent(this.path, message.length);
    this.done(message);
  }

  replyParts(totalBytes: number, source: PartSource): void {
    if (this.ended || totalBytes > MAX_SEND_BYTES) {
      source.abort();
      this.fail(replyTooLarge(totalBytes));
      return;
    }
    this.parts = source;
    if (this.takeParts === undefined) {
      this.gather(new Uint8Array(totalBytes), 0, source);
      return;
    }
    this.finish(Status.ok);
    this.setup.observer?.messageSent(this.path, totalBytes);
    this.takeParts(totalBytes, source);
  }

  override cancel(): void {
    if (this.ended) this.parts?.abort();
    else super.cancel();
    this.parts = undefined;
  }

  /** Fills `whole` from `filled` on, in one turn or in as many as the source takes. */
  private gather(whole: Uint8Array, filled: number, source: PartSource): void {
    let at = filled;
    while (!this.ended) {
      const part = source.next(() => this.gather(whole, at, source));
      if (part === null) return;
      if (part === undefined ? at !== whole.length : at + part.length > whole.length) {
        this.fail(BAD_PARTS);
        return;
      }
      if (part === undefined) {
        this.parts = undefined;
        this.reply(whole);
        return;
      }
      whole.set(part, at);
      at += part.length;
    }
  }

  fail(error: RpcError): void {
    if (this.ended) return;
    this.finish(error.code);
    this.parts?.abort();
    this.done(error);
  }
}

class StreamEnd extends LocalContext implements StreamCall {
  readonly caller: LocalStream;
  private readonly toHandler: Lane;
  private readonly toCaller: Lane;
  private halfCloseListener: (() => void) | undefined;
  private drainListener: (() => void) | undefined;
  private isHalfClosed = false;
  /** What the stream ends with once the handler's messages have been taken. */
  private outcome: RpcError | null = null;

  constructor(
    setup: LocalSetup,
    path: string,
    options: LocalCallOptions,
    events: LocalStreamEvents,
  ) {
    super(setup, path, options);
    const { highWaterBytes = HIGH_WATER_BYTES } = options;
    this.toHandler = new Lane(highWaterBytes, {
      onDrain: () => events.onDrain?.(),
      onEnd: () => this.maybeHalfClose(),
    });
    this.toCaller = new Lane(highWaterBytes, {
      onDrain: () => this.drainListener?.(),
      onEnd: () => events.onEnd(this.outcome),
    });
    this.toCaller.deliverTo((message) => events.onMessage(message));
    const { toHandler, toCaller } = this;
    this.caller = {
      send: (message) => !this.ended && this.mayReceive(message) && toHandler.push(message),
      halfClose: () => toHandler.end(),
      cancel: () => this.cancel(),
      pause: () => toCaller.pause(),
      resume: () => toCaller.resume(),
      get isHeldUp() {
        return toHandler.isPaused;
      },
    };
  }

  begin(method: Method): void {
    if (method.kind === 'stream' && this.armDeadline()) method.handle(this);
  }

  onMessage(listener: (message: Uint8Array) => void): void {
    this.toHandler.deliverTo(listener);
  }

  onHalfClose(listener: () => void): void {
    this.halfCloseListener = listener;
    if (this.isHalfClosed) this.maybeHalfClose();
  }

  write(message: Uint8Array, rest?: Uint8Array): boolean {
    if (this.ended) return false;
    const bytes = message.length + (rest?.length ?? 0);
    if (bytes > MAX_SEND_BYTES) {
      this.abandon(streamMessageTooLarge(bytes));
      return false;
    }
    this.setup.observer?.messageSent(this.path, bytes);
    return this.toCaller.push(rest === undefined ? message : Buffer.concat([message, rest]));
  }

  onDrain(listener: () => void): void {
    this.drainListener = listener;
  }

  get bufferedBytes(): number {
    return this.toCaller.bytes;
  }

  end(): void {
    if (!this.ended) this.close(Status.ok, null);
  }

  fail(error: RpcError): void {
    if (!this.ended) this.close(error.code, error);
  }

  pause(): void {
    this.toHandler.pause();
  }

  resume(): void {
    this.toHandler.resume();
  }

  /** The caller need not wait for messages under way to learn of a cancellation. */
  protected override abandon(error: RpcError): void {
    if (!this.ended) this.toCaller.clear();
    super.abandon(error);
  }

  private close(code: Status, outcome: RpcError | null): void {
    this.finish(code);
    this.toHandler.close();
    this.outcome = outcome;
    this.toCaller.end();
  }

  private maybeHalfClose(): void {
    this.isHalfClosed = true;
    const listener = this.halfCloseListener;
    if (listener === undefined || this.ended) return;
    this.halfCloseListener = undefined;
    listener();
  }
}
