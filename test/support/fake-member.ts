import { encodeResponseHeader } from '../../src/gen/rpc.js';
import { Lessor } from '../../src/lease/lessor.js';
import { WatchHub } from '../../src/watch/hub.js';
import type { RpcError } from '../../src/rpc/service.js';
import type { CommandKind } from '../../src/server/contract/command.js';
import type {
  HeaderFields,
  PeerRequest,
  ReplyCallback,
  Roles,
} from '../../src/server/contract/roles.js';
import { SlicedWork } from '../../src/base/slices/sliced-work.js';
import { FakeEnv, FakeSource } from '../watch/fakes.js';

export interface Proposed {
  readonly kind: CommandKind;
  readonly request: Uint8Array;
  readonly done: ReplyCallback;
}

type PeerAnswer = (error: Error | null, reply: Uint8Array | null) => void;

export interface Asked {
  readonly to: bigint;
  readonly kind: PeerRequest;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly done: PeerAnswer;
}

/** A member whose consensus is driven by the test. */
export class FakeMember {
  readonly env = new FakeEnv();
  readonly source = new FakeSource();
  readonly memberId = 11n;
  readonly clusterId = 22n;
  readonly lessor = new Lessor({ minTtlSec: 2 });
  readonly hub = new WatchHub({ env: this.env, source: this.source });
  readonly slices = new SlicedWork(this.env);
  readonly electionMs = 1000;
  readonly requestTimeoutMs = 7000;
  isLeader = true;
  leaderId = 11n;
  term = 3;
  committedIndex = 10;
  appliedIndex = 10;
  leaderlessSinceMs: number | undefined = undefined;

  /** Linearizable reads waiting; answered at once unless held. */
  readonly heldReads: ((error: RpcError | null) => void)[] = [];
  holdReads = false;
  readCount = 0;
  readonly proposed: Proposed[] = [];
  /** Answers a proposal at once, if set. */
  onPropose: ((proposal: Proposed) => void) | undefined = undefined;
  readonly asked: Asked[] = [];
  onAsk: ((asked: Asked) => void) | undefined = undefined;

  readonly roles: Roles;

  constructor() {
    this.roles = this.createRoles();
  }

  private createRoles(): Roles {
    const { env, lessor, hub, slices } = this;
    return {
      env,
      lessor,
      hub,
      // Its counters and its identity live in the fake itself, where a test changes them.
      leadership: this,
      cluster: {
        clusterId: this.clusterId,
        memberId: this.memberId,
        isLearner: false,
        clusterVersion: '3.6.0',
        members: () => [],
      },
      alarms: { list: () => [] },
      quota: { quotaBytes: Infinity },
      headers: {
        fields: (revision) => this.header(revision),
        field: (revision) => this.headerField(revision),
      },
      proposals: {
        timeoutMs: this.requestTimeoutMs,
        propose: (kind, request, done) => this.propose(kind, request, done),
      },
      reads: {
        store: this.source as unknown as Roles['reads']['store'],
        slices,
        linearizable: (done) => this.linearizable(done),
        whenReadable: (done) => done(),
      },
      peers: {
        request: (to, kind, body, timeoutMs, done) => {
          const asked = { to, kind, body, timeoutMs, done };
          this.asked.push(asked);
          this.onAsk?.(asked);
        },
      },
    };
  }

  private header(revision: number = this.source.currentRevision): HeaderFields {
    const { clusterId, memberId, term: raftTerm } = this;
    return { clusterId, memberId, revision, raftTerm };
  }

  private headerField(revision: number): Uint8Array {
    const content = encodeResponseHeader(this.header(revision));
    return Buffer.concat([Uint8Array.of(0x0a, content.length), content]);
  }

  private propose(kind: CommandKind, request: Uint8Array, done: ReplyCallback): void {
    const proposal = { kind, request: Uint8Array.from(request), done };
    this.proposed.push(proposal);
    this.onPropose?.(proposal);
  }

  private linearizable(done: (error: RpcError | null) => void): void {
    this.readCount++;
    if (this.holdReads) this.heldReads.push(done);
    else done(null);
  }

  become(role: 'leader' | 'follower', leaderId: bigint): void {
    this.isLeader = role === 'leader';
    this.leaderId = leaderId;
    if (this.isLeader) this.lessor.promote(this.env.nowMs, this.electionMs);
    else this.lessor.demote();
  }
}
