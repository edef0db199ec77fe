import { expect } from 'chai';
import fc from 'fast-check';
import { IntervalTree } from '../../../src/base/collections/interval-tree.js';
import type { Key } from '../../../src/base/collections/interval.js';

const unit = fc.constantFrom('a', 'b', 'c', '\0', 'ÿ');
// Few keys, so that intervals are found again and deleted.
const key = fc.oneof(
  { weight: 8, arbitrary: fc.string({ maxLength: 1, unit }) },
  { weight: 1, arbitrary: fc.string({ maxLength: 3, unit }) },
);

const operation = fc.record({
  isSet: fc.boolean(),
  start: key,
  end: fc.option(key, { nil: null }),
});

/** Depth and order of the tree, by looking into it. */
interface Inside {
  readonly left: Inside | undefined;
  readonly right: Inside | undefined;
  readonly height: number;
}

function checkedHeight(node: Inside | undefined): number {
  if (node === undefined) return 0;
  const left = checkedHeight(node.left);
  const right = checkedHeight(node.right);
  expect(Math.abs(left - right)).at.most(1);
  expect(node.height).equals(1 + Math.max(left, right));
  return node.height;
}

describe('IntervalTree', () => {
  it('finds what a linear scan finds, and stays balanced', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { minLength: 50, maxLength: 200 }),
        fc.array(key),
        (operations, probes) => {
          const tree = new IntervalTree<string>();
          const model = new Map<string, { start: Key; end: Key | null }>();
          for (const { isSet, start, end } of operations) {
            const name = JSON.stringify([start, end]);
            if (isSet) {
              tree.set(start, end, name);
              model.set(name, { start, end });
            } else {
              tree.delete(start, end);
              model.delete(name);
            }
            expect(tree.get(start, end)).equals(isSet ? name : undefined);
          }
          expect(tree.size).equals(model.size);
          checkedHeight((tree as unknown as { root: Inside | undefined }).root);
          for (const probe of probes) {
            const found: string[] = [];
            tree.stab(probe, found);
            const expected: string[] = [];
            for (const [name, { start, end }] of model) {
              if (start <= probe && (end === null || probe < end)) expected.push(name);
            }
            expect(found.sort()).deep.equals(expected.sort());
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('replaces the value of an interval it has', () => {
    const tree = new IntervalTree<number>();
    tree.set('a', null, 1);
    tree.set('a', null, 2);
    expect(tree.size).equals(1);
    expect(tree.get('a', null)).equals(2);
  });
});
