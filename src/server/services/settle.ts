import type { SlicedWork } from '../../base/slices/sliced-work.js';
import type { RpcError, UnaryCall } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import type { Reply } from '../contract/roles.js';

/** Ends a call with what came of its proposal. */
export function settle(
  slices: SlicedWork,
  call: UnaryCall,
  error: RpcError | null,
  reply: Reply | null,
): void {
  if (reply === null) call.fail(error ?? errors.stopped);
  else if (reply instanceof Uint8Array) call.reply(reply);
  else reply.answer(slices, call);
}
