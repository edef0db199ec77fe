import { expect } from 'chai';

import { entryBytes, RaftLog } from '../../src/raft/raft-log.js';
import { EntryType } from '../../src/raft/types.js';
import type { Entry } from '../../src/raft/types.js';
import { entriesOf, initialState } from './support/lone.js';
import type { LoneSetup } from './support/lone.js';
import { Random, seeds } from './support/random.js';

function logOf(setup: LoneSetup, hotEntries?: number): RaftLog {
  return new RaftLog(initialState(setup), hotEntries);
}

function entry(index: number, term: number): Entry {
  return { index, term, type: EntryType.normal, data: Uint8Array.of(index & 255, term) };
}

describe('RaftLog', () => {
  it('refuses to start from a log that has lost entries (R32)', () => {
    expect(() => logOf({ log: [1, 1], commit: 3 })).to.throw('acknowledged entries are missing');
    expect(() => logOf({ log: [1, 1], commit: 2, applied: 4 })).to.throw(
      'acknowledged entries are missing',
    );
    expect(() => logOf({ log: [1, 2, 1], term: 2 })).to.throw('falling term');
    expect(() => logOf({ log: [1, 3], term: 2 })).to.throw('lower than');
    expect(() => logOf({ compacted: { index: 5, term: 1 }, applied: 4 })).to.throw('behind');
    const gap = { ...initialState({}), entries: [entry(2, 0)] };
    expect(() => new RaftLog(gap)).to.throw('gap');
  });

  it('never hands out applied entries again (R32)', () => {
    const log = logOf({ log: [1, 1, 1, 1], commit: 2, applied: 3 });
    expect(log.committed, 'the state machine proves the commit').to.equal(3);
    log.commitTo(4);
    expect(log.takeCommitted(1e9).map((e) => e.index)).to.deep.equal([4]);
    expect(log.takeCommitted(1e9)).to.have.length(0);
  });

  it('holds the term of its compaction point and of nothing before it (C3)', () => {
    const log = logOf({ compacted: { index: 5, term: 3 }, log: [3, 4], applied: 5 });
    expect([4, 5, 6, 7, 8].map((i) => log.termAt(i))).to.deep.equal([
      undefined,
      3,
      3,
      4,
      undefined,
    ]);
  });

  it('hands out committed entries in pages without dropping any or moving the commit index (C2, C9)', () => {
    for (const page of [1, 60, 100, 1000]) {
      const log = logOf({ log: new Array<number>(40).fill(1), commit: 40 });
      const seen: number[] = [];
      while (seen.length < 40) {
        const entries = log.takeCommitted(page);
        let bytes = 0;
        for (const e of entries) bytes += entryBytes(e);
        expect(entries.length).to.be.greaterThan(0);
        expect(entries.length === 1 || bytes <= page).to.equal(true);
        if (bytes >= page)
          expect(log.hasCommitted(page), 'outstanding bytes are bounded').to.equal(false);
        seen.push(...entries.map((e) => e.index));
        log.appliedTo(log.applying);
        expect(log.committed).to.equal(40);
      }
      expect(seen).to.deep.equal(Array.from({ length: 40 }, (_, i) => i + 1));
      expect(log.applyingBytes).to.equal(0);
    }
  });

  it('hands out only entries that are durable here (C27)', () => {
    const log = logOf({});
    log.push(entry(1, 1));
    log.push(entry(2, 1));
    log.commitTo(2);
    expect(log.hasCommitted(1e9)).to.equal(false);
    log.takeUnstable();
    log.stableTo(1, 1);
    expect(log.takeCommitted(1e9).map((e) => e.index)).to.deep.equal([1]);
    log.stableTo(2, 1);
    expect(log.takeCommitted(1e9).map((e) => e.index)).to.deep.equal([2]);
  });

  it('does not vouch for a replaced write by a late completion (C10)', () => {
    const log = logOf({ log: [1], term: 1 });
    log.push(entry(2, 1));
    log.push(entry(3, 1));
    log.takeUnstable();
    log.merge([entry(2, 2)]);
    expect(log.isOverwriting()).to.equal(true);
    log.merge([entry(2, 3), entry(3, 3)]);
    log.merge([entry(2, 3)]);
    log.stableTo(2, 3);
    expect(log.stable, 'not written yet').to.equal(1);
    log.stableTo(3, 1);
    expect([log.stable, log.isOverwriting()]).to.deep.equal([1, false]);
    expect(log.takeUnstable().map((e) => e.term)).to.deep.equal([3, 3]);
    log.stableTo(3, 3);
    expect(log.stable).to.equal(3);
  });

  it('refuses to replace a committed entry', () => {
    const log = logOf({ log: [1, 1, 1], commit: 2 });
    expect(() => log.merge([entry(2, 5)])).to.throw('entry 2 is committed');
    expect(log.lastIndex).to.equal(3);
  });

  it('finds the committed position that another log cannot hold, in memory or compacted', () => {
    for (const seed of seeds(1, 300)) {
      const random = new Random(seed);
      let term = 1;
      const terms = Array.from({ length: 12 }, () => (term += random.below(4) === 0 ? 1 : 0));
      const commit = 1 + random.below(12);
      const start = random.below(commit + 1);
      const compacted = { index: start, term: terms[start - 1] ?? 0 };
      const log = logOf({ compacted, log: terms.slice(start), commit, applied: start });
      const index = 1 + random.below(15);
      const theirTerm = 1 + random.below(6);
      // A log that agrees on all that is committed and in memory, and has `theirTerm` at `index`, if terms can rise so.
      const known = (i: number): number | undefined =>
        i >= Math.max(1, start) && i <= commit ? terms[i - 1] : undefined;
      let possible = (known(index) ?? theirTerm) === theirTerm;
      for (let i = 1; i <= 15; i++) {
        const own = known(i);
        if (own === undefined) continue;
        if (i < index && own > theirTerm) possible = false;
        if (i > index && own < theirTerm) possible = false;
      }
      const found = log.contradictedBy(index, theirTerm);
      expect(found === null, `SEED=${seed}`).to.equal(possible);
      if (found !== null) expect(known(found.index), `SEED=${seed}`).to.equal(found.term);
    }
  });

  it('finds the last index whose term is not after another (R21)', () => {
    for (const seed of seeds(1, 200)) {
      const random = new Random(seed);
      const compacted = { index: random.below(5), term: random.below(3) };
      let term = compacted.term;
      const terms = Array.from(
        { length: random.below(20) },
        () => (term += random.below(3) === 0 ? 1 : 0),
      );
      const log = logOf({ compacted, log: terms, applied: compacted.index });
      const at = random.below(30);
      const wanted = random.below(8);
      const high = Math.min(at, log.lastIndex);
      let expected = high;
      while (expected > compacted.index && (log.termAt(expected) ?? 0) > wanted) expected--;
      if (high >= compacted.index && compacted.term > wanted)
        expected = Math.max(0, compacted.index - 1);
      expect(log.lastNotAfter(at, wanted), `SEED=${seed}`).to.equal(expected);
    }
  });

  it('behaves like a list under appends, replacements, writes and compactions', () => {
    for (const seed of seeds(1, 60)) {
      const random = new Random(seed);
      const log = logOf({}, random.pick([0, 1, 7, 512]));
      const model: Entry[] = [];
      let term = 1;
      for (let step = 0; step < 400; step++) {
        switch (random.below(6)) {
          case 0:
          case 1: {
            const after = log.committed + random.below(log.lastIndex - log.committed + 1);
            if (random.chance(150)) term++;
            const prev = after === 0 ? 0 : (model[after - 1]?.term ?? 0);
            const count = 1 + random.below(40);
            const entries = Array.from({ length: count }, (_, i) =>
              entry(after + 1 + i, Math.max(prev, term)),
            );
            log.merge(entries);
            const conflict = entries.find((e) => (model[e.index - 1]?.term ?? e.term) !== e.term);
            if (conflict !== undefined) model.length = conflict.index - 1;
            for (const e of entries) model[e.index - 1] ??= e;
            break;
          }
          case 2:
            if (!log.isOverwriting()) log.takeUnstable();
            break;
          case 3: {
            // Completions may be late and of any write handed out before.
            const to = log.stable + random.below(log.handedOut - log.stable + 1);
            if (!log.isOverwriting()) log.stableTo(to, log.termAt(to) ?? 0);
            else
              log.stableTo(
                Number(Reflect.get(log, 'overwrittenIndex')),
                Number(Reflect.get(log, 'overwrittenTerm')),
              );
            break;
          }
          case 4:
            log.commitTo(Math.min(log.stable, log.committed + random.below(20)));
            log.takeCommitted(1e9);
            log.appliedTo(log.applying);
            break;
          default:
            if (random.chance(300))
              log.compactTo(Math.max(log.compactedIndex, log.applied - random.below(50)));
        }
        expect(log.lastIndex, `SEED=${seed}`).to.equal(model.length);
        expect(log.stable).to.be.at.most(log.handedOut);
        const from = log.compactedIndex + 1;
        const slice = log.slice(from, log.lastIndex, Infinity);
        expect(slice.length).to.equal(model.length - log.compactedIndex);
        const probe = log.compactedIndex + random.below(slice.length);
        expect(slice[probe - log.compactedIndex], `SEED=${seed}`).to.deep.equal(model[probe]);
      }
    }
  });

  it('keeps a page within its bytes but never empty', () => {
    const log = logOf({ log: [1, 1, 1, 1] });
    const one = entryBytes(log.at(1));
    expect(log.slice(1, 4, 0)).to.have.length(1);
    expect(log.slice(1, 4, one)).to.have.length(1);
    expect(log.slice(1, 4, 2 * one)).to.have.length(2);
    expect(log.slice(1, 4, 1e9)).to.deep.equal(entriesOf([1, 1, 1, 1]));
    expect(log.slice(5, 4, 1e9)).to.have.length(0);
  });

  it('keeps no object of an entry that was applied long ago, and gives it back as it was', () => {
    const log = logOf({ log: new Array<number>(2000).fill(1), commit: 2000 });
    const before = log.slice(1, 2000, Infinity);
    log.takeCommitted(1e9);
    log.appliedTo(2000);
    const { slots } = Reflect.get(log, 'hot') as { readonly slots: readonly Entry[] };
    expect(slots.filter((e) => e.data.length > 0)).to.have.length(512);
    expect(log.slice(1, 2000, Infinity)).to.deep.equal(before);
    expect(log.slice(1480, 1500, Infinity)).to.deep.equal(before.slice(1479, 1500));
    const one = entryBytes(log.at(1));
    expect(log.slice(1, 2000, 3 * one)).to.have.length(3);
    expect(log.slice(1, 2000, 0)).to.have.length(1);
    expect([log.termAt(1), log.at(7)]).to.deep.equal([1, before[6]]);
    log.compactTo(1000);
    expect(log.slice(1001, 2000, Infinity)).to.deep.equal(before.slice(1000));
    expect(() => log.at(1000)).to.throw('not in memory');
    log.compactTo(1900);
    expect(log.slice(1901, 2000, Infinity)).to.deep.equal(before.slice(1900));
  });

  it('does not keep compacted payloads alive', () => {
    const log = logOf({ log: new Array<number>(100).fill(1), commit: 100 });
    log.takeCommitted(1e9);
    log.appliedTo(100);
    log.compactTo(90);
    const { slots } = Reflect.get(log, 'hot') as { readonly slots: readonly Entry[] };
    expect(slots.filter((e) => e.data.length > 0)).to.have.length(10);
    expect(() => log.at(90)).to.throw('not in memory');
  });
});
