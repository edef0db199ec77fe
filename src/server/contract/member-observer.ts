import type { StoreObserver } from '../../mvcc/observer.js';
import type { MemberId } from '../../raft/types.js';
import type { BackendObserver } from '../../storage/observer.js';
import type { CommandKind } from './command.js';

/**
 * Receives the events of a member, for metrics; it changes nothing. Durations are seconds where no
 * unit is named.
 */
export interface MemberObserver extends BackendObserver, StoreObserver {
  /** A write of the log was issued. */
  walWriting(bytes: number): void;
  /** A write of the log ended; with `isDurable` it is on disk. */
  walWritten(seconds: number, isDurable: boolean): void;
  applied(kind: CommandKind, isOk: boolean, seconds: number): void;
  appliedSlowly(): void;
  /** Heartbeats to `peers` others left more than a whole interval late. */
  heartbeatsLate(peers: number): void;
  leaseGranted(ttlSeconds: number): void;
  /** The image was made durable before the log lets go of entries. */
  markerSynced(seconds: number): void;
  snapshotSending(to: MemberId): void;
  snapshotSent(to: MemberId, isOk: boolean, seconds: number): void;
  snapshotReceiving(from: MemberId): void;
  /** A received image was made durable at its end. */
  snapshotSynced(seconds: number): void;
  snapshotReceived(from: MemberId, isOk: boolean, seconds: number): void;
}
