import { expect } from 'chai';
import fc from 'fast-check';
import {
  decodeTxnRequest,
  encodeTxnRequest,
  type RequestOpInit,
  type TxnRequest,
  type TxnRequestInit,
} from '../../../src/gen/rpc.js';
import { errors } from '../../../src/server/contract/errors.js';
import {
  checkPut,
  checkRange,
  checkTxn,
  isReadOnly,
  isSerializable,
} from '../../../src/server/services/kv-checks.js';
import {
  decodePutRequest,
  decodeRangeRequest,
  encodePutRequest,
  encodeRangeRequest,
} from '../../../src/gen/rpc.js';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
const MAX_OPS = 128;

const b = (text: string): Buffer => Buffer.from(text, 'latin1');
const put = (key: string): RequestOpInit => ({ requestPut: { key: b(key), value: b('v') } });
const del = (key: string, end = ''): RequestOpInit => ({
  requestDeleteRange: { key: b(key), rangeEnd: b(end) },
});
const range = (key: string, serializable = false): RequestOpInit => ({
  requestRange: { key: b(key), serializable },
});
const nested = (success: RequestOpInit[], failure: RequestOpInit[] = []): RequestOpInit => ({
  requestTxn: { success, failure },
});

function txn(init: TxnRequestInit): TxnRequest {
  return decodeTxnRequest(encodeTxnRequest(init));
}

/** One thing a path does, with where it comes from: the nested transactions it is inside of, outermost first. */
interface Effect {
  readonly kind: 'put' | 'delete';
  readonly start: string;
  readonly end: string;
  /** Position among the ops at each level, outermost first. */
  readonly place: readonly number[];
}

/** Every way the ops can go: nested transactions may take either side. */
function pathsOf(ops: readonly RequestOpInit[], inside: readonly number[] = []): Effect[][] {
  let paths: Effect[][] = [[]];
  ops.forEach((op, i) => {
    const place = [...inside, i];
    let ways: Effect[][] = [[]];
    if (op.requestPut !== undefined) {
      const start = Buffer.from(op.requestPut.key ?? '').toString('latin1');
      ways = [[{ kind: 'put', start, end: `${start}\0`, place }]];
    } else if (op.requestDeleteRange !== undefined) {
      const start = Buffer.from(op.requestDeleteRange.key ?? '').toString('latin1');
      const end = Buffer.from(op.requestDeleteRange.rangeEnd ?? '').toString('latin1');
      if (end !== '\0')
        ways = [[{ kind: 'delete', start, end: end === '' ? `${start}\0` : end, place }]];
    } else if (op.requestTxn !== undefined) {
      ways = [
        ...pathsOf(op.requestTxn.success ?? [], place),
        ...pathsOf(op.requestTxn.failure ?? [], place),
      ];
    }
    paths = paths.flatMap((path) => ways.map((way) => [...path, ...way]));
  });
  return paths;
}

/** The rules, effect by effect, on one path. */
function clash(x: Effect, y: Effect): boolean {
  if (x === y || (x.kind === 'delete' && y.kind === 'delete')) return false;
  if (x.kind === 'put' && y.kind === 'put') return x.start === y.start;
  const [deletion, insertion] = x.kind === 'delete' ? [x, y] : [y, x];
  if (!(insertion.start >= deletion.start && insertion.start < deletion.end)) return false;
  // A delete inside a nested transaction is not held against nested transactions before it. The
  // level is the first at which the two differ.
  let level = 0;
  while (deletion.place[level] === insertion.place[level]) level++;
  const isDeleteNested = deletion.place.length > level + 1;
  const isPutNested = insertion.place.length > level + 1;
  const isPutFirst = (insertion.place[level] ?? 0) < (deletion.place[level] ?? 0);
  return !(isDeleteNested && isPutNested && isPutFirst);
}

function hasDuplicate(ops: readonly RequestOpInit[]): boolean {
  return pathsOf(ops).some((path) => path.some((x) => path.some((y) => clash(x, y))));
}

const keys = fc.constantFrom('a', 'b', 'c', 'd');
const ends = fc.constantFrom('', '\0', 'b', 'c', 'e');
const leafOp = fc.oneof(
  keys.map(put),
  fc.tuple(keys, ends).map(([key, end]) => del(key, end)),
  keys.map((key) => range(key)),
);
const anyOps = fc.letrec<{ ops: RequestOpInit[]; op: RequestOpInit }>((tie) => ({
  ops: fc.array(tie('op'), { maxLength: 3 }),
  op: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    leafOp,
    fc.tuple(tie('ops'), tie('ops')).map(([success, failure]) => nested(success, failure)),
  ),
})).ops;

describe('checks of KV requests', () => {
  it(`finds exactly the duplicates that some path has (SEED=${SEED})`, function () {
    this.timeout(30_000);
    let duplicates = 0;
    fc.assert(
      fc.property(anyOps, (ops) => {
        const expected = hasDuplicate(ops) ? errors.duplicateKey : null;
        if (expected !== null) duplicates++;
        expect(checkTxn(txn({ success: ops }), MAX_OPS)).to.equal(expected);
        expect(checkTxn(txn({ failure: ops }), MAX_OPS)).to.equal(expected);
      }),
      { seed: SEED, numRuns: 3000 },
    );
    expect(duplicates).to.be.greaterThan(100);
  });

  // Each of these was asked of etcd 3.5.
  const asked: readonly [string, RequestOpInit[], boolean][] = [
    ['a put, then a delete, in neighbours', [nested([put('k')]), nested([del('k')])], true],
    ['a delete, then a put, in neighbours', [nested([del('k')]), nested([put('k')])], false],
    ['a put, and a delete below it', [put('k'), nested([del('k')])], false],
    ['a delete, and a put below it', [nested([put('k')]), del('k')], false],
    ['a put and a delete on the two sides', [nested([put('k')], [del('k')])], true],
    ['a put on both sides', [nested([put('k')], [put('k')])], true],
    ['a put in two neighbours', [nested([put('k')]), nested([put('k')])], false],
    [
      'a put on other sides of neighbours',
      [nested([put('j')], [put('k')]), nested([], [put('j')])],
      false,
    ],
    ['a put and a delete with an open end', [put('a'), del('a', '\0')], true],
    ['overlapping deletes', [del('a', 'c'), del('b', 'd'), del('b')], true],
  ];
  for (const [what, ops, isAllowed] of asked) {
    it(`${isAllowed ? 'allows' : 'refuses'} ${what}`, () => {
      const expected = isAllowed ? null : errors.duplicateKey;
      expect(checkTxn(txn({ success: ops }), MAX_OPS)).to.equal(expected);
    });
  }

  it('allows the same key in success and failure', () => {
    expect(checkTxn(txn({ success: [put('k')], failure: [put('k'), del('l')] }), MAX_OPS)).to.equal(
      null,
    );
  });

  it('bounds the longest of the three lists, and nested ones by the remainder', () => {
    const puts = (n: number): RequestOpInit[] => Array.from({ length: n }, (_, i) => put(`k${i}`));
    expect(checkTxn(txn({ success: puts(128) }), MAX_OPS)).to.equal(null);
    expect(checkTxn(txn({ success: puts(129) }), MAX_OPS)).to.equal(errors.tooManyOps);
    const compare = Array.from({ length: 129 }, () => ({ key: b('k') }));
    expect(checkTxn(txn({ compare }), MAX_OPS)).to.equal(errors.tooManyOps);
    expect(checkTxn(txn({ success: [nested(puts(127))] }), MAX_OPS)).to.equal(null);
    expect(checkTxn(txn({ success: [nested(puts(128))] }), MAX_OPS)).to.equal(errors.tooManyOps);
    expect(checkTxn(txn({ success: [nested([put('k')])] }), 1)).to.equal(errors.tooManyOps);
  });

  it('judges count, then compares, then ops, then overlaps', () => {
    const many = Array.from({ length: 129 }, () => put(''));
    expect(checkTxn(txn({ compare: [{ key: b('') }], success: many }), MAX_OPS)).to.equal(
      errors.tooManyOps,
    );
    expect(checkTxn(txn({ compare: [{ key: b('') }], success: [{}] }), MAX_OPS)).to.equal(
      errors.emptyKey,
    );
    expect(checkTxn(txn({ success: [{}, put('')] }), MAX_OPS)).to.equal(errors.keyNotFound);
    expect(checkTxn(txn({ success: [put('a'), put('a')], failure: [put('')] }), MAX_OPS)).to.equal(
      errors.emptyKey,
    );
    const bad = { requestPut: { key: b('a'), value: b('v'), ignoreValue: true } };
    expect(checkTxn(txn({ success: [nested([bad])] }), MAX_OPS)).to.equal(errors.valueProvided);
  });

  it('judges many puts and deletes of nested transactions in a moment', () => {
    const name = (i: number): string => `k${String(i).padStart(6, '0')}`;
    const groups: RequestOpInit[] = [];
    for (let g = 0; g < 60; g++) {
      const ops: RequestOpInit[] = [];
      for (let i = 0; i < 60; i++) ops.push(put(name(g * 60 + i)), del('x', `y${i}`));
      groups.push(nested(ops.slice(0, 60), ops.slice(60)));
    }
    expect(checkTxn(txn({ success: groups }), MAX_OPS)).to.equal(null);
  });

  it('refuses single puts and ranges with the reason etcd gives', () => {
    const asPut = (init: Parameters<typeof encodePutRequest>[0]): ReturnType<typeof checkPut> =>
      checkPut(decodePutRequest(encodePutRequest(init)));
    expect(asPut({ value: b('v') })).to.equal(errors.emptyKey);
    expect(asPut({ key: b('k'), value: b('v'), ignoreValue: true })).to.equal(errors.valueProvided);
    expect(asPut({ key: b('k'), lease: 1n, ignoreLease: true })).to.equal(errors.leaseProvided);
    expect(asPut({ key: b('k'), ignoreValue: true, ignoreLease: true })).to.equal(null);
    const asRange = (
      init: Parameters<typeof encodeRangeRequest>[0],
    ): ReturnType<typeof checkRange> => checkRange(decodeRangeRequest(encodeRangeRequest(init)));
    expect(asRange({})).to.equal(errors.emptyKey);
    expect(asRange({ key: b('k'), sortOrder: 3 })).to.equal(errors.invalidSortOption);
    expect(asRange({ key: b('k'), sortTarget: 5 })).to.equal(errors.invalidSortOption);
    expect(asRange({ key: b('k'), sortOrder: 2, sortTarget: 4 })).to.equal(null);
  });

  it('decides which requests need no log, and which need no quorum', () => {
    expect(isReadOnly(txn({}))).to.equal(true);
    expect(isSerializable(txn({}))).to.equal(true);
    expect(isReadOnly(txn({ success: [range('a')], failure: [range('b')] }))).to.equal(true);
    expect(isReadOnly(txn({ success: [nested([range('a')])] }))).to.equal(false);
    expect(isReadOnly(txn({ success: [range('a')], failure: [del('b')] }))).to.equal(false);
    expect(isSerializable(txn({ success: [range('a', true)], failure: [range('b')] }))).to.equal(
      false,
    );
    expect(
      isSerializable(txn({ success: [range('a', true)], failure: [range('b', true)] })),
    ).to.equal(true);
  });
});
