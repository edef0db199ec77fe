import type { Timer } from '../../base/env/env.js';
import { encodeCompactionRequest } from '../../gen/rpc.js';
import type { AutoCompaction } from '../config/compaction-retention.js';
import { errors } from '../contract/errors.js';
import type { Logger } from '../../base/observe/logger.js';
import { durationText } from '../../base/observe/units.js';
import { CommandKind } from '../contract/command.js';
import type { Roles } from '../contract/roles.js';

/**
 * Compacts by itself, as --auto-compaction-mode and -retention ask: `periodic` keeps the history of the last period,
 * `revision` the last N revisions. Every member runs the schedule; only the leader proposes.
 */
const REVISION_INTERVAL_MS = 5 * 60_000;
const MAX_PERIODIC_INTERVAL_MS = 60 * 60_000;
/** Samples of the revision taken in one interval. */
const SAMPLES_PER_INTERVAL = 10;

export type CompactorRoles = Pick<Roles, 'env' | 'reads' | 'proposals' | 'leadership'>;

export class AutoCompactor {
  private readonly roles: CompactorRoles;
  private readonly mode: AutoCompaction;
  private readonly log: Logger;
  private timer: Timer | null = null;
  private readonly samples: number[] = [];
  private lastCompacted = 0;
  /** Periodic mode: samples still to take before the next compaction is due. */
  private untilNext = 0;

  constructor(roles: CompactorRoles, mode: AutoCompaction, log: Logger) {
    this.roles = roles;
    this.mode = mode;
    this.log = log;
  }

  start(): void {
    const { mode } = this;
    if (mode.mode === 'off') return;
    if (mode.mode === 'revision') {
      this.every(REVISION_INTERVAL_MS, () =>
        this.compact(this.roles.reads.store.currentRevision - mode.retentionRevisions),
      );
      return;
    }
    const intervalMs = Math.min(mode.retentionMs, MAX_PERIODIC_INTERVAL_MS);
    const sampleMs = intervalMs / SAMPLES_PER_INTERVAL;
    const periodSamples = Math.round(mode.retentionMs / sampleMs);
    this.samples.push(this.roles.reads.store.currentRevision);
    this.untilNext = periodSamples;
    this.every(sampleMs, () => {
      this.samples.push(this.roles.reads.store.currentRevision);
      if (this.samples.length > periodSamples + 1) this.samples.shift();
      if (this.untilNext > 0) this.untilNext--;
      // A compaction that is due on a follower stays due, should it become the leader.
      if (this.untilNext === 0) this.compact(this.samples[0] ?? 0);
    });
  }

  stop(): void {
    this.timer?.cancel();
  }

  private every(periodMs: number, run: () => void): void {
    this.timer = this.roles.env.after(periodMs, () => {
      run();
      this.every(periodMs, run);
    });
  }

  private compact(revision: number): void {
    const { env, leadership, proposals } = this.roles;
    if (!leadership.isLeader || revision <= 0 || revision === this.lastCompacted) return;
    this.untilNext = SAMPLES_PER_INTERVAL;
    const startMs = env.clock.monoMs();
    this.log.info(`starting auto ${this.mode.mode} compaction`, this.fields(revision));
    proposals.propose(CommandKind.compact, encodeCompactionRequest({ revision }), (error) => {
      // Refused as compacted: another client compacted further already.
      if (error === null || error === errors.compacted) {
        this.lastCompacted = revision;
        const took = durationText(env.clock.monoMs() - startMs);
        this.log.info(`completed auto ${this.mode.mode} compaction`, {
          ...this.fields(revision),
          took,
        });
        return;
      }
      // The next sample, a tenth of the interval later, tries again.
      this.untilNext = 0;
      this.log.warn(`failed auto ${this.mode.mode} compaction`, {
        ...this.fields(revision),
        error: error.message,
      });
    });
  }

  /** Of etcd's lines (server/etcdserver/api/v3compactor). */
  private fields(revision: number): Readonly<Record<string, unknown>> {
    const { mode } = this;
    if (mode.mode === 'periodic')
      return { revision, 'compact-period': durationText(mode.retentionMs) };
    if (mode.mode === 'revision')
      return { revision, 'revision-compaction-retention': mode.retentionRevisions };
    return { revision };
  }
}
