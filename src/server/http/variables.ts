/**
 * GET /debug/vars: a few variables of the process as one JSON object, laid out as etcd's
 * server/etcdserver/api/etcdhttp/debug.go prints them. `memstats` of the Go runtime has no counterpart here;
 * `nodejs.memory` stands in its place.
 */
import { allowOnly, send, sendPlain } from '../../base/net/respond.js';
import type { HttpHandler } from '../../base/net/router.js';
import { limitOf, procFile } from '../../base/observe/proc-files.js';
import { Role, type RaftStatus } from '../../raft/types.js';
import { idText } from '../../base/bytes/id-text.js';

/** Names of roles as etcd's raft.Status prints them. */
const ROLE_NAMES: Readonly<Record<Role, string>> = {
  [Role.follower]: 'StateFollower',
  [Role.candidate]: 'StateCandidate',
  [Role.preCandidate]: 'StatePreCandidate',
  [Role.leader]: 'StateLeader',
};
/** Names of a follower's replication state, as etcd's raft.Status prints them. */
const REPLICATION_NAMES = {
  probe: 'StateProbe',
  replicate: 'StateReplicate',
  snapshot: 'StateSnapshot',
} as const;

export function variablesHandler(raftStatus: () => RaftStatus): HttpHandler {
  return (request, response) => {
    if (!allowOnly('GET', request, response)) return;
    procFile('limits').then(
      (limits) => {
        const variables = {
          cmdline: process.argv,
          file_descriptor_limit: limitOf(limits, 'Max open files'),
          'nodejs.memory': process.memoryUsage(),
          'nodejs.uptime_seconds': process.uptime(),
          'raft.status': statusJson(raftStatus()),
        };
        const lines = Object.entries(variables).map(
          ([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`,
        );
        const body = `{\n${lines.join(',\n')}\n}\n`;
        send(response, 200, 'application/json; charset=utf-8', body);
      },
      (error: unknown) =>
        sendPlain(response, 500, `the variables cannot be read: ${String(error)}\n`),
    );
  };
}

function statusJson(status: RaftStatus): Record<string, unknown> {
  const progress: Record<string, unknown> = {};
  for (const [id, p] of status.progress) {
    progress[idText(id)] = { match: p.match, next: p.next, state: REPLICATION_NAMES[p.state] };
  }
  const { term, vote, commit } = status.hardState;
  return {
    id: idText(status.id),
    term,
    vote: idText(vote),
    commit,
    lead: idText(status.leader),
    raftState: ROLE_NAMES[status.role],
    applied: status.applied,
    progress,
    leadtransferee: idText(status.transferee),
  };
}
