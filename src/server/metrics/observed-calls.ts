import type { Clock } from '../../base/env/env.js';
import type {
  CallContext,
  Method,
  ServiceTable,
  StreamCall,
  UnaryCall,
} from '../../rpc/service.js';
import type { ClientRequests } from './counters.js';
import { EndedCall } from './ended-call.js';
import type { SlowCallLog } from './slow-calls.js';

/** Request metadata in which clients name the version of the API they speak. */
const VERSION_KEY = 'client-api-version';
const NO_VERSION = 'unknown';

export interface CallObservers {
  readonly clock: Clock;
  readonly clients: ClientRequests;
  readonly slow: SlowCallLog;
}

/** `table` with every call counted by the version of its client, and slow unary calls logged. */
export function observedTable(table: ServiceTable, observers: CallObservers): ServiceTable {
  const observed = new Map<string, Method>();
  for (const [path, method] of table) observed.set(path, observedMethod(path, method, observers));
  return observed;
}

function observedMethod(path: string, method: Method, observers: CallObservers): Method {
  const { clients } = observers;
  const version = (call: CallContext): string => call.metadata(VERSION_KEY) ?? NO_VERSION;
  if (method.kind === 'stream') {
    return {
      ...method,
      handle: (call: StreamCall) => {
        clients.count('stream', version(call));
        method.handle(call);
      },
    };
  }
  return {
    kind: 'unary',
    handle: (request, call) => {
      clients.count('unary', version(call));
      method.handle(request, new ObservedCall(path, request, call, observers));
    },
  };
}

/** Looks at the clock when the handler has its answer. */
class ObservedCall extends EndedCall {
  private readonly path: string;
  private readonly request: Uint8Array;
  private readonly observers: CallObservers;
  private readonly startMs: number;

  constructor(path: string, request: Uint8Array, call: UnaryCall, observers: CallObservers) {
    super(call);
    this.path = path;
    this.request = request;
    this.observers = observers;
    this.startMs = observers.clock.monoMs();
  }

  protected override ended(response: Uint8Array | null, responseBytes: number): void {
    const { clock, slow } = this.observers;
    const tookMs = clock.monoMs() - this.startMs;
    if (!slow.concerns(tookMs)) return;
    slow.report({
      path: this.path,
      remote: this.call.peer,
      request: this.request,
      response,
      responseBytes,
      startedMs: clock.wallMs() - tookMs,
      tookMs,
    });
  }
}
