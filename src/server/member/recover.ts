import { decodeConfStateRecord } from '../../gen/peer.js';
import { StartupError } from '../../base/flags/startup-error.js';
import { InvariantViolation, invariant } from '../../base/invariant.js';
import { Backend } from '../../storage/backend.js';
import { Lessor } from '../../lease/lessor.js';
import { Store } from '../../mvcc/store.js';
import { readIdentity } from '../../wal/identity.js';
import { Wal } from '../../wal/wal.js';
import type { WalIdentity, WalOptions, WalRecovery } from '../../wal/types.js';
import { loadLeases } from '../snapshot/load.js';
import { DataDir } from '../contract/data-dir.js';
import { openFailure } from '../directory/failures.js';
import { compactionLog } from '../upkeep/compaction-log.js';
import { writeBootstrapState } from './initial-state.js';
import type { MemberOptions } from './options.js';

/**
 * Opens the parts of a member from a directory: the log and the state machine's image, checked
 * against each other, and made new where there is nothing yet. Refuses, with cause and next step,
 * parts that do not fit together. A member that continues from less than it acknowledged would
 * break the cluster's promises.
 */

export interface RecoveredMember {
  readonly identity: WalIdentity;
  readonly dirs: DataDir;
  readonly wal: Wal;
  /** Content of the log; null for a new one. */
  readonly log: WalRecovery | null;
  readonly backend: Backend;
  readonly store: Store;
  readonly lessor: Lessor;
}

type RecoveryDone = (error: Error | null, recovered: RecoveredMember | null) => void;

/** Opens or creates everything a member keeps on disk. On an error, always a StartupError, nothing stays open. */
export function recover(options: MemberOptions, done: RecoveryDone): void {
  new Recovery(options, done).start();
}

/** One attempt. Each step calls the next; the first that fails ends it. */
class Recovery {
  private readonly options: MemberOptions;
  private readonly done: RecoveryDone;
  private readonly dirs: DataDir;
  private readonly lessor: Lessor;
  private identityFound: WalIdentity | null = null;
  private backendOpen: Backend | null = null;
  private walOpen: Wal | null = null;
  private log: WalRecovery | null = null;
  private isFinished = false;

  constructor(options: MemberOptions, done: RecoveryDone) {
    this.options = options;
    this.done = done;
    this.dirs = new DataDir(options.env.disk, options.dataDir, options.walDir);
    this.lessor = new Lessor({ minTtlSec: Math.ceil((1.5 * options.electionMs) / 1000) });
  }

  start(): void {
    this.attempt(() => {
      this.dirs.create();
      this.identify();
      this.openImage(() => this.openLog());
    });
  }

  /** A log names its owner; the flags count only before there is one. */
  private identify(): void {
    const { env, bootstrap, log } = this.options;
    const stored = readIdentity(env.disk, this.dirs.walDir);
    const identity = stored ?? bootstrap;
    if (identity === undefined) {
      throw new StartupError(
        `no segment of the log in ${this.dirs.walDir} has a readable header, so nothing tells whose log it is`,
        'restore the whole data directory of this member from a backup',
      );
    }
    this.identityFound = { clusterId: identity.clusterId, memberId: identity.memberId };
    if (bootstrap === undefined || isSame(identity, bootstrap)) return;
    log.warn(
      'the data directory belongs to another member or cluster than the initial-* flags describe; the flags are ignored',
      { 'member-id': identity.memberId, 'cluster-id': identity.clusterId },
    );
  }

  private openImage(next: () => void): void {
    const { env, openEngine, observer } = this.options;
    openEngine(this.dirs.currentDb, (error, engine) => {
      if (engine === null) return this.fail(error);
      try {
        this.backendOpen = new Backend({ engine, env, observer });
      } catch (formatError) {
        return engine.close(() => this.fail(formatError));
      }
      this.attempt(next);
    });
  }

  private openLog(): void {
    const { env } = this.options;
    if (!Wal.exists(env, this.dirs.walDir)) return this.beginImage();
    const { wal, recovery } = Wal.open(env, this.walOptions());
    this.walOpen = wal;
    this.log = recovery;
    this.compare(recovery);
  }

  private walOptions(): WalOptions {
    const { options } = this;
    const { observer } = options;
    return {
      dir: this.dirs.walDir,
      identity: this.identity,
      segmentBytes: options.segmentBytes,
      witnessIndex: this.backend.appliedIndex,
      noFsync: options.noFsync,
      onWrite: (bytes: number) => observer?.walWriting(bytes),
      onWritten: (seconds: number, isDurable: boolean) => observer?.walWritten(seconds, isDurable),
    };
  }

  /** There is no log yet. The image becomes that of a new member; the log follows, so that it never stands alone. */
  private beginImage(): void {
    const { dirs, backend } = this;
    if (backend.appliedIndex > 0) {
      throw new StartupError(
        `the state in ${dirs.currentDb} ends at log index ${backend.appliedIndex}, but there is no log in ${dirs.walDir}; ` +
          'without its log a member has forgotten its promises and must not take part',
        'point --wal-dir at the log of this member, or restore its whole data directory from a backup',
      );
    }
    // An earlier start may have ended in between, with other flags.
    if (backend.confState.length > 0) return this.discardImage();
    this.writeImage();
  }

  private discardImage(): void {
    this.closeImage(() => {
      this.options.env.disk.rmSync(this.dirs.currentDb);
      this.openImage(() => this.writeImage());
    });
  }

  private writeImage(): void {
    const { backend } = this;
    writeBootstrapState(backend, this.options.bootstrap?.members ?? []);
    backend.sync((error) => {
      if (error !== null) return this.fail(error);
      this.attempt(() => {
        this.walOpen = Wal.create(this.options.env, this.walOptions());
        this.loadLeases();
      });
    });
  }

  /** Log and image must meet: the log holds everything after the image, and the image everything before the log. */
  private compare(log: WalRecovery): void {
    const { dirs, backend } = this;
    if (backend.confState.length === 0) {
      throw new StartupError(
        `the state in ${dirs.currentDb} is missing, but there is a log in ${dirs.walDir}; ` +
          'the log alone does not hold everything',
        'restore the whole data directory of this member from one backup',
      );
    }
    const marker = log.snapshot.index;
    if (marker > backend.appliedIndex && dirs.isStaged(marker)) return this.switchImage(marker);
    const firstNeeded = backend.appliedIndex + 1;
    const firstHeld = log.entries[0]?.index ?? firstNeeded;
    if (firstHeld > firstNeeded || marker > backend.appliedIndex) {
      throw new StartupError(
        `the state in ${dirs.currentDb} ends at log index ${backend.appliedIndex}, but the log begins at ${firstHeld} with a marker at ${marker}; ` +
          'one of the two was replaced or lost, and this member cannot continue from them',
        'restore the whole data directory of this member from one backup',
      );
    }
    dirs.removeStale();
    this.loadLeases();
  }

  /** The crash came between the log's marker and the switch to the received image. */
  private switchImage(marker: number): void {
    this.dirs.switchTo(marker);
    this.closeImage(() => {
      this.openImage(() => {
        invariant(this.backend.appliedIndex >= marker, 'a staged image reaches its index');
        this.compare(this.log as WalRecovery);
      });
    });
  }

  private loadLeases(): void {
    loadLeases(this.backend, this.lessor, (error) => {
      if (error === null) this.openStore();
      else this.fail(error);
    });
  }

  private openStore(): void {
    const { env, log, compaction } = this.options;
    const { backend, lessor } = this;
    const observer = compactionLog(log, this.options.observer);
    Store.open(
      { backend, env, onLease: (key, lease) => lessor.attach(key, lease), compaction, observer },
      (error, store) => {
        if (store === null) this.fail(error);
        else this.finish(store);
      },
    );
  }

  private finish(store: Store): void {
    const { identity, dirs, log, backend, lessor } = this;
    const wal = this.walOpen;
    invariant(wal !== null, 'a member that is open has a log');
    this.isFinished = true;
    this.done(null, { identity, dirs, wal, log, backend, store, lessor });
  }

  private get identity(): WalIdentity {
    invariant(
      this.identityFound !== null,
      'the owner of the directory is known before it is opened',
    );
    return this.identityFound;
  }

  private get backend(): Backend {
    invariant(this.backendOpen !== null, 'the image is open before it is compared');
    return this.backendOpen;
  }

  private closeImage(next: () => void): void {
    const { backend } = this;
    this.backendOpen = null;
    backend.close((error) => {
      if (error === null) this.attempt(next);
      else this.fail(error);
    });
  }

  /** Runs a step whose error ends the attempt. */
  private attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      // The caller's work on the result is no part of the attempt.
      if (this.isFinished || error instanceof InvariantViolation) throw error;
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    invariant(!this.isFinished, 'an attempt ends once');
    this.isFinished = true;
    const backend = this.backendOpen;
    const voters = backend === null ? this.bootstrapVoters : votersOf(backend);
    const failure = openFailure(error, this.dirs, voters);
    this.closeLog(() => {
      if (backend === null) this.done(failure, null);
      else backend.close(() => this.done(failure, null));
    });
  }

  private get bootstrapVoters(): number {
    return this.options.bootstrap?.members.length ?? 1;
  }

  private closeLog(next: () => void): void {
    if (this.walOpen === null) next();
    else this.walOpen.close(() => next());
  }
}

function isSame(a: WalIdentity, b: WalIdentity): boolean {
  return a.clusterId === b.clusterId && a.memberId === b.memberId;
}

function votersOf(backend: Backend): number {
  const stored = backend.confState;
  return stored.length === 0 ? 1 : decodeConfStateRecord(stored).voters.length;
}
