/** State shared by unary and streaming calls inside the process. */
import type { Timer } from '../../base/env/env.js';
import type { CallContext, PartSource, RpcError, Status } from '../service.js';
import { CANCELLED, DEADLINE_EXCEEDED, messageTooLarge } from '../transport.js';
import type { TransportSetup } from '../transport.js';

const NO_METADATA: Readonly<Record<string, string>> = {};

/** The part of a transport's setup that concerns calls. */
export type LocalSetup = Pick<TransportSetup, 'table' | 'env' | 'observer'> & {
  /** A request longer than this is refused as by a transport; absent: none is. */
  readonly maxReceiveBytes?: number;
};

export interface LocalCallOptions {
  /** Keys in lower case. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Address of the client that the call is made for. */
  readonly peer?: string;
  /** Monotonic milliseconds after which the call is cancelled. */
  readonly deadlineMs?: number;
  /** With more bytes than this waiting, the writing side of a stream is to wait. */
  readonly highWaterBytes?: number;
  /**
   * Takes the source of a unary reply that is given in parts, to read it at its own pace. Without
   * it the parts are gathered, and `done` receives the whole. A cancellation aborts the source,
   * also later.
   */
  readonly takeParts?: (totalBytes: number, source: PartSource) => void;
}

/** The context a handler sees, and how a call ends early. */
export abstract class LocalContext implements CallContext {
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

  /** Counts a message in; refuses the call and returns false when the message is longer than is accepted. */
  protected admit({ length }: Uint8Array): boolean {
    const { maxReceiveBytes = Infinity, observer } = this.setup;
    observer?.messageReceived(this.path, length);
    if (length <= maxReceiveBytes) return true;
    this.abandon(messageTooLarge(length, maxReceiveBytes));
    return false;
  }

  /** Ends the call before its handler did, which is notified. */
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
