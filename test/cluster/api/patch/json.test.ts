import { expect } from 'chai';
import fc from 'fast-check';
import { deepFreeze, type JsonObject, type JsonValue } from '../../../../src/cluster/api/object.js';
import { applyJsonPatch, unknownPatchFields } from '../../../../src/cluster/api/patch/json.js';
import { failureOf } from '../failure.js';

/** `undefined` for a patch that cannot be applied. */
const CASES: readonly [string, JsonObject, JsonValue, JsonValue | undefined][] = [
  [
    'adds a member of an object',
    { foo: 'bar' },
    [{ op: 'add', path: '/baz', value: 'qux' }],
    { foo: 'bar', baz: 'qux' },
  ],
  [
    'adds an element within a list',
    { foo: ['bar', 'baz'] },
    [{ op: 'add', path: '/foo/1', value: 'qux' }],
    { foo: ['bar', 'qux', 'baz'] },
  ],
  [
    'adds at the end of a list',
    { foo: ['bar'] },
    [{ op: 'add', path: '/foo/-', value: ['a'] }],
    { foo: ['bar', ['a']] },
  ],
  ['adds null for a value left out', { a: 1 }, [{ op: 'add', path: '/b' }], { a: 1, b: null }],
  ['removes a member', { baz: 1, foo: 2 }, [{ op: 'remove', path: '/baz' }], { foo: 2 }],
  ['removes an element', { foo: [1, 2, 3] }, [{ op: 'remove', path: '/foo/1' }], { foo: [1, 3] }],
  ['removes the last element', { foo: [1, 2] }, [{ op: 'remove', path: '/foo/-1' }], { foo: [1] }],
  ['replaces a value', { baz: 1 }, [{ op: 'replace', path: '/baz', value: 2 }], { baz: 2 }],
  [
    'replaces an absent member as add does',
    { baz: 1 },
    [{ op: 'replace', path: '/foo', value: 2 }],
    { baz: 1, foo: 2 },
  ],
  ['replaces the whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 1 } }], { b: 1 }],
  [
    'moves a value',
    { foo: { bar: 1, waldo: 2 }, qux: {} },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: { bar: 1 }, qux: { thud: 2 } },
  ],
  [
    'moves an element',
    { foo: ['all', 'grass', 'cows', 'eat'] },
    [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
    { foo: ['all', 'cows', 'eat', 'grass'] },
  ],
  [
    'copies a value',
    { a: { x: 1 } },
    [{ op: 'copy', from: '/a', path: '/b' }],
    { a: { x: 1 }, b: { x: 1 } },
  ],
  [
    'tests values',
    { baz: 'qux', foo: ['a', 2] },
    [
      { op: 'test', path: '/baz', value: 'qux' },
      { op: 'test', path: '/foo/1', value: 2 },
      { op: 'test', path: '/none', value: null },
      { op: 'test', path: '', value: { foo: ['a', 2], baz: 'qux' } },
    ],
    { baz: 'qux', foo: ['a', 2] },
  ],
  [
    'reads ~1 as a slash and ~0 as a tilde',
    { 'a/b': 1, '~1': 2 },
    [
      { op: 'test', path: '/~01', value: 2 },
      { op: 'remove', path: '/a~1b' },
    ],
    { '~1': 2 },
  ],
  ['applies none of no operations', { a: 1 }, null, { a: 1 }],
  ['fails in test', { a: 1 }, [{ op: 'test', path: '/a', value: 2 }], undefined],
  ['fails to test without value', { a: 1 }, [{ op: 'test', path: '/a' }], undefined],
  ['fails to remove what is absent', { a: 1 }, [{ op: 'remove', path: '/b' }], undefined],
  ['fails below what is absent', {}, [{ op: 'add', path: '/a/b', value: 1 }], undefined],
  ['fails below a scalar', { a: 1 }, [{ op: 'add', path: '/a/b', value: 1 }], undefined],
  ['fails beyond the end', { a: [] }, [{ op: 'add', path: '/a/1', value: 1 }], undefined],
  ['fails before the begin', { a: [1] }, [{ op: 'remove', path: '/a/-2' }], undefined],
  ['fails at no index', { a: [1] }, [{ op: 'replace', path: '/a/-', value: 1 }], undefined],
  ['fails to remove the whole', { a: 1 }, [{ op: 'remove', path: '' }], undefined],
  ['fails to move what is absent', { a: 1 }, [{ op: 'move', from: '/b', path: '/c' }], undefined],
  ['fails without path', { a: 1 }, [{ op: 'remove' }], undefined],
  ['fails on an unknown operation', { a: 1 }, [{ op: 'put', path: '/a', value: 1 }], undefined],
  ['fails on null as operation', { a: 1 }, [null], undefined],
];

describe('JSON patch', () => {
  for (const [name, target, patch, expected] of CASES)
    it(name, () => {
      deepFreeze(target);
      if (expected !== undefined) {
        expect(applyJsonPatch(target, patch)).to.deep.equal(expected);
        return;
      }
      expect(failureOf(() => applyJsonPatch(target, patch)).status).to.deep.equal({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: 'the server rejected our request due to an error in our request',
        reason: 'Invalid',
        details: {},
        code: 422,
      });
    });

  for (const [patch, found] of [
    [{ op: 'add' }, 'object into Go value of type []handlers.jsonPatchOp'],
    ['x', 'string into Go value of type []handlers.jsonPatchOp'],
    [[1], 'number into Go value of type handlers.jsonPatchOp'],
    [[{ op: 5 }], 'number into Go struct field jsonPatchOp.op of type string'],
    [[{ path: [] }], 'array into Go struct field jsonPatchOp.path of type string'],
  ] as [JsonValue, string][])
    it(`refuses ${JSON.stringify(patch)}`, () => {
      const { code, reason, message } = failureOf(() => applyJsonPatch({}, patch));
      expect([code, reason]).to.deep.equal([400, 'BadRequest']);
      expect(message).to.equal(`error decoding patch: json: cannot unmarshal ${found}`);
    });

  it('takes 10,000 operations and refuses more', () => {
    const operations = Array<JsonValue>(10_000).fill({ op: 'test', path: '/a', value: 1 });
    expect(applyJsonPatch({ a: 1 }, operations)).to.deep.equal({ a: 1 });
    const { code, reason, message } = failureOf(() =>
      applyJsonPatch({ a: 1 }, [...operations, null]),
    );
    expect([code, reason]).to.deep.equal([413, 'RequestEntityTooLarge']);
    expect(message).to.equal(
      'Request entity is too large: The allowed maximum operations in a JSON patch is 10000, got 10001',
    );
  });

  it('bounds what copies add up to', () => {
    const target = { a: 'x'.repeat(1024 * 1024) };
    const copies = (count: number) =>
      Array.from({ length: count }, (_, at) => ({ op: 'copy', from: '/a', path: `/c${at}` }));
    expect(Object.keys(applyJsonPatch(target, copies(2)) as JsonObject)).to.have.length(3);
    expect(failureOf(() => applyJsonPatch(target, copies(3))).code).to.equal(422);
  });

  it('names members of operations that it does not know', () => {
    const patch = [
      { op: 'test', path: '/a', value: 1 },
      { op: 'test', when: 1, why: 2 },
    ];
    expect(unknownPatchFields(patch)).to.deep.equal([
      'json patch unknown field "[1].when"',
      'json patch unknown field "[1].why"',
    ]);
  });

  it('does as a model that changes a copy in place', () => {
    fc.assert(
      fc.property(documents, fc.array(operations, { maxLength: 4 }), (target, patch) => {
        const before = JSON.stringify(target);
        let expected: JsonValue | undefined;
        try {
          expected = applyInPlace(structuredClone(target), patch);
        } catch {
          expected = undefined;
        }
        if (expected === undefined)
          expect(failureOf(() => applyJsonPatch(target, patch)).code).to.equal(422);
        else expect(applyJsonPatch(target, patch)).to.deep.equal(expected);
        expect(JSON.stringify(target)).to.equal(before);
      }),
      { numRuns: 1000 },
    );
  });
});

const NAMES = ['a', 'b', '0'];
const { value: values } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<JsonValue>(1, 'x', true),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
}));
const documents = fc.dictionary(fc.constantFrom(...NAMES), values, {
  minKeys: 1,
  maxKeys: 3,
  noNullPrototype: true,
});
const pointers = fc
  .array(fc.constantFrom(...NAMES, '1', '-'), { minLength: 1, maxLength: 3 })
  .map((tokens) => `/${tokens.join('/')}`);
const operations = fc.record({
  op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test'),
  path: pointers,
  from: pointers,
  value: values,
});

type Operation = typeof operations extends fc.Arbitrary<infer T> ? T : never;

/** RFC 6902 by mutation; throws when an operation does not apply. */
function applyInPlace(document: JsonObject, patch: readonly Operation[]): JsonValue {
  for (const { op, path, from, value } of structuredClone(patch)) {
    if (op === 'move') {
      const moved = take(document, from);
      removeAt(document, from);
      addAt(document, path, moved);
    } else if (op === 'copy') addAt(document, path, structuredClone(take(document, from)));
    else if (op === 'add') addAt(document, path, value);
    else if (op === 'remove') removeAt(document, path);
    else if (op === 'replace') {
      const { parent, last } = parentOf(document, path);
      if (Array.isArray(parent)) parent[place(last, parent.length)] = value;
      else parent[last] = value;
    } else expect(take(document, path)).to.deep.equal(value);
  }
  return document;
}

type Parent = JsonValue[] | Record<string, JsonValue>;

function parentOf(document: JsonValue, path: string): { parent: Parent; last: string } {
  const tokens = path.split('/').slice(1);
  const last = tokens.pop() ?? '';
  let parent: JsonValue = document;
  for (const token of tokens) parent = childOf(parent as Parent, token);
  if (typeof parent !== 'object' || parent === null) throw new Error('a scalar has no members');
  return { parent: parent as Parent, last };
}

function childOf(parent: Parent, token: string): JsonValue {
  if (typeof parent !== 'object') throw new Error('a scalar has no members');
  const child = Array.isArray(parent) ? parent[place(token, parent.length)] : parent[token];
  if (child === undefined) throw new Error('absent');
  return child;
}

function place(token: string, length: number): number {
  const at = Number(token);
  if (!Number.isInteger(at) || at >= length) throw new Error('out of range');
  return at;
}

function take(document: JsonObject, path: string): JsonValue {
  const { parent, last } = parentOf(document, path);
  if (Array.isArray(parent)) return childOf(parent, last);
  return parent[last] ?? null;
}

function addAt(document: JsonObject, path: string, value: JsonValue): void {
  const { parent, last } = parentOf(document, path);
  if (!Array.isArray(parent)) parent[last] = value;
  else parent.splice(last === '-' ? parent.length : place(last, parent.length + 1), 0, value);
}

function removeAt(document: JsonObject, path: string): void {
  const { parent, last } = parentOf(document, path);
  childOf(parent, last);
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else Reflect.deleteProperty(parent, last);
}
