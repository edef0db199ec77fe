import type { Logger } from '../../base/observe/logger.js';
import type { RawNode } from '../../raft/raw-node.js';
import type { MemberId, Message } from '../../raft/types.js';
import type { PeerRequestTable } from '../peer/requests.js';
import type { SnapshotSink } from '../../storage/engine.js';
import type { PeerHandler } from '../peer/types.js';
import type { RaftDriver } from './driver.js';

export interface PeerHandlerParts {
  readonly log: Logger;
  readonly node: RawNode;
  readonly driver: RaftDriver;
  readonly snapshots: { receive(message: Message): SnapshotSink | null };
  readonly requests: PeerRequestTable;
  readonly memberId: MemberId;
  readonly onRemoved: (() => void) | undefined;
}

/** Takes the peers' messages and news to the parts of the member they are for. */
export function peerHandler(parts: PeerHandlerParts): PeerHandler {
  const { log, node, driver, snapshots, requests, memberId } = parts;
  return {
    onMessages: (_from, messages) => driver.onMessages(messages),
    onSnapshot: (_from, message) => snapshots.receive(message),
    onUnreachable: (id) => {
      node.reportUnreachable(id);
      driver.schedule();
    },
    onGone: (id) => {
      node.reportUnreachable(id);
      if (id === node.leader) {
        log.warn('the leader’s process is gone', { leader: id });
        node.forgetLeader();
      }
      driver.schedule();
    },
    onRemoved: () => {
      log.error('this member was removed from the cluster', { 'member-id': memberId });
      parts.onRemoved?.();
    },
    onRequest: (_from, kind, body, reply) => requests.answer(kind, body, reply),
  };
}
