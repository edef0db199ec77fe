import { decodeConfStateRecord, encodeConfStateRecord } from '../../gen/peer.js';
import { invariant } from '../../base/invariant.js';
import { Backend } from '../../storage/backend.js';
import { Lessor } from '../../lease/lessor.js';
import { Store } from '../../mvcc/store.js';
import { NONE, type RaftInitialState } from '../../raft/types.js';
import { readIdentity } from '../../wal/identity.js';
import { Wal } from '../../wal/wal.js';
import type { WalIdentity, WalRecovery } from '../../wal/types.js';
import { Members } from '../membership/members.js';
import { loadLeases } from '../snapshot/load.js';
import { DataDir } from '../contract/data-dir.js';
import type { BootstrapMember } from '../contract/bootstrap.js';
import type { MemberOptions } from './options.js';

/**
 * From a directory to what a member is built of: the log and the state machine's image, opened, checked against each
 * other, and made new where there is nothing yet. Refuses, with cause and next step, whatever does not fit together:
 * a member that continues from less than it promised would break the cluster's promises.
 */

/** Stands for the bootstrap itself, so that the first leader's term is 2, as etcd's is. */
const BOOTSTRAP_TERM = 1;

export interface RecoveredMember {
  readonly identity: WalIdentity;
  readonly dirs: DataDir;
  readonly wal: Wal;
  /** What the log held; null for a new one. */
  readonly log: WalRecovery | null;
  readonly backend: Backend;
  readonly store: Store;
  readonly lessor: Lessor;
}

/** Opens or creates everything a member keeps on disk. On an error nothing stays open. */
export function recover(
  options: MemberOptions,
  done: (error: Error | null, recovered: RecoveredMember | null) => void,
): void {
  const { env, bootstrap } = options;
  const dirs = new DataDir(env.disk, options.dataDir, options.walDir);
  const opened: { backend: Backend | null } = { backend: null };
  const fail = (error: Error): void => {
    if (opened.backend !== null) opened.backend.close(() => done(error, null));
    else done(error, null);
  };
  try {
    dirs.create();
  } catch (error) {
    return fail(error as Error);
  }
  openBackend(options, dirs.currentDb, (error, backend) => {
    if (backend === null) return fail(error ?? new Error('the backend did not open'));
    opened.backend = backend;
    // A log knows whose it is; what the flags say counts only before there is one.
    const identity = readIdentity(env.disk, dirs.walDir) ?? bootstrap;
    if (identity === undefined)
      return fail(new Error(`no segment of the log in ${dirs.walDir} has a readable header`));
    if (
      bootstrap !== undefined &&
      (identity.clusterId !== bootstrap.clusterId || identity.memberId !== bootstrap.memberId)
    ) {
      options.log.warn(
        'the data directory belongs to another member or cluster than the initial-* flags describe; the flags are ignored',
        {
          'member-id': identity.memberId,
          'cluster-id': identity.clusterId,
        },
      );
    }
    const walOptions = {
      dir: dirs.walDir,
      identity: { clusterId: identity.clusterId, memberId: identity.memberId },
      segmentBytes: options.segmentBytes,
      witnessIndex: backend.appliedIndex,
      noFsync: options.noFsync,
      ...(options.onWalSync === undefined ? {} : { onSync: options.onWalSync }),
      ...(options.onWalWrite === undefined ? {} : { onWrite: options.onWalWrite }),
    };
    if (!Wal.exists(env, dirs.walDir)) {
      if (backend.appliedIndex > 0) {
        return fail(
          new Error(
            `the state in ${dirs.currentDb} ends at log index ${backend.appliedIndex}, but there is no log in ${dirs.walDir}: ` +
              'point --wal-dir at the log of this member; without its log a member has forgotten its promises and must not take part',
          ),
        );
      }
      writeBootstrapState(backend, bootstrap?.members ?? []);
      backend.sync((syncError) => {
        if (syncError !== null) return fail(syncError);
        try {
          const wal = Wal.create(env, walOptions);
          load(wal, null, backend, identity);
        } catch (walError) {
          fail(walError as Error);
        }
      });
      return;
    }
    let wal: Wal;
    let recovery: WalRecovery;
    try {
      ({ wal, recovery } = Wal.open(env, walOptions));
    } catch (walError) {
      return fail(walError as Error);
    }
    const marker = recovery.snapshot.index;
    if (marker > backend.appliedIndex && dirs.isStaged(marker)) {
      // The crash came between the log's marker and the switch to the received image.
      dirs.switchTo(marker);
      backend.close(() => {
        opened.backend = null;
        openBackend(options, dirs.currentDb, (switchError, switched) => {
          if (switched === null) {
            return fail(switchError ?? new Error('the backend did not open'));
          }
          opened.backend = switched;
          load(wal, recovery, switched, identity);
        });
      });
      return;
    }
    load(wal, recovery, backend, identity);
  });

  function load(
    wal: Wal,
    recovery: WalRecovery | null,
    backend: Backend,
    identity: WalIdentity,
  ): void {
    dirs.removeStale();
    const firstNeeded = backend.appliedIndex + 1;
    const firstHeld = recovery?.entries[0]?.index ?? firstNeeded;
    if (
      recovery !== null &&
      (firstHeld > firstNeeded || recovery.snapshot.index > backend.appliedIndex)
    ) {
      return fail(
        new Error(
          `the state in ${dirs.currentDb} ends at log index ${backend.appliedIndex}, but the log begins at ${firstHeld} with a marker at ${recovery.snapshot.index}: ` +
            'the directory was replaced or lost; restore the whole data directory of this member from one backup',
        ),
      );
    }
    const lessor = new Lessor({ minTtlSec: Math.ceil((1.5 * options.electionMs) / 1000) });
    loadLeases(backend, lessor, (leaseError) => {
      if (leaseError !== null) return fail(leaseError);
      Store.open(
        {
          backend,
          env,
          onLease: (key, lease) => lessor.attach(key, lease),
          compaction: options.compaction,
        },
        (storeError, store) => {
          if (store === null) return fail(storeError ?? new Error('the store did not open'));
          done(null, { identity, dirs, wal, log: recovery, backend, store, lessor });
        },
      );
    });
  }
}

function openBackend(
  options: MemberOptions,
  dir: string,
  done: (error: Error | null, backend: Backend | null) => void,
): void {
  options.openEngine(dir, (error, engine) => {
    if (engine === null) return done(error, null);
    done(null, new Backend({ engine, env: options.env, onCommit: options.onBackendCommit }));
  });
}

/** The state every member of a new cluster begins with; the same on all of them. */
function writeBootstrapState(backend: Backend, members: readonly BootstrapMember[]): void {
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

/** Where the core continues: right after what the image holds, with the log that was recovered. */
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
