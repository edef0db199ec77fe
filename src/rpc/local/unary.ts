/** A unary call inside the process. */
import { Status } from '../service.js';
import type { Method, PartSource, UnaryCall, RpcError } from '../service.js';
import { BAD_PARTS, MAX_SEND_BYTES, replyTooLarge } from '../transport.js';
import { LocalContext } from './context.js';
import type { LocalCallOptions, LocalSetup } from './context.js';

/** The caller's end of a unary call. */
export interface LocalUnary {
  /**
   * Ends the call with CANCELLED; the handler is notified. Nothing happens when the reply has been
   * given whole.
   */
  cancel(): void;
}

/** Both ends of the call. */
export class UnaryEnd extends LocalContext implements UnaryCall, LocalUnary {
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
    if (method.kind !== 'unary' || !this.armDeadline() || !this.admit(request)) return;
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
