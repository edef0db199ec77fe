import { expect } from 'chai';
import fc from 'fast-check';
import { configMap } from '../../../../src/cluster/api/kinds/core/configmap.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { OrderedIndex } from '../../../../src/cluster/apiserver/cache/ordered-index.js';
import { StoredObject } from '../../../../src/cluster/apiserver/storage/stored-object.js';

const KIND = configMap as unknown as Kind;
const key = fc
  .tuple(fc.constantFrom('a', 'a-b', 'b', 'ns'), fc.integer({ min: 0, max: 400 }))
  .map(([namespace, n]) => `${namespace}/o${n}`);
const change = fc.record({ key, isDelete: fc.boolean(), revision: fc.nat() });

function stored(name: string, revision: number): StoredObject {
  return StoredObject.fromBytes(KIND, name, revision, Buffer.from('{}'));
}

function keysOf(objects: Iterable<StoredObject>): string[] {
  return [...objects].map((object) => `${object.key}@${object.revision}`);
}

function modelKeys(model: ReadonlyMap<string, number>, prefix: string, from: string): string[] {
  const keys = [...model.keys()].filter((name) => name.startsWith(prefix) && name >= from).sort();
  return keys.map((name) => `${name}@${model.get(name) ?? 0}`);
}

describe('OrderedIndex', () => {
  it('holds what a sorted map holds, and snapshots do not change', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 1500 }), key, (changes, from) => {
        const index = new OrderedIndex();
        const model = new Map<string, number>();
        const snapshots: { readonly index: OrderedIndex; readonly model: Map<string, number> }[] =
          [];
        for (const [i, { key: name, isDelete, revision }] of changes.entries()) {
          if (isDelete) {
            index.delete(name);
            model.delete(name);
          } else {
            index.set(stored(name, revision));
            model.set(name, revision);
          }
          if (i % 200 === 0) snapshots.push({ index: index.snapshot(), model: new Map(model) });
        }
        for (const one of [...snapshots, { index, model }]) {
          expect(one.index.size).to.equal(one.model.size);
          for (const prefix of ['', 'a/', 'a-b/', 'b/', 'none/']) {
            const wanted = modelKeys(one.model, prefix, from);
            expect(keysOf(one.index.scan(prefix, from))).to.deep.equal(wanted);
            expect(one.index.countFrom(prefix, from)).to.equal(wanted.length);
            expect(keysOf(one.index.scan(prefix))).to.deep.equal(modelKeys(one.model, prefix, ''));
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('finds single objects', () => {
    const index = new OrderedIndex();
    for (let i = 0; i < 1000; i++) index.set(stored(`ns/${i}`, i));
    expect(index.get('ns/777')?.revision).to.equal(777);
    expect(index.get('ns/1000')).to.equal(undefined);
    expect(index.get('')).to.equal(undefined);
  });
});
