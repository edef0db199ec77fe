import { invariant } from '../base/invariant.js';

/**
 * Terms of the log's entries as runs of equal terms: a handful of numbers for any number of entries.
 *
 * Example: entries 1..7 with terms 1 1 1 2 2 5 5 are the runs (1, 1) (4, 2) (6, 5).
 */
export class TermRuns {
  private readonly firsts: number[] = [];
  private readonly terms: number[] = [];
  private last: number;

  /** `last`: index of the log's last entry. */
  constructor(last: number) {
    this.last = last;
  }

  /** Records the entry and forgets every entry with its index or a higher one. */
  append(index: number, term: number): void {
    invariant(index <= this.last + 1, 'the terms of a log have no gap');
    this.last = index;
    const { firsts, terms } = this;
    while (firsts.length > 0 && (firsts[firsts.length - 1] as number) >= index) {
      firsts.pop();
      terms.pop();
    }
    if (terms[terms.length - 1] === term) return;
    firsts.push(index);
    terms.push(term);
  }

  /**
   * Requires: `index` not above the last entry. Undefined when the entry precedes the first run.
   */
  termAt(index: number): number | undefined {
    invariant(index <= this.last, 'the term of an entry beyond the last one is asked for');
    for (let i = this.firsts.length - 1; i >= 0; i--) {
      if ((this.firsts[i] as number) <= index) return this.terms[i];
    }
    return undefined;
  }

  /** Forgets runs that end before `index`. */
  dropBefore(index: number): void {
    let gone = 0;
    while (gone + 1 < this.firsts.length && (this.firsts[gone + 1] as number) <= index) gone++;
    this.firsts.splice(0, gone);
    this.terms.splice(0, gone);
  }

  /** Forgets everything: the log begins anew after entry `last`. */
  clear(last: number): void {
    this.last = last;
    this.firsts.length = 0;
    this.terms.length = 0;
  }
}
