import type { RangeRequest, RequestOp, TxnRequest } from '../../gen/rpc.js';
import { invariant } from '../../base/invariant.js';
import type { Store } from '../../mvcc/store.js';
import { ALL_SUBS } from '../../mvcc/types.js';
import type { RpcError, UnaryCall } from '../../rpc/service.js';
import { PinnedState, ReadCall } from '../reads/pinned-state.js';
import type { ReadRoles } from '../reads/range-read.js';
import type { KvMachine } from './kv.js';
import { rangeProblem, TxnPath } from './txn.js';

/**
 * Answers a transaction that only reads, outside of the log and in slices. Compares and ranges see
 * the state of one moment, and the answer equals that of the log.
 *
 * Requires: every op of both branches is a range.
 */
export function answerReadOnlyTxn(
  roles: ReadRoles,
  machine: KvMachine,
  txn: TxnRequest,
  call: UnaryCall,
): void {
  const { store, slices } = roles.reads;
  const point = { revision: store.currentRevision, subs: ALL_SUBS };
  const success = branchOf(store, txn.success);
  const failure = branchOf(store, txn.failure);
  const oldest = oldestOf([success, failure], point.revision);
  const state = new PinnedState(store, { revision: oldest, subs: ALL_SUBS });
  const job = new ReadCall(call, state);
  // Leases may change from slice to slice; the rows of the point do not.
  const path = new TxnPath({ store, point, leases: undefined }, txn);
  const choose = (): boolean => path.step();
  slices.run(job, choose, () => {
    const { succeeded } = path;
    const { problem, ranges } = succeeded ? success : failure;
    if (problem !== null) {
      state.release();
      call.fail(problem);
      return;
    }
    const reply = machine.readOnlyReply(succeeded, ranges, point, state);
    if (reply instanceof Uint8Array) call.reply(reply);
    else reply.answer(slices, call);
  });
}

/**
 * Reads of one branch, or its refusal, judged before the compares as everything else: at one
 * moment.
 */
interface Branch {
  readonly ranges: readonly RangeRequest[];
  readonly problem: RpcError | null;
}

function branchOf(store: Store, ops: readonly RequestOp[]): Branch {
  let problem: RpcError | null = null;
  const ranges: RangeRequest[] = [];
  for (const { requestRange } of ops) {
    invariant(
      requestRange !== undefined,
      'a transaction that is not read-only is read outside of the log',
    );
    problem ??= rangeProblem(store, requestRange);
    ranges.push(requestRange);
  }
  return { ranges, problem };
}

/** The oldest revision that a branch may read. */
function oldestOf(branches: readonly Branch[], current: number): number {
  let oldest = current;
  for (const { ranges, problem } of branches) {
    if (problem !== null) continue;
    for (const { revision } of ranges) if (revision > 0) oldest = Math.min(oldest, revision);
  }
  return oldest;
}
