import { expect } from 'chai';
import { silentLogger, type LogFields, type Logger } from '../../../src/base/observe/logger.js';
import { LeaderWatch } from '../../../src/server/upkeep/leader-watch.js';
import { ManualEnv } from '../member/manual-env.js';

interface Line {
  readonly atMs: number;
  readonly msg: string;
  readonly fields: LogFields;
}

/** Member a among a, b and c; the test sets the leader and the reachable members. */
class Bench {
  readonly env = new ManualEnv();
  readonly lines: Line[] = [];
  readonly reachable = new Set<bigint>();
  readonly leadership: { leaderlessSinceMs: number | undefined } = { leaderlessSinceMs: 0 };
  readonly watch: LeaderWatch;

  constructor() {
    const log: Logger = {
      ...silentLogger,
      warn: (msg, fields = {}) => void this.lines.push({ atMs: this.env.nowMs, msg, fields }),
    };
    const member = (ID: bigint, name: string) => ({
      ID,
      name,
      peerURLs: [`http://${name}:2380`],
      clientURLs: [],
      isLearner: false,
    });
    this.watch = new LeaderWatch({
      env: this.env,
      log,
      leadership: this.leadership,
      cluster: {
        memberId: 1n,
        members: () => [member(1n, 'a'), member(2n, 'b'), member(3n, 'c')],
      },
      isReachable: (id) => this.reachable.has(id),
    });
    this.watch.start();
  }

  get times(): number[] {
    return this.lines.map((line) => line.atMs / 1000);
  }
}

describe('LeaderWatch', () => {
  it('logs every 30 s since when there is no leader, the unreachable peers and the next step', () => {
    const bench = new Bench();
    bench.reachable.add(2n);
    bench.env.advance(95_000);
    expect(bench.times).deep.equal([30, 60, 90]);
    const [first] = bench.lines;
    expect(first?.fields).include({ since: '1970-01-01T00:00:00.000Z', seconds: 30, members: 3 });
    expect(first?.fields['unreachable']).deep.equal(['c http://c:2380']);
    expect(first?.fields['next']).match(/--initial-cluster-token/);
    bench.reachable.add(3n);
    bench.env.advance(30_000);
    expect(bench.lines.at(-1)?.fields['next']).match(/all are reachable/);
  });

  it('is silent while there is a leader, and counts from its loss', () => {
    const bench = new Bench();
    bench.leadership.leaderlessSinceMs = undefined;
    bench.env.advance(100_000);
    expect(bench.times).deep.equal([]);
    bench.leadership.leaderlessSinceMs = 100_000;
    bench.env.advance(31_000);
    expect(bench.times).deep.equal([130]);
  });

  it('logs nothing after it was stopped', () => {
    const bench = new Bench();
    bench.watch.stop();
    bench.env.advance(100_000);
    expect(bench.times).deep.equal([]);
  });
});
