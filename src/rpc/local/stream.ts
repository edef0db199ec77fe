/** A stream inside the process: two lanes, and how it ends. */
import { Status } from '../service.js';
import type { Method, RpcError, StreamCall } from '../service.js';
import { MAX_SEND_BYTES, streamMessageTooLarge } from '../transport.js';
import { LocalContext } from './context.js';
import type { LocalCallOptions, LocalSetup } from './context.js';
import { Lane } from './lane.js';

const HIGH_WATER_BYTES = 64 * 1024;

/** Events of a stream for its caller. */
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
  /**
   * Ends the stream with CANCELLED; the handler is notified, and messages under way are dropped.
   */
  cancel(): void;
  /** Keeps the handler's messages back until `resume`. */
  pause(): void;
  resume(): void;
  /** The handler takes no message at present: those that are sent wait. */
  readonly isHeldUp: boolean;
}

/** The handler's end; `caller` is the other one. */
export class StreamEnd extends LocalContext implements StreamCall {
  readonly caller: LocalStream;
  private readonly toHandler: Lane;
  private readonly toCaller: Lane;
  private halfCloseListener: (() => void) | undefined;
  private drainListener: (() => void) | undefined;
  private isHalfClosed = false;
  /** Status that ends the stream once the handler's messages have been taken. */
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
      send: (message) => !this.ended && this.admit(message) && toHandler.push(message),
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

  /** A cancellation reaches the caller before messages under way. */
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
