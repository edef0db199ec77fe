import { allMethods } from '../../gen/services.js';
import { DecodeError } from '../../base/protobuf/runtime.js';
import type { CallContext, Method, RpcError, ServiceTable, StreamCall } from '../../rpc/service.js';
import { errors, malformed, unimplemented } from '../contract/errors.js';
import type { Roles } from '../contract/roles.js';
import type { TimeReport } from '../metrics/timed-call.js';
import { authService } from './auth.js';
import { clusterService } from './cluster.js';
import { healthService } from './health.js';
import { kvService, type KvState } from './kv.js';
import { leaderRefusal } from './leader-required.js';
import { leaseService } from './lease.js';
import { maintenanceService } from './maintenance.js';
import { watchService } from './watch.js';

/**
 * All methods of the API on one member: those this release serves, behind the checks every call
 * passes, and the rest, which refuse with UNIMPLEMENTED.
 */
export interface ServiceOptions {
  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  readonly watchProgressIntervalMs: number;
  /** For metrics. */
  readonly onRange?: TimeReport;
}

/** Methods that a learner answers itself; of ranges only the serializable ones. */
const LEARNER_METHODS = new Set(['/etcdserverpb.KV/Range', '/etcdserverpb.Maintenance/Status']);

export function serviceTable(
  roles: Roles,
  machine: KvState,
  options: ServiceOptions,
): ServiceTable {
  const table = new Map<string, Method>();
  for (const info of allMethods) {
    const refusal = unimplemented(info.path);
    table.set(
      info.path,
      info.type === 'unary'
        ? { kind: 'unary', handle: (_request, call) => call.fail(refusal) }
        : {
            kind: 'stream',
            streamType: info.type,
            handle: (call: StreamCall) => call.fail(refusal),
          },
    );
  }
  const served = [
    ...kvService(roles, { machine, ...options }),
    ...watchService(roles, {
      progressIntervalMs: options.watchProgressIntervalMs,
      maxRequestBytes: options.maxRequestBytes,
    }),
    ...leaseService(roles),
    ...maintenanceService(roles),
    ...clusterService(roles),
    ...authService(roles),
    ...healthService(),
  ];
  for (const [path, method] of served) table.set(path, guarded(roles, path, method));
  return table;
}

/** The checks that come before any handler: leader required, learner, malformed message. */
function guarded(roles: Roles, path: string, method: Method): Method {
  const allowedOnLearner = LEARNER_METHODS.has(path);
  const refusal = (call: CallContext): RpcError | null => {
    if (roles.cluster.isLearner && !allowedOnLearner) return errors.notSupportedForLearner;
    return leaderRefusal(roles, method.kind, call);
  };
  if (method.kind === 'stream') {
    return {
      ...method,
      handle: (call: StreamCall) => {
        const refused = refusal(call);
        if (refused !== null) call.fail(refused);
        else method.handle(call);
      },
    };
  }
  return {
    kind: 'unary',
    handle: (request, call) => {
      const refused = refusal(call);
      if (refused !== null) return call.fail(refused);
      try {
        method.handle(request, call);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        call.fail(malformed(error));
      }
    },
  };
}
