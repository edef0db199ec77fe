import { StartupError } from '../../base/flags/startup-error.js';
import { invariant } from '../../base/invariant.js';
import { MAX_ENTRY_BYTES } from '../../wal/limits.js';
import { ENVELOPE_BYTES } from '../contract/command.js';
import * as member from '../member/limits.js';
import * as peer from '../peer/limits.js';

/** Bytes that a request may exceed max-request-bytes by before the transport itself refuses it, as in etcd. */
const GRPC_OVERHEAD_BYTES = 512 * 1024;
/** Longest protobuf message, hence longest gRPC message. */
const MAX_MESSAGE_BYTES = 2 ** 31 - 1;

/** Longest message that the client ports accept. */
export function receiveLimit(maxRequestBytes: number): number {
  return maxRequestBytes + GRPC_OVERHEAD_BYTES;
}

/** Flags that are links of the chain. */
export interface LimitFlags {
  readonly maxRequestBytes: number;
}

/**
 * Checks that the limits of all layers fit each other, so that nothing one layer accepts gets stuck in the next:
 *
 *   request <= entry <= log record <= append <= body between members
 *
 * Appends, the window to a follower, and uncommitted bytes have no link of their own. Each lets one
 * entry of any size pass (src/raft/limits.ts).
 *
 * Throws: StartupError when a flag breaks the chain.
 */
export function checkLimitChain({ maxRequestBytes }: LimitFlags): void {
  // The gate counts the envelope as part of the request: an entry is never longer than max-request-bytes.
  if (maxRequestBytes > MAX_ENTRY_BYTES) {
    throw new StartupError(
      `--max-request-bytes (${maxRequestBytes}) exceeds the longest entry of the log, ${MAX_ENTRY_BYTES} bytes`,
      `give --max-request-bytes at most ${MAX_ENTRY_BYTES}`,
    );
  }
  invariant(ENVELOPE_BYTES < MAX_ENTRY_BYTES, 'an entry has room for a command');
  invariant(
    receiveLimit(MAX_ENTRY_BYTES) <= MAX_MESSAGE_BYTES,
    'the longest request fits a gRPC message',
  );
  invariant(
    MAX_ENTRY_BYTES + peer.FRAME_TARGET_BYTES <= peer.MAX_BODY_BYTES,
    'an entry fits a body',
  );
  invariant(member.MAX_APPEND_BYTES <= member.MAX_INFLIGHT_BYTES, 'an append fits the window');
  invariant(
    member.MAX_INFLIGHT_BYTES <= peer.MAX_QUEUED_BYTES &&
      member.MAX_INFLIGHT_MESSAGES <= peer.MAX_QUEUED_WRITES,
    'the queue to a peer holds the window of a follower',
  );
  invariant(
    member.MAX_INFLIGHT_BYTES <= member.MAX_UNCOMMITTED_BYTES,
    'the window to a follower fits the bytes that may be uncommitted',
  );
}
