import type { Env } from '../../base/env/env.js';
import type { MemberId } from '../../raft/types.js';
import type { PeerHandler } from './types.js';

export interface PeerIdentity {
  readonly clusterId: bigint;
  readonly memberId: MemberId;
  /** Random number of this process. */
  readonly incarnation: number;
}

export type PeerLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  msg: string,
  fields?: Record<string, unknown>,
) => void;

/** Counters of the transport. */
export interface PeerMetrics {
  sent(to: MemberId, bytes: number): void;
  received(from: MemberId, bytes: number): void;
  sendFailure(to: MemberId): void;
  receiveFailure(from: MemberId): void;
  roundTrip(to: MemberId, seconds: number): void;
  activePeer(id: MemberId, change: 1 | -1): void;
}

/** Shared by the parts of the transport. */
export interface PeerContext {
  readonly env: Env;
  readonly identity: PeerIdentity;
  readonly serverVersion: string;
  /** Lines about one peer are limited in number; see LimitedLog. */
  readonly log: PeerLog;
  readonly metrics: PeerMetrics;
  readonly handler: PeerHandler;
  /** A member refused us because we were removed; reports it to the handler the first time. */
  removedFromCluster(): void;
}
