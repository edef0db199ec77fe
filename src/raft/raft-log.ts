import { invariant, verification } from '../base/invariant.js';
import { ColdEntries } from './cold-entries.js';
import { EntryRing } from './entry-ring.js';
import { ENTRY_OVERHEAD_BYTES, HOT_ENTRIES } from './limits.js';
import { EntryType } from './types.js';
import type { Entry, Index, Position, RaftInitialState, Term } from './types.js';

const NO_ENTRIES: readonly Entry[] = [];
/** Entries at the end of the log that a check of the whole looks at. */
const CHECKED_ENTRIES = 16;

export function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

/**
 * The log from the last compaction to the last entry, in memory, and the marks along it:
 *
 *     compactedIndex <= applied <= applying <= committed <= lastIndex,  applying <= stable <= handedOut
 *
 * stable:    durable on this member.      handedOut: given to the member for writing.
 * applying:  given out as committed.      applied:   in the state machine.
 *
 * Writes in flight never overlap: when entries are replaced whose write is under way, nothing more is handed out
 * until that write is reported. A completion therefore names its write unambiguously by (index,
 * term). A late one for replaced entries cannot vouch for entries of a later write, even if those
 * are equal again (C10).
 */
export class RaftLog {
  /** The first entries; all of them are applied. */
  private readonly cold = new ColdEntries();
  /** The later ones. */
  private readonly hot: EntryRing;
  private readonly hotEntries: number;
  compactedIndex: Index;
  compactedTerm: Term;
  lastIndex: Index;
  stable: Index;
  handedOut: Index;
  committed: Index;
  applying: Index;
  applied: Index;
  /** Bytes of entries given out as committed and not yet reported applied. */
  applyingBytes = 0;
  /** Position of the last write under way when entries of it were replaced; term 0: none. */
  private overwrittenIndex: Index = 0;
  private overwrittenTerm: Term = 0;
  /** Term of the entry at handedOut when it was handed out. */
  private handedOutTerm: Term;

  /** The last `hotEntries` applied entries stay objects. */
  constructor(initial: RaftInitialState, hotEntries = HOT_ENTRIES) {
    this.hotEntries = hotEntries;
    const { compactedIndex, compactedTerm, entries, hardState, applied } = initial;
    let term = compactedTerm;
    for (let i = 0; i < entries.length; i++) {
      const e = entries[i];
      invariant(
        e !== undefined && e.index === compactedIndex + 1 + i && e.term >= term,
        `recovered log has a gap or a falling term at position ${i} after index ${compactedIndex}`,
      );
      term = e.term;
    }
    const last = compactedIndex + entries.length;
    invariant(
      hardState.commit <= last,
      `recovered log ends at ${last}, before its commit index ${hardState.commit}: acknowledged entries are missing`,
    );
    invariant(
      applied <= last,
      `recovered log ends at ${last}, before the state machine's index ${applied}: acknowledged entries are missing`,
    );
    invariant(
      applied >= compactedIndex,
      `state machine at ${applied} is behind the log's start ${compactedIndex}`,
    );
    invariant(
      hardState.term >= term,
      `recovered term ${hardState.term} is lower than the log's last term ${term}`,
    );
    this.hot = new EntryRing(compactedIndex + 1);
    for (let i = 0; i < entries.length; i++) this.hot.push(entries[i] as Entry);
    this.compactedIndex = compactedIndex;
    this.compactedTerm = compactedTerm;
    this.lastIndex = last;
    this.stable = last;
    this.handedOut = last;
    this.handedOutTerm = term;
    this.committed = Math.max(hardState.commit, applied);
    this.applying = applied;
    this.applied = applied;
    this.cool();
  }

  /** Term at `index`; undefined outside the log, never a made-up 0 (C3). */
  termAt(index: Index): Term | undefined {
    if (index === this.compactedIndex) return this.compactedTerm;
    if (index < this.compactedIndex || index > this.lastIndex) return undefined;
    return index < this.hot.first ? this.cold.term(index) : this.hot.get(index)?.term;
  }

  lastTerm(): Term {
    return this.termAt(this.lastIndex) ?? 0;
  }

  at(index: Index): Entry {
    if (index > this.compactedIndex && index < this.hot.first) return this.cold.entry(index);
    const e = this.hot.get(index);
    invariant(e !== undefined && e.index === index, 'entry {} is not in memory', index);
    return e;
  }

  /** True if a log that ends in (index, term) holds at least as much as this one (§5.4.1). */
  isUpToDate(index: Index, term: Term): boolean {
    const own = this.lastTerm();
    return term > own || (term === own && index >= this.lastIndex);
  }

  /**
   * The committed position that no log with an entry of `term` at `index` holds; null when there is none.
   *
   * Terms never fall along a log (§5.3), so a position outside the committed ones in memory is judged by the nearest.
   */
  contradictedBy(index: Index, term: Term): Position | null {
    const at = Math.min(Math.max(index, this.compactedIndex), this.committed);
    const own = this.termAt(at);
    if (own === undefined || at === 0) return null;
    const agrees = index === at ? term === own : index < at ? term <= own : term >= own;
    return agrees ? null : { index: at, term: own };
  }

  /** True if this log has an entry of `term` at `index`, as far as the entries in memory go. */
  holds(index: Index, term: Term): boolean {
    if (index < this.compactedIndex) return term <= this.compactedTerm;
    return this.termAt(index) === term;
  }

  /** Entries from `from` to `to` or until `maxBytes` are reached, at least one if there is one. */
  slice(from: Index, to: Index, maxBytes: number): readonly Entry[] {
    if (from > to) return NO_ENTRIES;
    invariant(
      from > this.compactedIndex && to <= this.lastIndex,
      'entries {}..{} are not in memory',
      from,
      to,
    );
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = from; index <= to; index++) {
      const entry = this.at(index);
      bytes += entryBytes(entry);
      if (bytes > maxBytes && index > from) break;
      entries.push(entry);
    }
    return entries;
  }

  /** Appends an entry that follows the last one. */
  push(entry: Entry): void {
    this.hot.push(entry);
    this.lastIndex = entry.index;
  }

  /**
   * Adds a leader's entries. Only a real conflict removes any, so a late message with a prefix of
   * the present entries changes nothing (§5.3).
   *
   * Requires: entries are contiguous, the one before the first is in the log or committed, and none of them contradicts
   * a committed entry.
   */
  merge(entries: readonly Entry[]): void {
    let i = 0;
    for (; i < entries.length; i++) {
      const e = entries[i] as Entry;
      if (e.index > this.lastIndex) break;
      if (e.index <= this.compactedIndex || this.termAt(e.index) === e.term) continue;
      this.truncateFrom(e.index);
      break;
    }
    for (; i < entries.length; i++) this.push(entries[i] as Entry);
    if (verification.isOn) this.check();
  }

  /**
   * The largest index <= `index` whose term is <= `term`: everything above it cannot match a log whose entry at
   * `index` has `term` (R21). Just below the compaction point when even that has a higher term.
   */
  lastNotAfter(index: Index, term: Term): Index {
    let low = this.compactedIndex;
    let high = Math.min(index, this.lastIndex);
    if (high < low) return high;
    if (this.compactedTerm > term) return Math.max(0, low - 1);
    while (low < high) {
      const mid = Math.ceil((low + high) / 2);
      if ((this.termAt(mid) ?? 0) <= term) low = mid;
      else high = mid - 1;
    }
    return low;
  }

  commitTo(index: Index): void {
    invariant(
      index <= this.lastIndex,
      "commit {} is beyond the log's end {}",
      index,
      this.lastIndex,
    );
    if (index > this.committed) this.committed = index;
    if (verification.isOn) this.check();
  }

  // Writing.

  hasUnstable(): boolean {
    return this.lastIndex > this.handedOut;
  }

  /** A write was handed out and has not been reported. */
  isWriting(): boolean {
    return this.handedOut > this.stable || this.overwrittenTerm !== 0;
  }

  /** Entries of a write under way were replaced; its completion must come first. */
  isOverwriting(): boolean {
    return this.overwrittenTerm !== 0;
  }

  /** Hands out what has to be written. */
  takeUnstable(): readonly Entry[] {
    if (this.lastIndex === this.handedOut) return NO_ENTRIES;
    invariant(!this.isOverwriting(), 'writes of replaced entries overlap');
    const entries = this.slice(this.handedOut + 1, this.lastIndex, Infinity);
    this.handedOut = this.lastIndex;
    this.handedOutTerm = this.lastTerm();
    return entries;
  }

  /** Notes that the write ending in (index, term) is durable; returns whether `stable` moved. */
  stableTo(index: Index, term: Term): boolean {
    const before = this.stable;
    if (
      this.overwrittenTerm !== 0 &&
      index === this.overwrittenIndex &&
      term === this.overwrittenTerm
    ) {
      this.overwrittenTerm = 0;
      this.stable = this.handedOut;
    } else if (index > this.stable && index <= this.handedOut && this.termAt(index) === term) {
      this.stable = index;
    }
    if (verification.isOn) this.check();
    return this.stable > before;
  }

  // Applying.

  hasCommitted(maxBytes: number): boolean {
    return (
      this.applying < this.committed && this.applying < this.stable && this.applyRoom(maxBytes)
    );
  }

  /** Hands out durable committed entries, each once and in order, such that at most `maxBytes` are outstanding. */
  takeCommitted(maxBytes: number): readonly Entry[] {
    const to = Math.min(this.committed, this.stable);
    if (this.applying >= to || !this.applyRoom(maxBytes)) return NO_ENTRIES;
    const entries = this.slice(this.applying + 1, to, maxBytes - this.applyingBytes);
    for (let i = 0; i < entries.length; i++) this.applyingBytes += entryBytes(entries[i] as Entry);
    this.applying += entries.length;
    if (verification.isOn) this.check();
    return entries;
  }

  appliedTo(index: Index): void {
    invariant(
      index >= this.applied && index <= this.applying,
      'applied {} is not within {}..{}, the entries handed out',
      index,
      this.applied,
      this.applying,
    );
    // Entries given out before a snapshot replaced the log may still be reported; the log no longer
    // holds them.
    const from = Math.max(this.applied, this.compactedIndex) + 1;
    for (let i = from; i <= index; i++) this.applyingBytes -= entryBytes(this.at(i));
    this.applied = index;
    invariant(this.applyingBytes >= 0, 'more bytes were applied than handed out');
    // Moved many at a time.
    if (index - this.hot.first >= this.hotEntries + (this.hotEntries >> 1)) this.cool();
    if (verification.isOn) this.check();
  }

  /** Some committed entry that is not applied yet changes the membership (R16). */
  hasUnappliedConfChange(): boolean {
    for (let i = this.applied + 1; i <= this.committed; i++) {
      if (this.at(i).type === EntryType.confChange) return true;
    }
    return false;
  }

  // Trimming.

  /** Drops entries <= `index`. Cost: O(entries dropped), amortised. */
  compactTo(index: Index): void {
    if (index <= this.compactedIndex) return;
    invariant(
      index <= this.applied,
      'compaction at {} is beyond the applied index {}',
      index,
      this.applied,
    );
    const term = this.termAt(index);
    invariant(term !== undefined, 'entry {} is not in memory', index);
    this.cold.dropTo(index);
    if (index >= this.hot.first) this.hot.dropTo(index);
    this.compactedIndex = index;
    this.compactedTerm = term;
    if (verification.isOn) this.check();
  }

  /** Replaces everything by the point a snapshot stands at. The state machine gets there with `installed()`. */
  restore(index: Index, term: Term): void {
    invariant(
      index > this.committed,
      'snapshot {} is not ahead of the commit index {}',
      index,
      this.committed,
    );
    this.noteOverwrite(0);
    this.cold.clear();
    this.hot.restart(index + 1);
    this.compactedIndex = index;
    this.compactedTerm = term;
    this.lastIndex = index;
    this.stable = index;
    this.handedOut = index;
    this.handedOutTerm = term;
    this.committed = index;
  }

  installed(): void {
    this.applied = this.compactedIndex;
    this.applying = this.compactedIndex;
    this.applyingBytes = 0;
  }

  /** Moves applied entries out of objects, but for the last ones: a member that is a little behind is sent these. */
  private cool(): void {
    const to = this.applied - this.hotEntries;
    for (let index = this.hot.first; index <= to; index++) this.cold.add(this.at(index));
    this.hot.dropTo(to);
  }

  /** Asserts the order of the marks, and that the entries in memory are those between them, with terms that never fall. */
  private check(): void {
    const { compactedIndex, applied, applying, committed, lastIndex, stable, handedOut } = this;
    // A snapshot that is accepted and not installed is ahead of the state machine.
    const isInstalled = applying >= compactedIndex;
    invariant(
      (!isInstalled || (compactedIndex <= applied && applying <= stable)) &&
        applied <= applying &&
        applying <= Math.max(committed, applied) &&
        committed <= lastIndex &&
        stable <= handedOut &&
        handedOut <= lastIndex,
      'marks of the log out of order: {}',
      [compactedIndex, applied, applying, committed, stable, handedOut, lastIndex].join(' '),
    );
    invariant(
      compactedIndex < this.hot.first &&
        this.hot.end === lastIndex + 1 &&
        this.hot.first - 1 <= Math.max(applied, compactedIndex),
      'the log ends at {} and holds objects from {} to {}',
      lastIndex,
      this.hot.first,
      this.hot.end - 1,
    );
    let term = this.compactedTerm;
    for (let i = Math.max(compactedIndex + 1, lastIndex - CHECKED_ENTRIES); i <= lastIndex; i++) {
      const entry = this.at(i);
      invariant(entry.term >= term, 'term {} of entry {} is lower than before', entry.term, i);
      term = entry.term;
    }
  }

  private applyRoom(maxBytes: number): boolean {
    return this.applyingBytes === 0 || this.applyingBytes < maxBytes;
  }

  private truncateFrom(index: Index): void {
    invariant(index > this.committed, 'entry {} is committed and cannot be replaced', index);
    this.noteOverwrite(index - 1);
    this.hot.dropFrom(index);
    this.lastIndex = index - 1;
    if (this.stable >= index) this.stable = index - 1;
    if (this.handedOut >= index) {
      this.handedOut = index - 1;
      this.handedOutTerm = this.lastTerm();
    }
  }

  /** Remembers the last write under way if it holds entries beyond `keep`. */
  private noteOverwrite(keep: Index): void {
    if (this.handedOut > this.stable && this.handedOut > keep && this.overwrittenTerm === 0) {
      this.overwrittenIndex = this.handedOut;
      this.overwrittenTerm = this.handedOutTerm;
    }
  }
}
