/**
 * Calls on a table of services inside the process, for callers that would otherwise need a
 * connection to their own process: the JSON gateway, services built on other services, the
 * simulator, tests.
 *
 * Promises the handler the calls a transport would give it: limits, deadlines, cancellation and back-pressure included.
 * Everything happens within the caller's turn of the event loop, as far as neither side pauses.
 * `done` may run before the call that takes it returns. Refusals are values. Bytes are passed on as
 * they are; a handler that keeps request bytes copies them, as with any transport.
 */
import { invariant } from '../base/invariant.js';
import type { LocalCallOptions, LocalSetup } from './local/context.js';
import { StreamEnd } from './local/stream.js';
import type { LocalStream, LocalStreamEvents } from './local/stream.js';
import { UnaryEnd } from './local/unary.js';
import type { LocalUnary } from './local/unary.js';
import type { Method, RpcError } from './service.js';
import { serviceNames, unknownPath } from './transport.js';

export type { LocalCallOptions, LocalSetup } from './local/context.js';
export type { LocalStream, LocalStreamEvents } from './local/stream.js';
export type { LocalUnary } from './local/unary.js';

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
