import { expect } from 'chai';
import { silentLogger, type LogFields, type Logger } from '../../../src/base/observe/logger.js';
import { ETCD_CLUSTER_VERSION } from '../../../src/base/flags/version.js';
import {
  decodeClusterVersionCommand,
  decodeMemberAttributesCommand,
} from '../../../src/gen/peer.js';
import type { RpcError } from '../../../src/rpc/service.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { errors } from '../../../src/server/contract/errors.js';
import { Publisher } from '../../../src/server/member/publisher.js';
import { FakeMember } from '../../support/fake-member.js';

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly fields: LogFields;
}

/** The publisher of a fake member. */
class Bench {
  readonly member = new FakeMember();
  readonly lines: Line[] = [];
  readonly cluster = { clusterId: 22n, clusterVersion: '' };
  readonly publisher: Publisher;
  published = 0;

  constructor() {
    const line =
      (level: string) =>
      (msg: string, fields: LogFields = {}): void =>
        void this.lines.push({ level, msg, fields });
    const log: Logger = {
      ...silentLogger,
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
    };
    const { env, memberId } = this.member;
    const { proposals, leadership } = this.member.roles;
    this.publisher = new Publisher({
      env,
      log,
      memberId,
      name: 'm1',
      clientUrls: ['http://m1:2379', 'http://m1:4001'],
      proposals,
      leadership,
      cluster: this.cluster,
      onPublished: () => this.published++,
    });
  }

  /** Commands proposed so far. */
  get proposed(): number {
    return this.member.proposed.length;
  }

  /** Ends the newest proposal. */
  settle(error: RpcError | null): void {
    const done = this.member.proposed.at(-1)?.done;
    if (error === null) done?.(null, new Uint8Array(0));
    else done?.(error, null);
  }
}

describe('Publisher', () => {
  it('publishes name and client URLs, and reports it once they are in the log', () => {
    const b = new Bench();
    b.publisher.publishAttributes();
    const [proposal] = b.member.proposed;
    expect(proposal?.kind).to.equal(CommandKind.memberAttributes);
    expect(decodeMemberAttributesCommand(proposal?.request ?? Buffer.alloc(0))).to.deep.equal({
      memberId: b.member.memberId,
      name: 'm1',
      clientUrls: ['http://m1:2379', 'http://m1:4001'],
    });
    expect(b.published).to.equal(0);
    b.settle(null);
    expect(b.published).to.equal(1);
    const [line] = b.lines;
    expect(line?.msg).to.equal('published local member to cluster through raft');
    expect(line?.fields).to.deep.equal({
      'local-member-id': b.member.memberId,
      'local-member-attributes': '{Name:m1 ClientURLs:[http://m1:2379 http://m1:4001]}',
      'cluster-id': 22n,
      'publish-timeout': '7s',
    });
    b.member.env.advance(10_000);
    expect(b.proposed).to.equal(1);
  });

  it('repeats a second after each failure, until the log holds the attributes', () => {
    const b = new Bench();
    b.publisher.publishAttributes();
    for (let failures = 1; failures < 4; failures++) {
      b.settle(errors.timeout);
      b.member.env.advance(999);
      expect(b.proposed).to.equal(failures);
      b.member.env.advance(1);
      expect(b.proposed).to.equal(failures + 1);
    }
    b.settle(null);
    expect(b.published).to.equal(1);
    expect(b.lines.map(({ level }) => level)).to.deep.equal(['debug', 'debug', 'debug', 'info']);
  });

  it('records the cluster version as leader, repeats after failures, and stops when it is known', () => {
    const b = new Bench();
    b.publisher.decideClusterVersion();
    const [proposal] = b.member.proposed;
    expect(proposal?.kind).to.equal(CommandKind.clusterVersion);
    const { version } = decodeClusterVersionCommand(proposal?.request ?? Buffer.alloc(0));
    expect(version).to.equal(ETCD_CLUSTER_VERSION);
    b.settle(errors.timeout);
    b.member.env.advance(1000);
    expect(b.proposed).to.equal(2);
    b.settle(errors.timeout);
    b.cluster.clusterVersion = ETCD_CLUSTER_VERSION;
    b.member.env.advance(1000);
    expect(b.proposed).to.equal(2);
    expect(b.lines.map(({ level }) => level)).to.deep.equal(['warn', 'warn']);
  });

  it('leaves the cluster version to the leader', () => {
    const b = new Bench();
    b.member.become('follower', 12n);
    b.publisher.decideClusterVersion();
    expect(b.proposed).to.equal(0);
    b.member.become('leader', 11n);
    b.publisher.decideClusterVersion();
    b.settle(errors.leaderChanged);
    b.member.become('follower', 12n);
    b.member.env.advance(1000);
    expect(b.proposed).to.equal(1);
  });

  it('proposes nothing after its stop, and waits for nothing', () => {
    const b = new Bench();
    b.publisher.publishAttributes();
    b.publisher.decideClusterVersion();
    b.publisher.stop();
    for (const { done } of b.member.proposed) done(errors.stopped, null);
    expect(b.member.env.timerCount).to.equal(0);
    b.publisher.publishAttributes();
    b.publisher.decideClusterVersion();
    expect(b.proposed).to.equal(2);
    expect(b.lines).to.deep.equal([]);
  });

  it('lets a repetition that was due at its stop pass', () => {
    const b = new Bench();
    b.publisher.publishAttributes();
    b.settle(errors.timeout);
    b.publisher.stop();
    b.member.env.advance(1000);
    expect(b.proposed).to.equal(1);
  });
});
