import type { Done } from '../../base/env/env.js';
import type { MemberId, Message } from '../../raft/types.js';
import type { SnapshotSink, SnapshotSource } from '../../storage/engine.js';
import type { PeerRequest } from '../contract/roles.js';

/**
 * The seam between a member and the network to its peers. `tcp-transport.ts` is the real one; the
 * simulator supplies another that runs the same codec over a simulated network.
 */

export interface PeerAddress {
  readonly id: MemberId;
  /** http:// or https:// URLs; tried in turn. */
  readonly urls: readonly string[];
}

/** The member's reactions to its peers. Every method returns quickly and does not throw. */
export interface PeerHandler {
  /** Messages of one received frame, in the order sent. */
  onMessages(from: MemberId, messages: readonly Message[]): void;
  /**
   * A snapshot message whose state follows; null refuses it. After `sink.finish` succeeded,
   * `onMessages` gets the message.
   */
  onSnapshot(from: MemberId, message: Message): SnapshotSink | null;
  /** The stream to the member broke (or a send was dropped). Called at most once per outage. */
  onUnreachable(id: MemberId): void;
  /** The connection was reset and reconnecting was refused: its process is gone. */
  onGone(id: MemberId): void;
  /** The peer reported that this member was removed from the cluster. */
  onRemoved(): void;
  onRequest(
    from: MemberId,
    kind: number,
    body: Uint8Array,
    reply: (error: Error | null, body: Uint8Array | null) => void,
  ): void;
}

export interface PeerTransport {
  /** Begins to accept and to dial. `done` reports an address that cannot be used. */
  start(handler: PeerHandler, done: Done): void;
  /** The complete set of other members; connections to ids not listed are closed and refused. */
  setPeers(peers: readonly PeerAddress[], removed: readonly MemberId[]): void;
  /**
   * Queues messages by their `to`; drops them when there is no connection or its queue is over its
   * bound. A message and the data of its entries must not change afterwards: one that waits is
   * encoded later.
   */
  send(messages: readonly Message[]): void;
  /** Sends a snapshot on a connection of its own. */
  sendSnapshot(message: Message, source: SnapshotSource, done: Done): void;
  request(
    to: MemberId,
    kind: PeerRequest,
    body: Uint8Array,
    timeoutMs: number,
    done: (error: Error | null, body: Uint8Array | null) => void,
  ): void;
  /** Monotonic ms since when the link to the member is up without interruption, or undefined. */
  connectedSince(id: MemberId): number | undefined;
  close(done: () => void): void;
}
