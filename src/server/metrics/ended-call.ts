import type { PartSource, RpcError, UnaryCall } from '../../rpc/service.js';

/**
 * A unary call that passes everything on, and notifies its subclass when the handler has its
 * answer.
 */
export abstract class EndedCall implements UnaryCall {
  protected readonly call: UnaryCall;

  constructor(call: UnaryCall) {
    this.call = call;
  }

  /** `response` is null when the call was refused or is answered in parts; `bytes` is 0 when it was refused. */
  protected abstract ended(response: Uint8Array | null, bytes: number, isOk: boolean): void;

  get peer(): string {
    return this.call.peer;
  }

  get deadlineMs(): number {
    return this.call.deadlineMs;
  }

  get cancelled(): boolean {
    return this.call.cancelled;
  }

  metadata(name: string): string | undefined {
    return this.call.metadata(name);
  }

  onCancel(listener: () => void): void {
    this.call.onCancel(listener);
  }

  reply(message: Uint8Array): void {
    this.ended(message, message.length, true);
    this.call.reply(message);
  }

  replyParts(totalBytes: number, source: PartSource): void {
    this.ended(null, totalBytes, true);
    this.call.replyParts(totalBytes, source);
  }

  fail(error: RpcError): void {
    this.ended(null, 0, false);
    this.call.fail(error);
  }
}
