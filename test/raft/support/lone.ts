import { RawNode } from '../../../src/raft/raw-node.js';
import { EntryType, message, MessageType, Role } from '../../../src/raft/types.js';
import type {
  Entry,
  HardState,
  MemberId,
  Message,
  RaftConfig,
  RaftInitialState,
  Ready,
} from '../../../src/raft/types.js';

/** One member whose peers are played by the test. Its disk is instant unless `hold` is set. */
export class Lone {
  readonly node: RawNode;
  readonly sent: Message[] = [];
  readonly appliedEntries: Entry[] = [];
  readonly written: Entry[] = [];
  readonly hardStates: HardState[] = [];
  syncs = 0;
  hold = false;
  private readonly held: Ready[] = [];

  constructor(setup: LoneSetup = {}) {
    this.node = new RawNode({ ...DEFAULTS, ...setup.config }, initialState(setup));
  }

  get id(): MemberId {
    return 1n;
  }

  /** Does the work of every Ready and returns the messages sent meanwhile. */
  pump(): Message[] {
    const from = this.sent.length;
    while (this.node.hasReady()) {
      const rd = this.node.ready();
      this.sent.push(...rd.messages);
      this.held.push(rd);
      if (!this.hold) this.release();
      const last = rd.committed[rd.committed.length - 1];
      this.appliedEntries.push(...rd.committed);
      if (last !== undefined) this.node.applied(last.index);
    }
    return this.sent.slice(from);
  }

  /** Completes the writes handed out so far. */
  release(): void {
    for (const rd of this.held.splice(0)) {
      const last = rd.entries[rd.entries.length - 1];
      this.written.push(...rd.entries);
      if (rd.hardState !== null) this.hardStates.push(rd.hardState);
      if (rd.mustSync) {
        this.syncs++;
        this.node.synced(last?.index ?? 0, last?.term ?? rd.hardState?.term ?? 0);
      }
      this.sent.push(...rd.messagesAfterSync);
    }
  }

  step(type: MessageType, from: bigint, fields: Partial<Message> = {}): Message[] {
    this.node.step(message(type, this.id, { from, term: this.node.term, ...fields }));
    return this.pump();
  }

  tick(times: number): Message[] {
    const from = this.sent.length;
    for (let i = 0; i < times; i++) {
      this.node.tick();
      this.pump();
    }
    return this.sent.slice(from);
  }

  /** Makes the member leader of the next term by playing the other voters. */
  elect(): void {
    const voters = this.node.status().confState.voters;
    this.node.campaign();
    this.pump();
    for (const v of voters) {
      if (v !== this.id && this.node.role === Role.preCandidate) {
        this.step(MessageType.preVoteResponse, v, { term: this.node.term + 1 });
      }
    }
    for (const v of voters) {
      if (v !== this.id && this.node.role === Role.candidate)
        this.step(MessageType.voteResponse, v);
    }
  }
}

export interface LoneSetup {
  readonly voters?: number;
  readonly learners?: readonly bigint[];
  /** Terms of the entries the log begins with. */
  readonly log?: readonly number[];
  readonly term?: number;
  readonly vote?: bigint;
  readonly commit?: number;
  readonly applied?: number;
  readonly compacted?: { readonly index: number; readonly term: number };
  readonly config?: Partial<RaftConfig>;
}

const DEFAULTS: RaftConfig = {
  id: 1n,
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: false,
  checkQuorum: false,
  maxAppendBytes: 1 << 20,
  maxInflightMessages: 256,
  maxInflightBytes: 1 << 26,
  maxUncommittedBytes: 1 << 26,
  maxCommittedBytesPerReady: 1 << 26,
  incarnation: 1,
  random: () => 0,
};

export function entriesOf(terms: readonly number[], after = 0): Entry[] {
  return terms.map((term, i) => ({
    term,
    index: after + i + 1,
    type: EntryType.normal,
    data: Uint8Array.of(term, i),
  }));
}

export function initialState(setup: LoneSetup): RaftInitialState {
  const log = setup.log ?? [];
  const compacted = setup.compacted ?? { index: 0, term: 0 };
  const voters = Array.from({ length: setup.voters ?? 3 }, (_, i) => BigInt(i + 1));
  return {
    hardState: {
      term: setup.term ?? log[log.length - 1] ?? compacted.term,
      vote: setup.vote ?? 0n,
      commit: setup.commit ?? compacted.index,
    },
    confState: { voters, learners: setup.learners ?? [] },
    compactedIndex: compacted.index,
    compactedTerm: compacted.term,
    entries: entriesOf(log, compacted.index),
    applied: setup.applied ?? compacted.index,
  };
}
