/** Calls of a service's methods as a client makes them, and what came of them. */
import { LocalCaller } from '../../src/rpc/local-call.js';
import type { LocalStream, LocalUnary } from '../../src/rpc/local-call.js';
import { RpcError } from '../../src/rpc/service.js';
import type { Method, PartSource } from '../../src/rpc/service.js';
import type { TransportEnv } from '../../src/rpc/transport.js';

/** Calls without a deadline ask for no timer. */
const STILL: TransportEnv = {
  clock: { monoMs: () => 0, wallMs: () => 0 },
  after: () => ({ cancel: () => undefined }),
  defer: () => undefined,
};

/** One call, from the client's end. */
export class RecordedCall {
  readonly written: Uint8Array[] = [];
  error: RpcError | undefined = undefined;
  ended = false;
  /** Of a reply in parts. */
  partCount = 0;
  private stream: LocalStream | undefined;
  private unary: LocalUnary | undefined;

  /** Opens the stream or makes the unary call; `request` is the first message of a stream. */
  start(
    caller: LocalCaller,
    method: Method,
    path: string,
    request: Uint8Array | undefined,
    metadata: Readonly<Record<string, string>>,
  ): void {
    if (method.kind === 'unary') {
      const takeParts = (totalBytes: number, source: PartSource): void =>
        this.takeParts(totalBytes, source);
      // The transport reuses its buffers.
      const view = Buffer.from(request ?? new Uint8Array());
      this.unary = caller.unary(path, view, { metadata, takeParts }, (outcome) =>
        this.finish(outcome),
      );
      view.fill(0xff);
      return;
    }
    this.stream = caller.stream(
      path,
      // `write` returns false as soon as the client pauses.
      { metadata, highWaterBytes: 0 },
      {
        onMessage: (message) => void this.written.push(Uint8Array.from(message)),
        onEnd: (error) => this.finish(error),
      },
    );
    if (request !== undefined) this.send(request);
  }

  send(message: Uint8Array): void {
    const view = Buffer.from(message);
    const waits = this.isHeldUp;
    this.stream?.send(view);
    if (!waits) view.fill(0xff);
  }

  halfClose(): void {
    this.stream?.halfClose();
  }

  cancel(): void {
    this.stream?.cancel();
    this.unary?.cancel();
  }

  /** Reads nothing until `resume`. */
  pause(): void {
    this.stream?.pause();
  }

  resume(): void {
    this.stream?.resume();
  }

  /** The handler reads nothing. */
  get isHeldUp(): boolean {
    return this.stream?.isHeldUp === true;
  }

  private finish(outcome: Uint8Array | RpcError | null): void {
    this.ended = true;
    if (outcome instanceof RpcError) this.error = outcome;
    else if (outcome !== null) this.written.push(Uint8Array.from(outcome));
  }

  private takeParts(totalBytes: number, source: PartSource): void {
    const parts: Uint8Array[] = [];
    for (;;) {
      const part = source.next(() => undefined);
      if (part === undefined) break;
      if (part === null) throw new Error('a part came late');
      parts.push(Uint8Array.from(part));
    }
    const message = Buffer.concat(parts);
    if (message.length !== totalBytes) throw new Error('the length was announced wrongly');
    this.partCount = parts.length;
    this.finish(message);
  }
}

/** Calls a method of a service; the request is the first message of a stream if given. */
export function callMethod(
  table: readonly (readonly [string, Method])[],
  path: string,
  request?: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): RecordedCall {
  const methods = new Map(table);
  const method = methods.get(path);
  if (method === undefined) throw new Error(`no method ${path}`);
  const call = new RecordedCall();
  call.start(new LocalCaller({ table: methods, env: STILL }), method, path, request, headers);
  return call;
}
