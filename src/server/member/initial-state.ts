import { invariant } from '../../base/invariant.js';
import { decodeConfStateRecord, encodeConfStateRecord } from '../../gen/peer.js';
import { NONE, type RaftInitialState } from '../../raft/types.js';
import type { Backend } from '../../storage/backend.js';
import type { WalRecovery } from '../../wal/types.js';
import type { BootstrapMember } from '../contract/bootstrap.js';
import { Members } from '../membership/members.js';

/** Stands for the bootstrap itself, so that the first leader's term is 2, as etcd's is. */
const BOOTSTRAP_TERM = 1;

/** The state every member of a new cluster begins with; the same on all of them. */
export function writeBootstrapState(backend: Backend, members: readonly BootstrapMember[]): void {
  const list = new Members();
  for (const m of members) {
    list.set(backend, {
      ID: m.id,
      name: m.name,
      peerURLs: [...m.peerURLs],
      clientURLs: [],
      isLearner: false,
    });
  }
  const voters = members.map((m) => m.id).sort((a, b) => (a < b ? -1 : 1));
  backend.setConfState(encodeConfStateRecord({ voters, learners: [] }));
  backend.setApplied(0, 0);
  backend.flush();
}

/** State with which the core continues: right after the image, with the log that was recovered. */
export function initialState(recovery: WalRecovery | null, backend: Backend): RaftInitialState {
  const stored = backend.confState;
  invariant(stored.length > 0, 'the backend holds no membership');
  const confState = decodeConfStateRecord(stored);
  const applied = backend.appliedIndex;
  if (recovery === null) {
    return {
      hardState: { term: BOOTSTRAP_TERM, vote: NONE, commit: 0 },
      confState,
      compactedIndex: 0,
      compactedTerm: 0,
      entries: [],
      applied,
    };
  }
  const { snapshot, entries } = recovery;
  const hardState = {
    term: Math.max(recovery.hardState.term, BOOTSTRAP_TERM),
    vote: recovery.hardState.vote,
    commit: Math.max(recovery.hardState.commit, applied),
  };
  return {
    hardState,
    confState,
    compactedIndex: snapshot.index,
    compactedTerm: snapshot.term,
    entries,
    applied,
  };
}
