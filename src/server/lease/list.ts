import { encodeLeaseLeasesResponse } from '../../gen/rpc.js';
import type { LeaseId } from '../../mvcc/types.js';
import type { UnaryCall } from '../../rpc/service.js';
import type { Roles } from '../contract/roles.js';
import type { Job } from '../../base/slices/sliced-work.js';
import { sortInSlices } from '../../base/slices/sliced-sort.js';
import { LOOKUP_LEASES, PART_LEASES } from './limits.js';

/** A row of the reply, with what it is sorted by. */
interface Row {
  readonly ID: LeaseId;
  readonly dueMs: number;
}

/**
 * Answers LeaseLeases: those that expire first in front. A lease that is granted or ends while the list is made may be
 * in it or not.
 */
export function answerLeaseLeases(
  roles: Pick<Roles, 'env' | 'headers' | 'lessor' | 'reads'>,
  call: UnaryCall,
): void {
  const { env, lessor } = roles;
  const { slices } = roles.reads;
  const header = roles.headers.fields();
  const ids = lessor.leases();
  const rows: Row[] = [];
  const job: Job = {
    get isOver() {
      return call.cancelled;
    },
    onOver: () => undefined,
  };

  const lookUp = (): boolean => {
    const nowMs = env.clock.monoMs();
    for (let i = 0; i < LOOKUP_LEASES; i++) {
      const next = ids.next();
      if (next.done === true) return true;
      rows.push({ ID: next.value, dueMs: lessor.dueMs(next.value, nowMs) });
    }
    return false;
  };

  const encode = (sorted: readonly Row[]): void => {
    const parts = [encodeLeaseLeasesResponse({ header, leases: sorted.slice(0, PART_LEASES) })];
    // Repeated fields of messages put one behind the other are those of one message.
    const encodePart = (): boolean => {
      const from = parts.length * PART_LEASES;
      if (from >= sorted.length) return true;
      const leases = sorted.slice(from, from + PART_LEASES);
      parts.push(encodeLeaseLeasesResponse({ leases }));
      return false;
    };
    slices.run(job, encodePart, () => replyInParts(call, parts));
  };

  slices.run(job, lookUp, () => {
    sortInSlices(slices, rows, byDueTime, job, encode);
  });
}

/** Not by subtraction: on a member that is not the leader all are due at Infinity. */
function byDueTime(a: Row, b: Row): number {
  if (a.dueMs === b.dueMs) return 0;
  return a.dueMs < b.dueMs ? -1 : 1;
}

function replyInParts(call: UnaryCall, parts: readonly Uint8Array[]): void {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return call.reply(first);
  let totalBytes = 0;
  for (const part of parts) totalBytes += part.length;
  let sent = 0;
  call.replyParts(totalBytes, {
    next: () => parts[sent++],
    abort: () => {
      // Nothing but the parts themselves is held.
    },
  });
}
