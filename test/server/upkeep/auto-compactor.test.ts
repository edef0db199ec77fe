import { expect } from 'chai';
import { decodeCompactionRequest } from '../../../src/gen/rpc.js';
import type { RpcError } from '../../../src/rpc/service.js';
import { AutoCompactor, type CompactorRoles } from '../../../src/server/upkeep/auto-compactor.js';
import type { AutoCompaction } from '../../../src/server/config/compaction-retention.js';
import { errors } from '../../../src/server/contract/errors.js';
import { silentLogger, type LogFields } from '../../../src/base/observe/logger.js';
import type { ReplyCallback } from '../../../src/server/contract/roles.js';
import { ManualEnv } from '../member/manual-env.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A member that writes one revision a minute, and what was compacted when. */
class Bench {
  readonly env = new ManualEnv();
  readonly compactions: { readonly atMin: number; readonly revision: number }[] = [];
  readonly lines: [msg: string, fields: LogFields][] = [];
  isLeader = true;
  refusal: RpcError | null = null;
  revisionsPerMinute = 1;
  private readonly compactor: AutoCompactor;

  constructor(mode: AutoCompaction) {
    const { env } = this;
    const revision = (): number =>
      1 + Math.floor((env.nowMs / MINUTE_MS) * this.revisionsPerMinute);
    const isLeader = (): boolean => this.isLeader;
    const propose = (_kind: number, request: Uint8Array, done: ReplyCallback): void => {
      this.compactions.push({
        atMin: env.nowMs / MINUTE_MS,
        revision: decodeCompactionRequest(request).revision,
      });
      if (this.refusal === null) done(null, new Uint8Array(0));
      else done(this.refusal, null);
    };
    const roles = {
      env,
      reads: {
        store: {
          get currentRevision(): number {
            return revision();
          },
        },
      },
      leadership: {
        get isLeader(): boolean {
          return isLeader();
        },
      },
      proposals: { propose },
    } as unknown as CompactorRoles;
    const note = (msg: string, fields: LogFields = {}): void => {
      this.lines.push([msg, fields]);
    };
    this.compactor = new AutoCompactor(roles, mode, { ...silentLogger, info: note, warn: note });
    this.compactor.start();
  }

  stop(): void {
    this.compactor.stop();
  }
}

function periodic(retentionMs: number): Bench {
  return new Bench({ mode: 'periodic', retentionMs });
}

describe('AutoCompactor', () => {
  it('periodic: compacts after the period to the revision at its beginning, then every interval', () => {
    const b = periodic(30 * MINUTE_MS);
    b.env.advance(30 * MINUTE_MS - 1);
    expect(b.compactions).to.deep.equal([]);
    b.env.advance(61 * MINUTE_MS);
    expect(b.compactions).to.deep.equal([
      { atMin: 30, revision: 1 },
      { atMin: 60, revision: 31 },
      { atMin: 90, revision: 61 },
    ]);
  });

  it('periodic: beyond an hour compacts hourly, always to the revision one period ago', () => {
    const b = periodic(5 * HOUR_MS);
    b.env.advance(5 * HOUR_MS - 1);
    expect(b.compactions).to.deep.equal([]);
    b.env.advance(2 * HOUR_MS + 1);
    expect(b.compactions).to.deep.equal([
      { atMin: 300, revision: 1 },
      { atMin: 360, revision: 61 },
      { atMin: 420, revision: 121 },
    ]);
  });

  it('periodic: a refused compaction is tried again a tenth of the interval later', () => {
    const b = periodic(10 * MINUTE_MS);
    b.refusal = errors.timeout;
    b.env.advance(10 * MINUTE_MS);
    b.refusal = null;
    b.env.advance(11 * MINUTE_MS);
    expect(b.compactions).to.deep.equal([
      { atMin: 10, revision: 1 },
      { atMin: 11, revision: 2 },
      { atMin: 21, revision: 12 },
    ]);
  });

  it('periodic: a revision that another client compacted already is done', () => {
    const b = periodic(10 * MINUTE_MS);
    b.refusal = errors.compacted;
    b.env.advance(25 * MINUTE_MS);
    expect(b.compactions.map((c) => c.atMin)).to.deep.equal([10, 20]);
  });

  it('periodic: without changes there is nothing to compact again', () => {
    const b = periodic(10 * MINUTE_MS);
    b.revisionsPerMinute = 0;
    b.env.advance(45 * MINUTE_MS);
    expect(b.compactions).to.deep.equal([{ atMin: 10, revision: 1 }]);
  });

  it('periodic: a follower proposes nothing, but compacts at its next sample as the leader', () => {
    const b = periodic(10 * MINUTE_MS);
    b.isLeader = false;
    b.env.advance(25 * MINUTE_MS);
    expect(b.compactions).to.deep.equal([]);
    b.isLeader = true;
    b.env.advance(1 * MINUTE_MS);
    expect(b.compactions).to.deep.equal([{ atMin: 26, revision: 17 }]);
  });

  it('revision: every five minutes keeps the last revisions', () => {
    const b = new Bench({ mode: 'revision', retentionRevisions: 7 });
    b.env.advance(5 * MINUTE_MS);
    // 6 - 7 is nothing to compact.
    expect(b.compactions).to.deep.equal([]);
    b.env.advance(10 * MINUTE_MS);
    expect(b.compactions).to.deep.equal([
      { atMin: 10, revision: 4 },
      { atMin: 15, revision: 9 },
    ]);
    b.revisionsPerMinute = 0;
    b.env.advance(20 * MINUTE_MS);
    expect(b.compactions).to.have.length(2);
  });

  it("logs each compaction with etcd's lines", () => {
    const b = periodic(10 * MINUTE_MS);
    b.env.advance(10 * MINUTE_MS);
    const ofPeriod = { revision: 1, 'compact-period': '10m0s' };
    expect(b.lines.splice(0)).to.deep.equal([
      ['starting auto periodic compaction', ofPeriod],
      ['completed auto periodic compaction', { ...ofPeriod, took: '0µs' }],
    ]);
    b.refusal = errors.noLeader;
    b.env.advance(10 * MINUTE_MS);
    expect(b.lines[1]).to.deep.equal([
      'failed auto periodic compaction',
      { ...ofPeriod, revision: 11, error: 'etcdserver: no leader' },
    ]);
    const byRevision = new Bench({ mode: 'revision', retentionRevisions: 7 });
    byRevision.env.advance(10 * MINUTE_MS);
    expect(byRevision.lines.map(([msg]) => msg)).to.deep.equal([
      'starting auto revision compaction',
      'completed auto revision compaction',
    ]);
    expect(byRevision.lines[0]?.[1]).to.deep.equal({
      revision: 4,
      'revision-compaction-retention': 7,
    });
  });

  it('does nothing when off, and nothing after its end', () => {
    const off = new Bench({ mode: 'off' });
    expect(off.env.waiting).to.equal(0);
    const b = periodic(10 * MINUTE_MS);
    b.stop();
    b.env.advance(HOUR_MS);
    expect(b.compactions).to.deep.equal([]);
    expect(b.env.waiting).to.equal(0);
  });
});
