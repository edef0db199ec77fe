import { expect } from 'chai';

import { decodePutResponse, encodePutRequest } from '../../src/gen/rpc.js';
import { bootstrapClusterId, bootstrapMemberId } from '../../src/server/config/ids.js';
import { Checker } from './checker.js';
import { callUnary } from './clients.js';
import { Host } from './host.js';
import { Network } from './network.js';
import { Random, Scheduler } from './scheduler.js';

const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1);

/** Records what a process dies of; one history for all is not to be had here. */
class FatalRecorder extends Checker {
  override onStart(): void {}
  override onSend(): void {}
}

/** Three whole members on simulated machines. */
class Cluster {
  readonly scheduler = new Scheduler();
  readonly checker: FatalRecorder;
  readonly network: Network;
  readonly hosts: readonly Host[];

  constructor(seed: number) {
    const { scheduler } = this;
    this.checker = new FatalRecorder(scheduler, new Random(seed, 'checker'));
    this.network = new Network(scheduler, new Random(seed, 'network'));
    const urls = [0, 1, 2].map((i) => `http://m${i}:2380`);
    const ids = urls.map((url) => bootstrapMemberId([url], 'rollback'));
    const members = ids.map((id, i) => ({ id, name: `m${i}`, peerURLs: [urls[i] ?? ''] }));
    const clusterId = bootstrapClusterId([...ids].sort((a, b) => (a < b ? -1 : 1)));
    const draw = new Random(seed, 'config');
    this.hosts = ids.map(
      (id, i) =>
        new Host({
          id,
          name: `m${i}`,
          scheduler,
          random: new Random(seed, `host${i}`),
          network: this.network,
          checker: this.checker,
          tuning: {
            heartbeatMs: 100,
            electionMs: 1000,
            snapshotCount: draw.pick([5, 1000]),
            catchupEntries: 1000,
            segmentBytes: 8 * 1024,
            maxAppendBytes: draw.pick([1, 1024 * 1024]),
            diskMeanMs: 1,
            engineMeanMs: 0.2,
            preVote: true,
            advanceElection: false,
          },
          bootstrap: { memberId: id, clusterId, members },
        }),
    );
    for (const host of this.hosts) host.start();
  }

  /** Lets the cluster run until `isDone`. */
  until(what: string, isDone: () => boolean): void {
    const { scheduler } = this;
    const deadline = scheduler.now + 60_000;
    while (!isDone()) {
      if (scheduler.now > deadline) throw new Error(`60 simulated seconds without ${what}`);
      scheduler.run(scheduler.now + 50);
    }
  }

  leader(): Host {
    let found: Host | undefined;
    this.until('a leader', () => {
      found = this.hosts.find((h) => h.member?.leadership.isLeader === true);
      return found !== undefined;
    });
    return found as Host;
  }

  /** Puts a value until it is acknowledged; returns the revision. */
  put(key: string, value: string): number {
    let revision = 0;
    while (revision === 0) {
      let isOver = false;
      const request = encodePutRequest({ key: Buffer.from(key), value: Buffer.from(value) });
      callUnary(this.scheduler, this.leader(), '/etcdserverpb.KV/Put', request, (_error, reply) => {
        isOver = true;
        if (reply !== null) revision = decodePutResponse(reply).header?.revision ?? 0;
      });
      this.until('an answer', () => isOver);
    }
    return revision;
  }

  settle(): void {
    this.scheduler.run(this.scheduler.now + 3000);
  }
}

describe('a whole member rolled back to an older copy of its data', function () {
  this.timeout(60_000);

  it('ends in a stop of the witness with the finding', () => {
    for (const seed of SEEDS) {
      const cluster = new Cluster(seed);
      const witness = cluster.leader();
      const [rolledBack, other] = cluster.hosts.filter((h) => h !== witness) as [Host, Host];
      cluster.put('a', 'before');
      cluster.settle();
      rolledBack.copyData();
      cluster.network.cutLink(witness.id, other.id);
      cluster.network.cutLink(other.id, witness.id);
      for (let i = 0; i < 3; i++) cluster.put('a', `acknowledged ${i}`);
      cluster.settle();
      witness.kill();
      rolledBack.kill();
      rolledBack.rollBackData();
      rolledBack.start();
      cluster.network.heal();
      for (let i = 0; i < 3; i++) cluster.put('b', `in its place ${i}`);
      expect(cluster.checker.violation, `seed ${seed}`).to.equal(null);
      witness.start();
      cluster.until('a finding', () => cluster.checker.violation !== null);
      expect(cluster.checker.violation?.message, `seed ${seed}`).to.match(
        new RegExp(
          `${witness.name}: this member's log contradicts its cluster: entry \\d+ is committed here with term \\d+, ` +
            'but the log of [0-9a-f]+, the leader of term \\d+, has term \\d+ at entry \\d+\\. ' +
            'This member or the cluster was restored from an older copy of its data',
        ),
      );
      expect(rolledBack.isRunning && other.isRunning, `seed ${seed}`).to.equal(true);
    }
  });
});
