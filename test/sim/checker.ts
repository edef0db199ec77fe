import { crc32c } from '../../src/base/bytes/crc32c.js';
import { keyOfRow, leaseOf, valueOf } from '../../src/mvcc/key-value.js';
import type { StoreEvent } from '../../src/mvcc/types.js';
import {
  MessageType,
  Role,
  type Entry,
  type MemberId,
  type Message,
} from '../../src/raft/types.js';
import type { Member } from '../../src/server/member/member.js';
import { Wal } from '../../src/wal/wal.js';
import { memoryEnv } from '../support/memory-env.js';
import type { Host } from './host.js';
import type { Random, Scheduler } from './scheduler.js';

/** The first violation of a run; later ones follow from it. */
export class Violation extends Error {
  override name = 'Violation';
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** The change of one key at one revision. */
export interface ModelChange {
  readonly revision: number;
  readonly sub: number;
  readonly type: 'put' | 'delete';
  readonly value: string;
  readonly key: string;
  readonly leaseId: bigint;
}

/** Acknowledgements whose durability is looked up on the simulated platter: one in so many. */
const PLATTER_SAMPLE = 40;

/**
 * Watches a whole run from outside the members: the entries they apply, their messages, their
 * answers. Checks the invariants I1 to I7, I9 and I10 of docs/SIMULATOR.md.
 */
export class Checker {
  violation: Violation | null = null;
  readonly random: Random;
  readonly scheduler: Scheduler;
  /** Folded over everything observed: equal for two runs of one seed. */
  trace = 0;

  private readonly leaders = new Map<number, MemberId>();
  /** Fingerprint of each committed entry, by index. */
  private readonly committed = new Map<number, number>();
  private readonly committedTerms = new Map<number, number>();
  private maxCommitted = 0;
  /** State fingerprints at batch ends, by applied index. */
  private readonly states = new Map<number, string>();
  /**
   * The history all members must share: changes by revision, set by the first member to apply each.
   */
  readonly history = new Map<number, readonly ModelChange[]>();
  private readonly historyPrints = new Map<number, number>();
  maxRevision = 1;
  private readonly byKey = new Map<string, ModelChange[]>();
  /** Deletes by lease expiry or revoke, to be judged by the lease checker. */
  onRevision: ((revision: number, changes: readonly ModelChange[]) => void) | null = null;
  /** Highest term each member has sent a message in: it must survive its crash. */
  private readonly saidTerms = new Map<MemberId, number>();
  private readonly floors = new Map<MemberId, { term: number; commit: number; applied: number }>();
  leaderChanges = 0;
  commits = 0;
  platterChecks = 0;
  /** Plants a bug in every member that starts; for proving that the checks can fail. */
  sabotage: ((member: Member) => void) | null = null;
  /** Told of every new leader; for faults that aim at one. */
  onNewLeader: ((host: Host) => void) | null = null;

  constructor(scheduler: Scheduler, random: Random) {
    this.scheduler = scheduler;
    this.random = random;
  }

  fail(invariant: string, message: string): void {
    this.violation ??= new Violation(
      invariant,
      `at ${this.scheduler.now.toFixed(3)} ms: ${message}`,
    );
  }

  /** Runs product code; anything it throws is a violation (I26). */
  guard(name: string, callback: () => void): void {
    try {
      callback();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.fail('I26 no uncaught error', `${name}: ${text}`);
    }
  }

  private fold(value: number): void {
    this.trace = (Math.imul(this.trace ^ value, 0x01000193) ^ (this.trace >>> 13)) >>> 0;
  }

  // ---- hooks into a member ----

  onStart(host: Host, member: Member): void {
    this.fold(Number(BigInt.asUintN(31, host.id)));
    this.sabotage?.(member);
    const { node, machine, hub } = member;
    const ready = node.ready.bind(node);
    node.ready = () => {
      const rd = ready();
      if (rd.softState?.role === Role.leader) this.onLeader(host, member);
      for (const entry of rd.committed) this.onCommitted(host, entry);
      this.onProgress(host, member);
      return rd;
    };
    const notify = hub.notify.bind(hub);
    hub.notify = (revision, events) => {
      this.onEvents(host, revision, events);
      notify(revision, events);
    };
    const backend = member.backend;
    const setApplied = backend.setApplied.bind(backend);
    backend.setApplied = (index, term) => {
      const { store, lessor } = member;
      this.onState(
        host,
        index,
        `${store.currentRevision}/${store.compactRevision}/${lessor.size}/${machine.alarms.list(0).length}`,
      );
      setApplied(index, term);
    };
    const said = this.saidTerms.get(host.id) ?? 0;
    if (node.term < said) {
      this.fail(
        'I7 monotonic',
        `${host.name} restarted with term ${node.term} after speaking in ${said}`,
      );
    }
    const applied = member.leadership.appliedIndex;
    const known = this.states.get(applied)?.split('/')[0];
    if (known !== undefined && Number(known) !== member.store.currentRevision) {
      this.fail(
        'I10 revisions survive',
        `${host.name} restarted at index ${applied} with revision ${member.store.currentRevision}, which was ${known}`,
      );
    }
    this.floors.set(host.id, { term: node.term, commit: 0, applied });
  }

  onStop(_host: Host): void {
    this.fold(0x57);
  }

  private onProgress(host: Host, member: Member): void {
    const { term, commitIndex, appliedIndex } = member.node;
    const floor = this.floors.get(host.id);
    if (floor !== undefined) {
      if (term < floor.term || commitIndex < floor.commit || appliedIndex < floor.applied) {
        this.fail(
          'I7 monotonic',
          `${host.name} went back: term ${floor.term}->${term} commit ${floor.commit}->${commitIndex} applied ${floor.applied}->${appliedIndex}`,
        );
      }
      if (appliedIndex > commitIndex) {
        this.fail(
          'I7 monotonic',
          `${host.name} applied ${appliedIndex} beyond commit ${commitIndex}`,
        );
      }
      floor.term = term;
      floor.commit = commitIndex;
      floor.applied = appliedIndex;
    }
  }

  private onLeader(host: Host, member: Member): void {
    const { term } = member.node;
    const known = this.leaders.get(term);
    if (known === host.id) return;
    if (known !== undefined) {
      this.fail(
        'I1 election safety',
        `${host.name} leads term ${term}, which ${known} leads already`,
      );
    }
    this.leaders.set(term, host.id);
    this.onNewLeader?.(host);
    this.leaderChanges++;
    this.fold(term);
    const compacted = member.node.status().compactedIndex;
    if (member.node.lastIndex < this.maxCommitted) {
      this.fail(
        'I4 leader completeness',
        `${host.name} leads term ${term} with last index ${member.node.lastIndex}, but ${this.maxCommitted} is committed`,
      );
    }
    for (let i = Math.max(compacted + 1, this.maxCommitted - 200); i <= this.maxCommitted; i++) {
      const expected = this.committedTerms.get(i);
      if (expected !== undefined && member.node.termAt(i) !== expected) {
        this.fail(
          'I4 leader completeness',
          `${host.name} leads term ${term} without committed entry ${i}`,
        );
      }
    }
  }

  private onCommitted(host: Host, entry: Entry): void {
    const print = crc32c(entry.data, entry.term);
    const known = this.committed.get(entry.index);
    if (known === undefined) {
      this.committed.set(entry.index, print);
      this.committedTerms.set(entry.index, entry.term);
      this.maxCommitted = Math.max(this.maxCommitted, entry.index);
      this.commits++;
      this.fold(print);
    } else if (known !== print) {
      this.fail(
        'I3 committed never changes',
        `${host.name} applies another entry at index ${entry.index}`,
      );
    }
  }

  private onState(host: Host, index: number, print: string): void {
    const known = this.states.get(index);
    if (known === undefined) this.states.set(index, print);
    else if (known !== print) {
      this.fail(
        'I9 equal states',
        `${host.name} at index ${index} has ${print}, another had ${known}`,
      );
    }
  }

  private onEvents(host: Host, revision: number, events: readonly StoreEvent[]): void {
    let print = 0;
    for (const e of events) print = crc32c(e.kv, print ^ (e.type === 'put' ? 1 : 2));
    const known = this.historyPrints.get(revision);
    if (known !== undefined) {
      if (known !== print) {
        this.fail('I6 same sequence', `${host.name} changed other things at revision ${revision}`);
      }
      return;
    }
    if (revision !== this.maxRevision + 1) {
      this.fail(
        'I6 same sequence',
        `${host.name} made revision ${revision} after ${this.maxRevision}`,
      );
    }
    this.historyPrints.set(revision, print);
    this.maxRevision = revision;
    this.fold(print);
    const changes = events.map((e): ModelChange => {
      const isPut = e.type === 'put';
      return {
        revision,
        sub: e.sub,
        type: e.type,
        key: keyOfRow(e.kv),
        value: isPut ? Buffer.from(valueOf(e.kv)).toString('latin1') : '',
        leaseId: isPut ? leaseOf(e.kv) : 0n,
      };
    });
    this.history.set(revision, changes);
    for (const c of changes) {
      const list = this.byKey.get(c.key);
      if (list === undefined) this.byKey.set(c.key, [c]);
      else list.push(c);
    }
    this.onRevision?.(revision, changes);
  }

  /** Live keys with prefix at a revision, in order. */
  stateAt(
    revision: number,
    start: string,
    end: string | null,
  ): { key: string; value: string; mod: number }[] {
    const out: { key: string; value: string; mod: number }[] = [];
    for (const [key, changes] of this.byKey) {
      if (key < start || (end !== null && key >= end)) continue;
      let last: ModelChange | undefined;
      for (const c of changes) {
        if (c.revision > revision) break;
        last = c;
      }
      if (last?.type === 'put') out.push({ key, value: last.value, mod: last.revision });
    }
    return out.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  // ---- messages ----

  /** I5: an acknowledgement must be covered by what would survive a power cut at this moment. */
  onSend(host: Host, m: Message): void {
    this.fold((m.type << 24) ^ m.term ^ (m.index << 4));
    // A pre-vote asks about a term no member has entered yet, and its answer echoes it.
    if (m.type !== MessageType.preVote && m.type !== MessageType.preVoteResponse) {
      this.saidTerms.set(host.id, Math.max(m.term, this.saidTerms.get(host.id) ?? 0));
    }
    if (m.type === MessageType.appendResponse && !m.reject) {
      if (this.random.below(PLATTER_SAMPLE) === 0) this.checkPlatter(host, m);
    } else if (m.type === MessageType.voteResponse && !m.reject) {
      this.checkVote(host, m);
    }
  }

  private platter(host: Host): ReturnType<typeof Wal.open>['recovery'] | null {
    const disk = host.disk.clone();
    disk.crash(() => false);
    const member = host.member;
    if (member === null) return null;
    this.platterChecks++;
    const { recovery } = Wal.open(memoryEnv(disk), {
      dir: '/data/member/wal',
      identity: { clusterId: member.clusterId, memberId: member.memberId },
      segmentBytes: 64 * 1024,
      witnessIndex: 0,
    });
    return recovery;
  }

  private checkPlatter(host: Host, m: Message): void {
    const recovery = this.platter(host);
    if (recovery === null) return;
    const last = recovery.entries.at(-1)?.index ?? recovery.snapshot.index;
    if (Math.max(last, recovery.snapshot.index) < m.index) {
      this.fail(
        'I5 durable before promised',
        `${host.name} acknowledges index ${m.index}, its disk holds ${last}`,
      );
    }
  }

  private checkVote(host: Host, m: Message): void {
    const recovery = this.platter(host);
    if (recovery === null) return;
    const { term, vote } = recovery.hardState;
    if (term < m.term || (term === m.term && vote !== m.to)) {
      this.fail(
        'I5 durable before promised',
        `${host.name} votes for ${m.to} in term ${m.term}, its disk says ${vote} in ${term}`,
      );
    }
  }
}
