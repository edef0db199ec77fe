import { DecodeError } from '../../base/protobuf/runtime.js';
import { errors } from '../contract/errors.js';
import { PeerRequest } from '../contract/roles.js';
import type { PeerRequestTable } from '../peer/requests.js';
import { answerAsLeader, type LeaseRoles } from './leader.js';

/** Serves the leader's side of questions about leases that other members pass on. */
export function registerLeaseRequests(table: PeerRequestTable, roles: LeaseRoles): void {
  for (const question of [PeerRequest.leaseKeepAlive, PeerRequest.leaseTimeToLive]) {
    table.register(question, (body, reply) => {
      if (!roles.leadership.isLeader) return reply(errors.notPrimaryLessor, null);
      try {
        answerAsLeader(roles, question, body, reply);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        reply(error, null);
      }
    });
  }
}
