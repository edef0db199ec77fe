import { invariant } from '../base/invariant.js';
import type { RaftConfig } from './types.js';

/** Terms beyond this are taken for damage: following one would leave no room for later elections. */
export const TERM_MAX = 2 ** 52;

/** Linearizable reads that may wait on a leader; those beyond it are dropped, and their askers retry. */
export const PENDING_READS_MAX = 65_536;

/** Cost of an entry beside its payload, in messages and in memory. */
export const ENTRY_OVERHEAD_BYTES = 24;

/** Applied entries that stay objects in memory: a member that is a little behind is sent these. */
export const HOT_ENTRIES = 512;

/**
 * Asserts what the rules need of a configuration.
 *
 * The bounds in bytes are soft, so that no entry is too large to be replicated. An entry above
 * `maxAppendBytes` travels alone in its append. An append above `maxInflightBytes` is sent when
 * nothing is under way. A proposal above `maxUncommittedBytes` is taken when nothing is
 * uncommitted. An entry above `maxCommittedBytesPerReady` is handed out alone.
 */
export function assertConfig(config: RaftConfig): void {
  const { heartbeatTicks, electionTicks } = config;
  invariant(heartbeatTicks >= 1, `heartbeat interval of ${heartbeatTicks} ticks`);
  invariant(
    electionTicks > heartbeatTicks,
    `election timeout of ${electionTicks} ticks with a heartbeat every ${heartbeatTicks}`,
  );
  for (const bound of [
    'maxAppendBytes',
    'maxInflightMessages',
    'maxInflightBytes',
    'maxUncommittedBytes',
    'maxCommittedBytesPerReady',
  ] as const) {
    invariant(config[bound] >= 1, `${bound} is ${config[bound]}, which lets nothing pass`);
  }
}

/** Payload bytes and entries of one slab. */
export const SLAB_BYTES = 256 * 1024;
export const SLAB_ENTRIES = 1024;

/** A payload above this is kept as it is, in a slab of its own. */
export const LARGE_PAYLOAD_BYTES = SLAB_BYTES / 8;

/** Slabs kept for reuse: a compaction drops many at once, and the next ones are needed soon. */
export const SPARE_SLABS = 16;
