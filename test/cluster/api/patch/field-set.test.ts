import { expect } from 'chai';
import fc from 'fast-check';
import type { JsonObject, JsonValue } from '../../../../src/cluster/api/object.js';
import {
  EMPTY_SET,
  difference,
  equals,
  fieldSetFromJson,
  fieldSetOf,
  has,
  intersection,
  isEmpty,
  pathsOf,
  recursiveDifference,
  union,
  type FieldSet,
} from '../../../../src/cluster/api/patch/field-set.js';
import { describePathElement } from '../../../../src/cluster/api/patch/path-element.js';
import { recordedSteps } from '../kinds/recorded-writes.js';

const paths = fc.array(fc.constantFrom('f:a', 'f:b', 'k:{"name":"a"}', 'v:"x"', 'v:7', 'i:0'), {
  minLength: 1,
  maxLength: 3,
});
const pathLists = fc.array(paths, { maxLength: 12 });

/** The model of a set: texts of its paths. */
function model(set: FieldSet): Set<string> {
  return new Set([...pathsOf(set)].map(textOf));
}

function textOf(path: readonly string[]): string {
  return path.join(' ');
}

function expectPaths(set: FieldSet, expected: Iterable<string>): void {
  expect([...model(set)].sort()).to.deep.equal([...new Set(expected)].sort());
  // Nothing but the paths makes a difference.
  const again = fieldSetOf(...[...expected].map((path) => path.split(' ')));
  expect(equals(set, again)).to.equal(true);
  expect(set.toJson()).to.deep.equal(again.toJson());
}

describe('field set', () => {
  it('does what sets of paths do', () => {
    fc.assert(
      fc.property(pathLists, pathLists, (left, right) => {
        const a = fieldSetOf(...left);
        const b = fieldSetOf(...right);
        const inA = left.map(textOf);
        const inB = right.map(textOf);
        expectPaths(a, inA);
        expectPaths(union(a, b), [...inA, ...inB]);
        expectPaths(
          intersection(a, b),
          inA.filter((path) => inB.includes(path)),
        );
        expectPaths(
          difference(a, b),
          inA.filter((path) => !inB.includes(path)),
        );
        const isBelow = (path: string) => inB.some((other) => `${path} `.startsWith(`${other} `));
        expectPaths(
          recursiveDifference(a, b),
          inA.filter((path) => !isBelow(path)),
        );
        expect(equals(a, b)).to.equal(
          JSON.stringify([...model(a)].sort()) === JSON.stringify([...model(b)].sort()),
        );
        expect(isEmpty(a)).to.equal(left.length === 0);
        for (const path of [...left, ...right])
          expect(has(a, path)).to.equal(inA.includes(textOf(path)));
      }),
      { numRuns: 500 },
    );
  });

  it('returns what it was given when nothing changes', () => {
    fc.assert(
      fc.property(pathLists, pathLists, (left, right) => {
        const a = fieldSetOf(...left);
        const both = union(a, fieldSetOf(...right));
        expect(union(both, fieldSetOf(...left))).to.equal(both);
        expect(intersection(a, both)).to.equal(a);
        const rest = difference(both, a);
        expect(difference(rest, a)).to.equal(rest);
        expect(recursiveDifference(rest, EMPTY_SET)).to.equal(rest);
      }),
    );
  });

  it('is written and read in one form', () => {
    fc.assert(
      fc.property(pathLists, (list) => {
        const set = fieldSetOf(...list);
        const text = JSON.stringify(set.toJson());
        expect(equals(fieldSetFromJson(JSON.parse(text) as JsonValue), set)).to.equal(true);
        expect(JSON.stringify(fieldSetOf(...[...list].reverse()).toJson())).to.equal(text);
      }),
    );
  });

  it('reads and writes what the real server wrote', () => {
    let count = 0;
    const files = [
      'defaults/v1.Pod.json',
      'defaults/apps_v1.Deployment.json',
      'apply/ownership.json',
    ];
    for (const { response } of files.flatMap(recordedSteps)) {
      const { managedFields = [] } = (response.body['metadata'] ?? {}) as {
        managedFields?: JsonObject[];
      };
      for (const { fieldsV1 } of managedFields) {
        if (fieldsV1 === undefined) continue;
        const set = fieldSetFromJson(fieldsV1);
        expect(JSON.stringify(set.toJson())).to.equal(JSON.stringify(fieldsV1));
        count++;
      }
    }
    expect(count).to.be.greaterThan(20);
  });

  it('orders fields, keys, values and positions', () => {
    const set = fieldSetOf(
      ['i:1'],
      ['v:null'],
      ['v:true'],
      ['v:"b"'],
      ['v:10'],
      ['v:9'],
      ['k:{"name":"a","port":1}'],
      ['k:{"port":80}'],
      ['k:{"port":9}'],
      ['k:{"name":"a!"}'],
      ['k:{"name":"a"}'],
      ['f:b'],
      ['f:B'],
    );
    expect(Object.keys(set.toJson())).to.deep.equal([
      'f:B',
      'f:b',
      'k:{"name":"a"}',
      'k:{"name":"a","port":1}',
      'k:{"name":"a!"}',
      'k:{"port":9}',
      'k:{"port":80}',
      'v:9',
      'v:10',
      'v:"b"',
      'v:true',
      'v:null',
      'i:1',
    ]);
  });

  describe('reads', () => {
    const CASES: readonly [string, JsonValue, JsonObject][] = [
      ['elements in any order', { 'f:b': {}, 'f:a': {} }, { 'f:a': {}, 'f:b': {} }],
      [
        'keys in any order',
        { 'k:{"port":80,"name":"<a>"}': {} },
        { 'k:{"name":"\\u003ca\\u003e","port":80}': {} },
      ],
      ['a member without children', { 'f:a': { '.': {} } }, { 'f:a': {} }],
      ['null as empty', { 'f:a': null }, { 'f:a': {} }],
      ['nothing of unknown sorts', { 'z:a': { x: 1 }, 'f:a': {} }, { 'f:a': {} }],
      ['positions', { 'i:+1': {} }, { 'i:1': {} }],
      ['an empty set', {}, {}],
    ];
    for (const [what, given, expected] of CASES)
      it(what, () => {
        expect(JSON.stringify(fieldSetFromJson(given).toJson())).to.equal(JSON.stringify(expected));
      });

    for (const wrong of [
      'x',
      { f: {} },
      { field: {} },
      { 'f:a': 1 },
      { 'f:a': [] },
      { 'k:[]': {} },
      { 'k:': {} },
      { 'v:x': {} },
      { 'i:x': {} },
    ] as JsonValue[])
      it(`no ${JSON.stringify(wrong)}`, () => {
        expect(() => fieldSetFromJson(wrong)).to.throw(SyntaxError);
      });
  });

  it('is read once as long as its text is known', () => {
    const json = { 'f:once': {}, 'f:read': { 'f:below': {} } };
    expect(fieldSetFromJson(structuredClone(json))).to.equal(fieldSetFromJson(json));
  });

  it('forgets the oldest texts', () => {
    const first = fieldSetFromJson({ 'f:first': {} });
    for (let at = 0; at < 100; at++)
      fieldSetFromJson({ [`f:${at}`]: {}, [`f:${'x'.repeat(100_000)}`]: {} });
    const again = fieldSetFromJson({ 'f:first': {} });
    expect(again).not.to.equal(first);
    expect(equals(again, first)).to.equal(true);
  });

  it('names steps as conflicts do', () => {
    const steps = ['f:spec', 'k:{"containerPort":80,"protocol":"TCP"}', 'v:"x"', 'i:3'];
    expect(steps.map(describePathElement).join('')).to.equal(
      '.spec[containerPort=80,protocol="TCP"][="x"][3]',
    );
  });
});
