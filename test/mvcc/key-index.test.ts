import { expect } from 'chai';
import fc from 'fast-check';
import { CompactionCursor, emptyRow, KeyIndex } from '../../src/mvcc/key-index.js';

interface Change {
  readonly key: string;
  readonly main: number;
  readonly live: boolean;
  readonly create: number;
  readonly version: number;
}

/** The index as a list of all changes, searched from the end. */
class ListIndex {
  changes: Change[] = [];

  at(key: string, revision: number): Change | undefined {
    return this.changes.findLast((change) => change.key === key && change.main <= revision);
  }

  put(key: string, main: number): void {
    const before = this.at(key, main);
    const isNew = before === undefined || !before.live;
    const create = isNew ? main : before.create;
    this.changes.push({ key, main, live: true, create, version: isNew ? 1 : before.version + 1 });
  }

  delete(key: string, main: number): boolean {
    if (this.at(key, main)?.live !== true) return false;
    this.changes.push({ key, main, live: false, create: 0, version: 0 });
    return true;
  }

  keysAt(revision: number): string[] {
    const keys = [...new Set(this.changes.map((change) => change.key))].sort();
    return keys.filter((key) => this.at(key, revision)?.live === true);
  }

  /** Revisions that stay when compacted at `revision`. */
  compact(revision: number): void {
    this.changes = this.changes.filter((change) => {
      if (change.main > revision) return true;
      if (this.at(change.key, revision) !== change) return false;
      return change.live || change.main === revision;
    });
  }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('put' as const), key: fc.nat(400) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('delete' as const), key: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('deleteMany' as const), key: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('compact' as const), key: fc.nat(100) }) },
);

/** Keys that differ late, some of them prefixes of others. */
function nameOf(n: number): string {
  return `k${'/long/common/prefix/'.repeat(n % 3 === 0 ? 0 : 1)}${String(n).padStart(3, '0')}${'\0'.repeat(n % 5)}`;
}

function runHistory(steps: readonly { op: string; key: number }[], ascending: boolean): void {
  const index = new KeyIndex();
  const model = new ListIndex();
  let main = 1;
  let compacted = 0;
  let fresh = 0;
  for (const { op, key } of steps) {
    if (op === 'put') {
      main++;
      const name = ascending ? nameOf(fresh++ % 700) : nameOf(key);
      index.put(name, main, 0);
      model.put(name, main);
    } else if (op === 'delete') {
      const deleted = index.delete(nameOf(key), main + 1, 0);
      expect(deleted).to.equal(model.delete(nameOf(key), main + 1));
      if (deleted) main++;
    } else if (op === 'deleteMany') {
      main++;
      for (let i = key; i < key + 120; i++) {
        expect(index.delete(nameOf(i), main, i)).to.equal(model.delete(nameOf(i), main));
      }
    } else {
      const revision = Math.min(main, compacted + 1 + key);
      const before = new Set(model.changes);
      model.compact(revision);
      for (const change of model.changes) before.delete(change);
      const expected = [...before]
        .map((change) => `${String(change.main)} ${String(!change.live)}`)
        .sort();
      const cursor = new CompactionCursor(revision);
      const removed: string[] = [];
      while (
        !index.compactSlice(cursor, 7, (at, _sub, tombstone) => {
          removed.push(`${String(at)} ${String(tombstone)}`);
        })
      );
      expect(removed.sort()).to.deep.equal(expected);
      compacted = Math.max(compacted, revision);
    }
    index.check();
  }
  expect(index.size).to.equal(new Set(model.changes.map((change) => change.key)).size);
  for (
    let revision = compacted;
    revision <= main;
    revision += 1 + Math.floor((main - compacted) / 12)
  ) {
    const keys = model.keysAt(revision);
    const all = { start: '', end: null };
    expect(index.list(all, revision, 0, undefined).map((row) => row.key)).to.deep.equal(keys);
    expect(index.count(all, revision, revision === main)).to.equal(keys.length);
    const inside = keys.filter((key) => key >= nameOf(100) && key < nameOf(250));
    const interval = { start: nameOf(100), end: nameOf(250) };
    const paged: string[] = [];
    for (let after: string | undefined; ;) {
      const page = index.list(interval, revision, 10, after);
      paged.push(...page.map((row) => row.key));
      after = page.at(-1)?.key;
      if (page.length < 10) break;
    }
    expect(paged).to.deep.equal(inside);
    expect(index.count(interval, revision, revision === main)).to.equal(inside.length);
    expect(
      index.count({ start: nameOf(250), end: nameOf(100) }, revision, revision === main),
    ).to.equal(0);
    const row = emptyRow();
    for (let i = 0; i < 420; i += 3) {
      const want = model.at(nameOf(i), revision);
      expect(index.lookup(nameOf(i), revision, row)).to.equal(want?.live === true);
      if (want?.live === true) {
        const { key, modRevision, createRevision, version } = row;
        expect({
          key,
          main: modRevision,
          live: true,
          create: createRevision,
          version,
        }).to.deep.equal(want);
      }
    }
  }
}

describe('KeyIndex', () => {
  const seed =
    process.env['SEED'] === undefined ? Date.now() % 1_000_000 : Number(process.env['SEED']);
  it(`equals a list of changes at every revision (SEED=${String(seed)})`, () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 900, size: 'max' }),
        fc.boolean(),
        runHistory,
      ),
      { seed, numRuns: 40, endOnFailure: true },
    );
  });

  it('shrinks when its keys are deleted and compacted', () => {
    const index = new KeyIndex();
    for (let i = 0; i < 20_000; i++) index.put(nameOf((i * 7919) % 20_000), i + 2, 0);
    expect(index.live).to.equal(20_000);
    for (let i = 0; i < 20_000; i++) if (i % 500 !== 0) index.delete(nameOf(i), 30_000, i);
    const cursor = new CompactionCursor(30_001);
    let removed = 0;
    while (!index.compactSlice(cursor, 100, () => removed++));
    index.check();
    expect([index.size, index.live, removed]).to.deep.equal([40, 40, 2 * (20_000 - 40)]);
    expect(index.count({ start: nameOf(500), end: nameOf(5_000) }, 30_001, true)).to.equal(
      index.list({ start: nameOf(500), end: nameOf(5_000) }, 30_001, 0, undefined).length,
    );
  });

  it('reports everything a tombstone hides before the tombstone', () => {
    const index = new KeyIndex();
    for (let main = 2; main < 100; main++) index.put('a', main, 0);
    index.delete('a', 100, 0);
    index.put('b', 101, 0);
    const cursor = new CompactionCursor(101);
    const removed: number[] = [];
    let slices = 0;
    while (!index.compactSlice(cursor, 10, (main) => removed.push(main))) slices++;
    expect(slices).to.be.greaterThan(5);
    expect(removed.at(-1)).to.equal(100);
    expect(removed).to.have.length(99);
  });
});
