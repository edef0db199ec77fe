import { expect } from 'chai';
import type { Store } from '../../src/mvcc/store.js';
import type { RaftLog } from '../../src/raft/raft-log.js';
import type { Tracker } from '../../src/raft/tracker.js';
import type { Member } from '../../src/server/member/member.js';
import type { Done } from '../../src/base/env/env.js';
import type { WalBatch } from '../../src/wal/types.js';
import { simulate, type RunOptions } from './simulation.js';

/**
 * Proof that the simulator can fail: each test plants one bug that real systems have had, and the checks must find it.
 */

const MAX_RUNS = 150;

/** Runs seeds until one violates an invariant; returns the message. */
function firstViolation(
  options: Omit<RunOptions, 'seed' | 'simulatedMs'> & { simulatedMs?: number },
): string {
  for (let seed = 1; seed <= MAX_RUNS; seed++) {
    const { violation } = simulate({ simulatedMs: 45_000, ...options, seed });
    if (violation !== null) return violation.message;
  }
  return `none in ${MAX_RUNS} runs`;
}

/** Reports a write as durable before it is. */
function replyBeforeFsync(member: Member): void {
  const { wal } = member;
  const append = wal.append.bind(wal);
  wal.append = (batch: WalBatch, sync: boolean, done: Done): void => {
    append(batch, sync, () => undefined);
    member.env.defer(() => done(null));
  };
}

/** Commits an entry of an earlier term because a majority holds it (the paper's figure 8). */
function commitOldTermByCount(member: Member): void {
  const { raft } = member.node as unknown as {
    raft: { readonly tracker: Tracker; readonly log: RaftLog; readonly role: number };
  };
  const committed = raft.tracker.committed.bind(raft.tracker);
  raft.tracker.committed = () => {
    const index = committed();
    if (raft.role === 3 && index > raft.log.committed) raft.log.commitTo(index);
    return index;
  };
}

/** Lets a watcher that fell behind a compaction go on after it as if nothing were missing. */
function skipOverCompaction(member: Member): void {
  const catchUp = (member.hub as unknown as { catchUp: { source: Store } }).catchUp;
  const store = catchUp.source;
  const lying: Pick<Store, 'history'> & { compactRevision: number } = {
    compactRevision: -1,
    history: (from, to, maxBytes, done) => {
      store.history(Math.max(from, store.compactRevision), to, maxBytes, done);
    },
  };
  catchUp.source = new Proxy(store, {
    get: (target, name): unknown =>
      name in lying ? lying[name as keyof typeof lying] : Reflect.get(target, name, target),
  });
}

describe('planted bugs', function () {
  this.timeout(120_000);

  it('a reply before the fsync is found', () => {
    const found = firstViolation({
      sabotage: replyBeforeFsync,
      size: 1,
      tuning: { diskMeanMs: 30 },
      faults: { crashEveryMs: 1500 },
    });
    expect(found).to.match(/^(start|I\d+ |nothing acknowledged is lost)/);
  });

  it('a commit of an old-term entry by count is found', () => {
    // Figure 8 wants leaders that die between telling one follower and telling a majority, again and again.
    const found = firstViolation({
      sabotage: commitOldTermByCount,
      simulatedMs: 150_000,
      size: 5,
      tuning: {
        maxAppendBytes: 1,
        diskMeanMs: 1,
        preVote: false,
        advanceElection: false,
        heartbeatMs: 30,
        electionMs: 300,
        snapshotCount: 1000,
      },
      faults: {
        leaderCrashChance: 0.95,
        leaderCrashMs: 40,
        crashEveryMs: Infinity,
        maxDownMs: 2500,
        cutEveryMs: Infinity,
        pauseEveryMs: Infinity,
        network: { dropRate: 0.05, duplicateRate: 0, meanDelayMs: 30, reorderRate: 0 },
      },
    });
    expect(found).to.match(/^I[1-6] /);
  });

  it('a watch event lost at a compaction is found', () => {
    const found = firstViolation({
      sabotage: skipOverCompaction,
      size: 1,
      faults: { crashEveryMs: 1500 },
    });
    expect(found).to.match(/^I1[5678] /);
  });
});
