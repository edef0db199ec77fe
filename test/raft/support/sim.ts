import { RawNode } from '../../../src/raft/raw-node.js';
import { ConfChangeType, EntryType, MessageType, Role } from '../../../src/raft/types.js';
import type {
  ConfChange,
  ConfState,
  Contradiction,
  Entry,
  HardState,
  MemberId,
  Message,
  RaftConfig,
  ProposeResult,
  Ready,
  SnapshotMeta,
} from '../../../src/raft/types.js';
import { Random } from './random.js';

/*
 * A whole cluster in one thread, driven by one seed: an unreliable network, disks that lose
 * unsynced writes, state machines that lag, membership that changes. The invariants of the
 * algorithm are checked after every event.
 */

/** A membership change as the payload of an entry. */
function encodeChange(change: ConfChange): Uint8Array {
  return Uint8Array.of(change.type, Number(change.memberId));
}

function decodeChange(data: Uint8Array): ConfChange {
  const type = data[0] ?? 0;
  return {
    type: type as ConfChange['type'],
    memberId: BigInt(data[1] ?? 0),
    context: new Uint8Array(0),
  };
}

/** State of one member that survives its crash. */
interface Platter {
  hardState: HardState;
  compactedIndex: number;
  compactedTerm: number;
  entries: Entry[];
  /** The state machine: how far it got, the membership there and a hash of everything applied. */
  applied: number;
  conf: ConfState;
  hash: number;
}

interface Write {
  readonly hardState: HardState | null;
  readonly entries: readonly Entry[];
  readonly snapshot: SnapshotMeta | null;
  readonly after: readonly Message[];
  readonly report: { readonly index: number; readonly term: number } | null;
}

export interface SimNode {
  readonly id: MemberId;
  core: RawNode | null;
  disk: Platter;
  /** An older state of the disk, for a rollback. */
  copy: Platter | null;
  /** Reason for which the member stopped for good. */
  contradiction: Contradiction | null;
  writes: Write[];
  toApply: Entry[];
  applied: number;
  conf: ConfState;
  hash: number;
  seenTerm: number;
  seenCommit: number;
  /** `index/term` of every entry that was ever durable here. */
  readonly everDurable: Set<string>;
}

export class Violation extends Error {}

function check(condition: boolean, text: string): asserts condition {
  if (!condition) throw new Violation(text);
}

export interface SimOptions {
  readonly seed: number;
  readonly members: number;
  readonly spares: number;
  readonly preVote: boolean;
  readonly churn: boolean;
  /** Bounds in place of drawn ones. */
  readonly limits?: Limits;
  /** Messages are injected that no correct member sends. */
  readonly injects?: boolean;
  /** Every member draws the shortest election timeout. */
  readonly fixedTimeouts?: boolean;
  /** Sees every Ready taken and every message sent. */
  readonly onReady?: (id: MemberId, ready: Ready) => void;
  readonly onSend?: (message: Message) => void;
}

export interface Limits {
  readonly append: number;
  readonly inflight: number;
  readonly committed: number;
  readonly uncommitted: number;
}

export class Sim {
  readonly random: Random;
  readonly nodes = new Map<MemberId, SimNode>();
  readonly network: Message[] = [];
  /** cut.has(`a>b`): messages from a to b are lost. */
  readonly cut = new Set<string>();
  /** Members removed, and the index of the entry that did it. */
  readonly removed = new Map<MemberId, number>();
  readonly leaders = new Map<number, MemberId>();
  /** Term and hash of everything ever committed, by index. */
  readonly committedTerms: number[] = [0];
  /** Term of the leader that committed the entry; a leader of that or an earlier term need not have it. */
  readonly committedIn: number[] = [0];
  readonly hashes: number[] = [0];
  maxCommit = 0;
  commits = 0;
  readsAnswered = 0;
  snapshotsInstalled = 0;
  changesApplied = 0;
  crashes = 0;
  private readonly options: SimOptions;
  private readonly limits: Limits;
  private readonly hotEntries: number;
  /** Some member lost what it had acknowledged. */
  isRolledBack = false;
  private boot = 1;
  private serial = 0;
  private readContext = 0;
  /** Context to (node and incarnation count, lowest permissible index). */
  private readonly reads = new Map<number, { node: MemberId; floor: number }>();

  constructor(options: SimOptions) {
    this.options = options;
    this.random = new Random(options.seed);
    const r = this.random;
    this.limits = options.limits ?? {
      append: r.pick([1, 60, 200, 1 << 20]) ?? 1,
      inflight: r.pick([1, 2, 8, 256]) ?? 1,
      committed: r.pick([1, 100, 1 << 20]) ?? 1,
      uncommitted: r.pick([200, 1 << 20]) ?? 200,
    };
    this.hotEntries = options.limits === undefined ? (r.pick([0, 1, 5, 512]) ?? 0) : 0;
    const voters = Array.from({ length: options.members }, (_, i) => BigInt(i + 1));
    for (let i = 1; i <= options.members + options.spares; i++) {
      const conf: ConfState =
        i <= options.members ? { voters, learners: [] } : { voters: [], learners: [] };
      const node: SimNode = {
        id: BigInt(i),
        core: null,
        copy: null,
        contradiction: null,
        disk: {
          hardState: { term: 0, vote: 0n, commit: 0 },
          compactedIndex: 0,
          compactedTerm: 0,
          entries: [],
          applied: 0,
          conf,
          hash: 0,
        },
        writes: [],
        toApply: [],
        applied: 0,
        conf,
        hash: 0,
        seenTerm: 0,
        seenCommit: 0,
        everDurable: new Set(),
      };
      this.nodes.set(node.id, node);
      this.start(node);
    }
  }

  list(): SimNode[] {
    return [...this.nodes.values()];
  }

  live(): SimNode[] {
    return this.list().filter((n) => n.core !== null);
  }

  leaderNode(): SimNode | undefined {
    let best: SimNode | undefined;
    for (const n of this.live()) {
      if (n.core?.role === Role.leader && n.core.term >= (best?.core?.term ?? 0)) best = n;
    }
    return best;
  }

  start(node: SimNode): void {
    const { disk } = node;
    const config: RaftConfig = {
      id: node.id,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: this.options.preVote,
      checkQuorum: true,
      maxAppendBytes: this.limits.append,
      maxInflightMessages: this.limits.inflight,
      maxInflightBytes: 1 << 20,
      maxUncommittedBytes: this.limits.uncommitted,
      maxCommittedBytesPerReady: this.limits.committed,
      hotEntries: this.hotEntries,
      incarnation: this.boot++,
      random: (n) => (this.options.fixedTimeouts === true ? 0 : this.random.below(n)),
    };
    node.core = new RawNode(config, {
      hardState: disk.hardState,
      confState: disk.conf,
      compactedIndex: disk.compactedIndex,
      compactedTerm: disk.compactedTerm,
      entries: disk.entries,
      applied: disk.applied,
    });
    node.applied = disk.applied;
    node.conf = disk.conf;
    node.hash = disk.hash;
    node.seenTerm = disk.hardState.term;
    node.seenCommit = 0;
    this.observe(node);
  }

  /** Stops a member; of the writes not yet reported a prefix may have reached the disk. */
  crash(node: SimNode): void {
    if (node.core === null) return;
    this.crashes++;
    let kept = this.random.below(node.writes.length + 1);
    for (const w of node.writes) {
      if (kept-- <= 0) break;
      this.persist(node, w);
    }
    node.writes = [];
    node.toApply = [];
    node.core = null;
  }

  /** Remembers the state of a disk, as an operator's copy of the data directory does. */
  copy(node: SimNode): void {
    node.copy = { ...node.disk };
  }

  /**
   * Replaces the disk of a stopped member by its copy. Its later messages break promises of the
   * algorithm, so from here on only the promises of a single member are checked.
   */
  rollBack(node: SimNode): void {
    if (node.copy === null || node.core !== null) throw new Error('nothing to roll back to');
    node.disk = { ...node.copy };
    this.isRolledBack = true;
  }

  tick(node: SimNode): void {
    node.core?.tick();
    this.observe(node);
  }

  propose(node: SimNode, count: number, size?: number): ProposeResult {
    if (node.core === null) return 'no-leader';
    const data: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      this.serial++;
      const payload = new Uint8Array(size ?? 4 + this.random.below(40));
      new DataView(payload.buffer).setUint32(0, this.serial);
      data.push(payload);
    }
    const result = node.core.propose(data);
    this.observe(node);
    return result;
  }

  read(node: SimNode): number {
    const context = ++this.readContext;
    if (node.core === null) return 0;
    this.reads.set(context, { node: node.id, floor: this.maxCommit });
    if (!node.core.readIndex(context)) this.reads.delete(context);
    this.observe(node);
    return context;
  }

  isReadPending(context: number): boolean {
    return this.reads.has(context);
  }

  change(node: SimNode, change: ConfChange): ProposeResult {
    const result = node.core?.proposeConfChange(change, encodeChange(change)) ?? 'no-leader';
    this.observe(node);
    return result;
  }

  /** Takes one Ready and queues the work in it. */
  takeReady(node: SimNode): Ready | undefined {
    const { core } = node;
    if (core === null || !core.hasReady()) return undefined;
    const rd = core.ready();
    this.checkReady(node, rd);
    this.options.onReady?.(node.id, rd);
    if (rd.contradiction !== null) {
      this.halt(node, rd.contradiction);
      return rd;
    }
    for (const m of rd.messages) this.send(node, m);
    if (rd.hardState !== null || rd.entries.length > 0 || rd.snapshot !== null) {
      const last = rd.entries[rd.entries.length - 1];
      node.writes.push({
        hardState: rd.hardState,
        entries: rd.entries,
        snapshot: rd.snapshot,
        after: rd.messagesAfterSync,
        report: rd.mustSync
          ? { index: last?.index ?? 0, term: last?.term ?? rd.hardState?.term ?? 0 }
          : null,
      });
    } else {
      for (const m of rd.messagesAfterSync) this.send(node, m);
    }
    for (const e of rd.committed) node.toApply.push(e);
    for (const state of rd.readStates) {
      const read = this.reads.get(state.context);
      if (read === undefined) continue;
      check(read.node === node.id, `read ${state.context} answered on the wrong member`);
      check(
        state.index >= read.floor,
        `I11 read ${state.context} got index ${state.index}, but ${read.floor} was committed before it began`,
      );
      this.reads.delete(state.context);
      this.readsAnswered++;
    }
    this.observe(node);
    return rd;
  }

  private halt(node: SimNode, found: Contradiction): void {
    const isPossible = this.isRolledBack || this.options.injects === true;
    check(isPossible, `${node.id} found a contradiction (${found.kind}) in a correct history`);
    node.contradiction = found;
    node.writes = [];
    node.toApply = [];
    node.core = null;
  }

  /** Completes the oldest write of a member. */
  finishWrite(node: SimNode): boolean {
    const { core } = node;
    const w = node.writes.shift();
    if (core === null || w === undefined) return false;
    this.persist(node, w);
    if (w.snapshot !== null) {
      this.snapshotsInstalled++;
      node.toApply = [];
      node.applied = node.disk.applied;
      node.conf = node.disk.conf;
      node.hash = node.disk.hash;
      core.snapshotInstalled(w.snapshot);
    }
    if (w.report !== null) core.synced(w.report.index, w.report.term);
    for (const m of w.after) this.send(node, m);
    this.observe(node);
    return true;
  }

  applyOne(node: SimNode): boolean {
    const { core } = node;
    const e = node.toApply.shift();
    if (core === null || e === undefined) return false;
    check(e.index === node.applied + 1, `I6 ${node.id} applies ${e.index} after ${node.applied}`);
    node.hash = mix(node.hash, e);
    node.applied = e.index;
    const known = this.hashes[e.index];
    if (known === undefined) this.hashes[e.index] = node.hash;
    else check(this.isRolledBack || known === node.hash, `I6 ${node.id} diverges at ${e.index}`);
    if (e.type === EntryType.confChange) {
      const change = decodeChange(e.data);
      const isRemoval = change.type === ConfChangeType.removeMember;
      // Ids are never used again (R34): a member answers such a change with null, wherever it applies it.
      const isReuse = !isRemoval && (this.removed.get(change.memberId) ?? Infinity) < e.index;
      const before = node.conf;
      node.conf = core.applyConfChange(isReuse ? null : change);
      this.changesApplied++;
      if (isRemoval && before !== node.conf && !this.removed.has(change.memberId)) {
        this.removed.set(change.memberId, e.index);
      }
    }
    core.applied(e.index);
    this.observe(node);
    return true;
  }

  /** The state machine reaches the disk; the log before it may go. */
  checkpoint(node: SimNode, keep: number): void {
    const { core, disk } = node;
    if (core === null || node.writes.some((w) => w.snapshot !== null)) return;
    if (node.applied <= disk.applied) return;
    disk.applied = node.applied;
    disk.conf = node.conf;
    disk.hash = node.hash;
    const to = Math.max(disk.compactedIndex, disk.applied - keep);
    const term = core.termAt(to);
    if (to <= disk.compactedIndex || term === undefined) return;
    check(
      to <= disk.compactedIndex + disk.entries.length,
      `R32 ${node.id} applied what is not durable`,
    );
    disk.entries = disk.entries.filter((e) => e.index > to);
    disk.compactedIndex = to;
    disk.compactedTerm = term;
    core.compactLog(to);
  }

  deliver(at: number, keep: boolean): void {
    const m = this.network[at];
    if (m === undefined) return;
    if (!keep) {
      const last = this.network.pop();
      if (at < this.network.length && last !== undefined) this.network[at] = last;
    }
    this.receive(m);
  }

  lose(at: number): void {
    this.network.splice(at, 1);
  }

  /** A transport always reports in the end that a snapshot did not arrive. */
  reportLostSnapshots(): void {
    for (const node of this.live()) {
      for (const peer of this.nodes.keys()) node.core?.reportSnapshot(peer, false);
    }
  }

  /** Hands a message over although the network would not. */
  inject(m: Message): void {
    const node = this.nodes.get(m.to);
    if (node === undefined) return;
    node.core?.step(m);
    this.observe(node);
  }

  private receive(m: Message): void {
    const node = this.nodes.get(m.to);
    if (node?.core === null || node === undefined || this.cut.has(`${m.from}>${m.to}`)) return;
    // A transport refuses removed members once the removal is applied.
    if ((this.removed.get(m.from) ?? Infinity) <= node.applied) return;
    node.core.step(m);
    this.observe(node);
    if (
      m.type === MessageType.snapshot &&
      this.options.limits === undefined &&
      this.random.chance(700)
    ) {
      this.nodes.get(m.from)?.core?.reportSnapshot(m.to, true);
    }
  }

  /** Lets everything that is possible among `ids` (everybody) happen, in order, until nothing is left. */
  settle(ids?: readonly MemberId[]): void {
    for (let quiet = false; !quiet;) {
      quiet = true;
      for (const node of this.live()) {
        if (ids !== undefined && !ids.includes(node.id)) continue;
        while (this.takeReady(node) !== undefined) quiet = false;
        while (this.finishWrite(node)) quiet = false;
        while (this.applyOne(node)) quiet = false;
      }
      const batch = this.network.splice(0);
      for (const m of batch) {
        if (ids !== undefined && !ids.includes(m.to)) {
          this.network.push(m);
        } else {
          quiet = false;
          this.receive(m);
        }
      }
    }
  }

  private send(node: SimNode, original: Message): void {
    let m = original;
    const { disk } = node;
    check(m.from === node.id && m.to !== node.id, `R25 message from ${m.from} to ${m.to}`);
    if (m.type !== MessageType.preVote && m.type !== MessageType.preVoteResponse) {
      check(
        disk.hardState.term >= m.term,
        `I5 ${node.id} sent term ${m.term} before it was durable`,
      );
    }
    if (m.type === MessageType.voteResponse && !m.reject && disk.hardState.term === m.term) {
      check(disk.hardState.vote === m.to, `I5 ${node.id} sent a vote before it was durable`);
    }
    if (m.type === MessageType.appendResponse && !m.reject && m.term === node.core?.term) {
      const last = disk.compactedIndex + disk.entries.length;
      check(last >= m.index, `I5 ${node.id} acknowledged ${m.index} with ${last} durable`);
      const durable =
        m.index === disk.compactedIndex
          ? disk.compactedTerm
          : disk.entries[m.index - disk.compactedIndex - 1]?.term;
      const believed = node.core.termAt(m.index);
      check(
        durable === undefined || believed === undefined || durable === believed,
        `I5 ${node.id} acknowledged ${m.index} of another term`,
      );
    }
    if (m.type === MessageType.appendResponse && !m.reject && !this.isRolledBack) {
      // Even if this member has moved on: what it acknowledges to a leader, it held durably at some time.
      const leader = this.nodes.get(m.to)?.core;
      const meant =
        leader?.role === Role.leader && leader.term === m.term ? leader.termAt(m.index) : undefined;
      check(
        meant === undefined ||
          m.index <= disk.compactedIndex ||
          node.everDurable.has(`${m.index}/${meant}`),
        `I5 ${node.id} acknowledged ${meant}/${m.index}, which it never held`,
      );
    }
    if (m.type === MessageType.heartbeat || m.type === MessageType.append) {
      check(m.term > 0, 'append without a term');
    }
    if (m.type === MessageType.snapshot && m.snapshot !== null) {
      const term = node.core?.termAt(node.applied);
      // Like a real member: what is sent is the state machine as it is now, not as it was offered.
      if (term !== undefined && node.applied > m.snapshot.index) {
        m = { ...m, snapshot: { index: node.applied, term, confState: node.conf } };
      }
    }
    this.options.onSend?.(m);
    this.network.push(m);
  }

  private persist(node: SimNode, w: Write): void {
    const { disk } = node;
    for (const e of w.entries) node.everDurable.add(`${e.index}/${e.term}`);
    const first = w.entries[0];
    if (first !== undefined) {
      const at = first.index - disk.compactedIndex - 1;
      check(at <= disk.entries.length, `${node.id} writes entry ${first.index} beyond a gap`);
      const skip = Math.max(0, -at);
      disk.entries = disk.entries.slice(0, Math.max(0, at)).concat(w.entries.slice(skip));
    }
    if (w.hardState !== null) {
      check(w.hardState.term >= disk.hardState.term, `I7 ${node.id} persists a lower term`);
      check(w.hardState.commit >= disk.hardState.commit, `I7 ${node.id} persists a lower commit`);
      if (w.hardState.term === disk.hardState.term && disk.hardState.vote !== 0n) {
        check(w.hardState.vote === disk.hardState.vote, `I7 ${node.id} changed its vote`);
      }
      disk.hardState = w.hardState;
    }
    check(
      disk.hardState.commit <= disk.compactedIndex + disk.entries.length,
      `${node.id} persists commit ${disk.hardState.commit} beyond its log`,
    );
    if (w.snapshot !== null) {
      const { index, term, confState } = w.snapshot;
      disk.entries = [];
      disk.compactedIndex = index;
      disk.compactedTerm = term;
      disk.applied = index;
      disk.conf = confState;
      disk.hash = this.hashes[index] ?? -1;
      check(disk.hash !== -1, `snapshot ${index} of a state nobody reached`);
    }
  }

  private checkReady(node: SimNode, rd: Ready): void {
    if (rd.snapshot !== null) {
      check(
        rd.entries.length === 0 && rd.committed.length === 0,
        'a Ready with a snapshot has other work',
      );
      check(
        rd.hardState === null && rd.messagesAfterSync.length === 0,
        'a Ready with a snapshot writes',
      );
    }
    if (rd.hardState === null && rd.entries.length === 0) check(!rd.mustSync, 'R4 sync of nothing');
    if (rd.entries.length > 0) check(rd.mustSync, 'R4 entries without sync');
    let bytes = 0;
    for (const e of rd.committed) bytes += e.data.length;
    check(rd.committed.length <= 1 || bytes <= this.limits.committed, 'C9 page too large');
    for (const m of rd.messages) {
      check(
        m.type !== MessageType.appendResponse && m.type !== MessageType.voteResponse,
        'R2 a promise leaves before the write',
      );
      if (m.type === MessageType.append) {
        let size = 0;
        for (const e of m.entries) size += e.data.length;
        check(m.entries.length <= 1 || size <= this.limits.append, 'append beyond its bound');
      }
      if (m.type === MessageType.heartbeat) {
        check(
          this.isRolledBack || m.commit <= this.maxCommit,
          'R31 heartbeat with a commit nobody made',
        );
      }
    }
    check(node.core !== null, 'ready of a stopped member');
  }

  /** Checks I1 to I4 and I7 on a member that just did something. */
  private observe(node: SimNode): void {
    const { core } = node;
    if (core === null) return;
    const { term } = core;
    check(term >= node.seenTerm, `I7 ${node.id} went back to term ${term}`);
    node.seenTerm = term;
    check(core.commitIndex >= node.seenCommit, `I7 ${node.id} lowered its commit index`);
    if (this.isRolledBack) {
      node.seenCommit = core.commitIndex;
      return;
    }
    if (core.role === Role.leader) {
      const other = this.leaders.get(term);
      if (other === undefined) {
        this.leaders.set(term, node.id);
        const { confState, compactedIndex } = core.status();
        check(confState.voters.includes(node.id), `I1b leader ${node.id} is not a voter`);
        for (let i = compactedIndex + 1; i <= this.maxCommit; i++) {
          check(
            (this.committedIn[i] ?? term) >= term || core.termAt(i) === this.committedTerms[i],
            `I4 leader ${node.id} of term ${term} lacks committed entry ${i}`,
          );
        }
      } else {
        check(other === node.id, `I1 ${other} and ${node.id} lead term ${term}`);
      }
    }
    const commit = core.commitIndex;
    if (commit > node.seenCommit) {
      for (let i = node.seenCommit + 1; i <= commit; i++) {
        const t = core.termAt(i);
        if (t === undefined) continue;
        const known = this.committedTerms[i];
        if (known === undefined) {
          this.committedTerms[i] = t;
          this.committedIn[i] = term;
          this.commits++;
        } else check(known === t, `I3 ${node.id} committed ${i} in term ${t}, it was ${known}`);
      }
      node.seenCommit = commit;
      if (commit > this.maxCommit) this.maxCommit = commit;
    }
  }
}

function mix(hash: number, e: Entry): number {
  let h = hash ^ Math.imul(e.index, 0x9e3779b1) ^ Math.imul(e.term, 0x85ebca6b);
  for (const b of e.data) h = Math.imul(h ^ b, 0x01000193);
  return h >>> 0;
}
