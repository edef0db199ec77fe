import { expect } from 'chai';
import { FieldWriter } from '../../src/base/bytes/field-writer.js';
import {
  CompareResult,
  CompareTarget,
  encodeTxnRequest,
  type RangeResponse,
  type TxnRequestInit,
  type TxnResponse,
} from '../../src/gen/rpc.js';
import {
  bytes,
  describeForAll,
  freshPrefix,
  prefixEnd,
  refusal,
  text,
  type Target,
} from './support/targets.js';

/** etcdserverpb.KV over the wire: what etcdctl cannot ask for, and the exact words of refusals. */

const NO_KEY = '3 etcdserver: key is not provided';
const DUPLICATE = '3 etcdserver: duplicate key given in txn request';
const TOO_MANY = '3 etcdserver: too many operations in txn request';
const COMPACTED = '11 etcdserver: mvcc: required revision has been compacted';
const FUTURE = '11 etcdserver: mvcc: required revision is a future revision';
const ALL = Uint8Array.of(0);

/** Field numbers of TxnRequest.success and RequestOp.request_txn. */
const SUCCESS_OF_TXN = 2;
const TXN_OF_OP = 4;

function field(id: number, content: Uint8Array): Uint8Array {
  const w = new FieldWriter(content.length + 16);
  w.bytes(id, content);
  return w.finish();
}

describeForAll('KV', (target: Target) => {
  const put = (key: string, value: string): Promise<number> =>
    target.client.kv
      .put({ key: bytes(key), value: bytes(value) })
      .then((reply) => reply.header?.revision ?? 0);

  const revisionNow = async (): Promise<number> =>
    (await target.client.kv.range({ key: bytes('none') })).header?.revision ?? 0;

  const keysOf = (reply: RangeResponse): string[] => reply.kvs.map((kv) => text(kv.key));

  describe('nested transactions', () => {
    const nested = (depth: number): TxnRequestInit => {
      let txn: TxnRequestInit = { success: [{ requestPut: { key: bytes('deep') } }] };
      for (let i = 1; i < depth; i++) txn = { success: [{ requestTxn: txn }] };
      return txn;
    };

    it('are taken as deep as one transaction may have operations', async () => {
      for (const depth of [60, 128]) {
        let reply: TxnResponse | undefined = await target.client.kv.txn(nested(depth));
        let levels = 0;
        for (; reply !== undefined; reply = reply.responses[0]?.responseTxn) {
          expect([reply.succeeded, reply.responses.length]).to.deep.equal([true, 1]);
          levels++;
        }
        expect(levels).to.equal(depth);
      }
    });

    it('are refused when deeper, however much', async () => {
      for (const depth of [129, 499, 501, 1000, 5000]) {
        // Encoded from the inside: the codec recurses.
        let txn = encodeTxnRequest({ success: [{ requestPut: { key: bytes('deep') } }] });
        for (let i = 1; i < depth; i++) {
          txn = field(SUCCESS_OF_TXN, field(TXN_OF_OP, txn));
        }
        const asked = target.client.unary('/etcdserverpb.KV/Txn', txn);
        expect(await refusal(asked), `${depth} deep`).to.equal(TOO_MANY);
      }
    });
  });

  describe('refusals', () => {
    const key = bytes('refused');
    const none = new Uint8Array(0);
    const manyPuts = Array.from({ length: 129 }, (_, i) => ({
      requestPut: { key: bytes(`many${i}`) },
    }));

    const cases: [string, () => Promise<unknown>, string][] = [
      ['range without a key', () => target.client.kv.range({}), NO_KEY],
      ['put without a key', () => target.client.kv.put({ value: key }), NO_KEY],
      ['delete without a key', () => target.client.kv.deleteRange({ rangeEnd: key }), NO_KEY],
      [
        'put that keeps the value, with a value',
        () => target.client.kv.put({ key, value: key, ignoreValue: true }),
        '3 etcdserver: value is provided',
      ],
      [
        'put that keeps the lease, with a lease',
        () => target.client.kv.put({ key, lease: 7n, ignoreLease: true }),
        '3 etcdserver: lease is provided',
      ],
      [
        'put that keeps the value of an absent key',
        () => target.client.kv.put({ key: bytes('absent'), ignoreValue: true }),
        '3 etcdserver: key not found',
      ],
      [
        'put with an unknown lease',
        () => target.client.kv.put({ key, lease: 0x7fffn }),
        '5 etcdserver: requested lease not found',
      ],
      [
        'put with an unknown lease that keeps the value of an absent key: the lease comes first',
        () => target.client.kv.put({ key: bytes('absent'), lease: 0x7fffn, ignoreValue: true }),
        '5 etcdserver: requested lease not found',
      ],
      [
        'range at a future revision',
        () => target.client.kv.range({ key, revision: 2 ** 40 }),
        FUTURE,
      ],
      [
        'range at the largest revision',
        () => target.client.kv.range({ key, revision: Number.MAX_SAFE_INTEGER }),
        FUTURE,
      ],
      [
        'compaction at a future revision',
        () => target.client.kv.compact({ revision: 2 ** 40 }),
        FUTURE,
      ],
      [
        'compaction at a negative revision',
        () => target.client.kv.compact({ revision: -1 }),
        COMPACTED,
      ],
      ['txn of 129 operations', () => target.client.kv.txn({ success: manyPuts }), TOO_MANY],
      [
        'txn of 129 operations in failure',
        () => target.client.kv.txn({ failure: manyPuts }),
        TOO_MANY,
      ],
      [
        'txn of 129 compares',
        () => target.client.kv.txn({ compare: manyPuts.map(() => ({ key })) }),
        TOO_MANY,
      ],
      ['txn with a compare without key', () => target.client.kv.txn({ compare: [{}] }), NO_KEY],
      [
        'txn with an operation that is none',
        () => target.client.kv.txn({ success: [{}] }),
        '3 etcdserver: key not found',
      ],
      [
        'txn with a put without key in the branch not taken',
        () => target.client.kv.txn({ failure: [{ requestPut: {} }] }),
        NO_KEY,
      ],
      [
        'txn with a nested put without key',
        () =>
          target.client.kv.txn({ success: [{ requestTxn: { success: [{ requestPut: {} }] } }] }),
        NO_KEY,
      ],
      [
        'txn with two puts of one key',
        () => target.client.kv.txn({ success: [{ requestPut: { key } }, { requestPut: { key } }] }),
        DUPLICATE,
      ],
      [
        'txn with a put inside a delete',
        () =>
          target.client.kv.txn({
            success: [
              { requestDeleteRange: { key: bytes('a'), rangeEnd: bytes('z') } },
              { requestPut: { key } },
            ],
          }),
        DUPLICATE,
      ],
      [
        'txn with one key put outside and nested',
        () =>
          target.client.kv.txn({
            success: [
              { requestPut: { key } },
              { requestTxn: { failure: [{ requestPut: { key } }] } },
            ],
          }),
        DUPLICATE,
      ],
      [
        'txn with one key put in two nested ones',
        () =>
          target.client.kv.txn({
            success: [
              { requestTxn: { success: [{ requestPut: { key } }] } },
              { requestTxn: { failure: [{ requestPut: { key } }] } },
            ],
          }),
        DUPLICATE,
      ],
      [
        'txn with a delete nested around a put',
        () =>
          target.client.kv.txn({
            success: [
              { requestPut: { key } },
              { requestTxn: { success: [{ requestDeleteRange: { key, rangeEnd: none } }] } },
            ],
          }),
        DUPLICATE,
      ],
      [
        'txn with a range at a future revision',
        () =>
          target.client.kv.txn({
            success: [{ requestPut: { key } }, { requestRange: { key, revision: 2 ** 40 } }],
          }),
        FUTURE,
      ],
      [
        'txn with an unknown lease on the path taken',
        () => target.client.kv.txn({ success: [{ requestPut: { key, lease: 0x7fffn } }] }),
        '5 etcdserver: requested lease not found',
      ],
    ];
    for (const [what, call, wanted] of cases) {
      it(`of a ${what}, without a new revision`, async () => {
        const before = await revisionNow();
        expect(await refusal(call())).to.equal(wanted);
        expect(await revisionNow()).to.equal(before);
      });
    }

    // Older releases crash.
    const itSince36 = target.isSince(6) ? it : (): void => undefined;
    itSince36('of an unknown sort target or order', async () => {
      for (const request of [{ sortTarget: 99 }, { sortOrder: 3 }, { sortTarget: -1 }]) {
        expect(await refusal(target.client.kv.range({ key, ...request }))).to.equal(
          '3 etcdserver: invalid sort option',
        );
      }
    });

    it('of requests over the limits of size', async () => {
      const prefix = freshPrefix();
      const value = (size: number): Uint8Array => Buffer.alloc(size, 'v');
      await target.client.kv.put({ key: bytes(prefix), value: value(1_400_000) });
      const stored = await target.client.kv.range({ key: bytes(prefix) });
      expect(stored.kvs[0]?.value.length).to.equal(1_400_000);
      for (const size of [1_572_864, 1_600_000, 2_090_000]) {
        const call = target.client.kv.put({ key: bytes(prefix), value: value(size) });
        expect(await refusal(call), String(size)).to.equal('3 etcdserver: request is too large');
      }
      const huge = target.client.kv.put({ key: bytes(prefix), value: value(3_000_000) });
      expect(await refusal(huge)).to.match(
        /^8 grpc: received message larger than max \(30000\d\d vs[.] 2097152\)$/,
      );
    });

    it('of a service and a method that do not exist', async () => {
      const empty = new Uint8Array(0);
      const service = await refusal(target.client.unary('/no.Such/Thing', empty));
      const method = await refusal(target.client.unary('/etcdserverpb.KV/Thing', empty));
      // The library has words of its own.
      if (target.label === 'mainstay on grpc-js') {
        expect([service, method].every((answer) => answer.startsWith('12 '))).to.equal(true);
        return;
      }
      expect(service).to.equal('12 unknown service no.Such');
      expect(method).to.equal('12 unknown method Thing for service etcdserverpb.KV');
    });
  });

  describe('range', () => {
    it('reads every form of interval', async () => {
      const prefix = freshPrefix();
      for (const name of ['a', 'b', 'b\0', 'c', 'ÿ', 'ÿÿ']) await put(prefix + name, name);
      const names = async (key: string, rangeEnd: Uint8Array): Promise<string[]> =>
        keysOf(await target.client.kv.range({ key: bytes(prefix + key), rangeEnd })).map((k) =>
          k.slice(prefix.length),
        );
      const end = (name: string): Uint8Array => bytes(prefix + name);
      expect(await names('b', new Uint8Array(0))).to.deep.equal(['b']);
      expect(await names('a', end('b'))).to.deep.equal(['a']);
      expect(await names('a', end('b\0'))).to.deep.equal(['a', 'b']);
      expect(await names('b', end('c'))).to.deep.equal(['b', 'b\0']);
      expect(await names('c', end('a'))).to.deep.equal([]);
      expect(await names('c', end('c'))).to.deep.equal([]);
      expect(await names('', prefixEnd(prefix))).to.deep.equal(['a', 'b', 'b\0', 'c', 'ÿ', 'ÿÿ']);
      expect(await names('ÿ', end('ÿÿ\0'))).to.deep.equal(['ÿ', 'ÿÿ']);
      const everything = await target.client.kv.range({ key: ALL, rangeEnd: ALL, countOnly: true });
      const fromHere = await target.client.kv.range({ key: bytes('\0'), rangeEnd: ALL });
      expect(everything.count).to.equal(fromHere.kvs.length);
    });

    it('sorts only the first keys when no order is asked for', async () => {
      const prefix = freshPrefix();
      for (const name of ['c', 'b', 'a']) await put(prefix + name, name);
      const range = { key: bytes(prefix), rangeEnd: prefixEnd(prefix), sortTarget: 3 };
      const first = await target.client.kv.range({ ...range, limit: 1 });
      expect(keysOf(first)).to.deep.equal([`${prefix}b`]);
      expect(first.more).to.equal(true);
      expect(first.count).to.equal(3);
      const sorted = await target.client.kv.range({ ...range, limit: 1, sortOrder: 1 });
      expect(keysOf(sorted)).to.deep.equal([`${prefix}c`]);
    });

    it('takes the largest numbers for no bound', async () => {
      const prefix = freshPrefix();
      await put(prefix, 'v');
      const most = Number.MAX_SAFE_INTEGER;
      const reply = await target.client.kv.range({
        key: bytes(prefix),
        rangeEnd: prefixEnd(prefix),
        limit: most,
        maxModRevision: most,
        maxCreateRevision: most,
      });
      expect(keysOf(reply)).to.deep.equal([prefix]);
      expect(reply.more).to.equal(false);
    });

    it('pages through a pinned revision while others write', async () => {
      const prefix = freshPrefix();
      const name = (i: number): string => `${prefix}${String(i).padStart(5, '0')}`;
      const count = 600;
      for (let i = 0; i < count; i += 100) {
        const success = Array.from({ length: 100 }, (_, k) => ({
          requestPut: { key: bytes(name(i + k)), value: bytes('old') },
        }));
        await target.client.kv.txn({ success });
      }
      let from = bytes(prefix);
      let revision = 0;
      const seen: string[] = [];
      for (let page = 0; ; page++) {
        const reply = await target.client.kv.range({
          key: from,
          rangeEnd: prefixEnd(prefix),
          limit: 150,
          revision,
        });
        if (page === 0) expect(reply.count).to.equal(count);
        revision ||= reply.header?.revision ?? 0;
        for (const kv of reply.kvs) {
          expect(text(kv.value)).to.equal('old');
          seen.push(text(kv.key));
        }
        if (!reply.more) break;
        from = bytes(`${seen.at(-1)}\0`);
        await put(name(page * 150 + 200), 'new');
        await put(`${prefix}0000${page}x`, 'inserted');
        await target.client.kv.deleteRange({ key: bytes(name(count - 1 - page)) });
      }
      expect(seen).to.deep.equal(Array.from({ length: count }, (_, i) => name(i)));
    });

    it('refuses the next page after a compaction', async () => {
      const prefix = freshPrefix();
      const revision = await put(`${prefix}a`, '1');
      await put(`${prefix}a`, '2');
      const last = await put(`${prefix}b`, '2');
      await target.client.kv.compact({ revision: last });
      const page = target.client.kv.range({ key: bytes(prefix), rangeEnd: ALL, revision });
      expect(await refusal(page)).to.equal(COMPACTED);
      const counted = target.client.kv.range({ key: bytes(prefix), countOnly: true, revision });
      expect(await refusal(counted)).to.equal(COMPACTED);
      await target.client.kv.range({ key: bytes(prefix), revision: last });
      expect(await refusal(target.client.kv.compact({ revision: last }))).to.equal(COMPACTED);
    });
  });

  describe('txn', () => {
    it('shows nested operations the earlier changes, and compares the state before all', async () => {
      const key = bytes(freshPrefix());
      const reply = await target.client.kv.txn({
        success: [
          { requestPut: { key, value: bytes('new') } },
          {
            requestTxn: {
              compare: [{ key, target: CompareTarget.VERSION, version: 0 }],
              success: [{ requestRange: { key } }],
            },
          },
        ],
      });
      const nested = reply.responses[1]?.responseTxn;
      expect(nested?.succeeded).to.equal(true);
      const range = nested?.responses[0]?.responseRange;
      expect(text(range?.kvs[0]?.value)).to.equal('new');
      expect(range?.header?.revision).to.equal(reply.header?.revision);
      expect(range?.kvs[0]?.modRevision).to.equal(reply.header?.revision);
    });

    it('compares the value of an absent key to false', async () => {
      for (const result of Object.values(CompareResult)) {
        const reply = await target.client.kv.txn({
          compare: [{ key: bytes('absent'), target: CompareTarget.VALUE, result, value: ALL }],
        });
        expect(reply.succeeded, String(result)).to.equal(false);
      }
    });

    it('compares an empty interval like one absent key', async () => {
      const prefix = freshPrefix();
      const compare = { key: bytes(prefix), rangeEnd: prefixEnd(prefix) };
      const isTrue = async (rest: object): Promise<boolean> =>
        (await target.client.kv.txn({ compare: [{ ...compare, ...rest }] })).succeeded;
      expect(await isTrue({ target: CompareTarget.MOD, modRevision: 0 })).to.equal(true);
      expect(await isTrue({ target: CompareTarget.CREATE, createRevision: 1 })).to.equal(false);
      expect(await isTrue({ target: CompareTarget.VALUE, value: new Uint8Array(0) })).to.equal(
        false,
      );
    });

    it('compares every key of an interval', async () => {
      const prefix = freshPrefix();
      await put(`${prefix}a`, 'm');
      await put(`${prefix}b`, 'n');
      await put(`${prefix}b`, 'o');
      const compare = { key: bytes(prefix), rangeEnd: prefixEnd(prefix) };
      const isTrue = async (rest: object): Promise<boolean> =>
        (await target.client.kv.txn({ compare: [{ ...compare, ...rest }] })).succeeded;
      const { LESS, GREATER, NOT_EQUAL, EQUAL } = CompareResult;
      const { VALUE, VERSION } = CompareTarget;
      expect(await isTrue({ target: VALUE, result: LESS, value: bytes('p') })).to.equal(true);
      expect(await isTrue({ target: VALUE, result: LESS, value: bytes('o') })).to.equal(false);
      expect(await isTrue({ target: VALUE, result: GREATER, value: bytes('l') })).to.equal(true);
      expect(await isTrue({ target: VERSION, result: NOT_EQUAL, version: 3 })).to.equal(true);
      expect(await isTrue({ target: VERSION, result: EQUAL, version: 1 })).to.equal(false);
    });

    it('allows both sides of a nested one the same key, and overlapping deletes', async () => {
      const key = bytes(freshPrefix());
      const reply = await target.client.kv.txn({
        success: [
          {
            requestTxn: {
              success: [{ requestPut: { key } }],
              failure: [{ requestPut: { key } }, { requestRange: { key } }],
            },
          },
          { requestDeleteRange: { key: bytes('no such') } },
          { requestDeleteRange: { key: bytes('no'), rangeEnd: bytes('np') } },
        ],
      });
      expect(reply.succeeded).to.equal(true);
    });

    it('runs an open-ended delete and a put of the same key in their order', async () => {
      const key = bytes(`~${freshPrefix()}`);
      const before = await target.client.kv.put({ key });
      const reply = await target.client.kv.txn({
        success: [
          { requestDeleteRange: { key, rangeEnd: ALL } },
          { requestPut: { key, value: bytes('again') } },
          { requestRange: { key } },
        ],
      });
      const kv = reply.responses[2]?.responseRange?.kvs[0];
      expect(kv?.version).to.equal(1);
      expect(kv?.createRevision).to.equal((before.header?.revision ?? 0) + 1);
    });

    it('names in each part the revision it saw', async () => {
      const key = bytes(freshPrefix());
      const before = await revisionNow();
      const reply = await target.client.kv.txn({
        success: [
          { requestRange: { key } },
          { requestDeleteRange: { key: bytes('no such key') } },
          { requestPut: { key } },
          { requestRange: { key } },
          { requestDeleteRange: { key: bytes('no such key') } },
          { requestTxn: {} },
        ],
      });
      const [range, del, put1, range2, del2, txn] = reply.responses;
      expect(range?.responseRange?.header?.revision).to.equal(before);
      expect(del?.responseDeleteRange?.header?.revision).to.equal(before);
      expect(put1?.responsePut?.header?.revision).to.equal(before + 1);
      expect(range2?.responseRange?.header?.revision).to.equal(before + 1);
      expect(del2?.responseDeleteRange?.header?.revision).to.equal(before + 1);
      expect(txn?.responseTxn?.header?.revision).to.equal(0);
      expect(reply.header?.revision).to.equal(before + 1);
      expect(put1?.responsePut?.header?.raftTerm).to.equal(0);
    });

    it('is what Kubernetes creates, updates and deletes with', async () => {
      const key = bytes(freshPrefix());
      const write = (modRevision: number, value: string): ReturnType<typeof target.client.kv.txn> =>
        target.client.kv.txn({
          compare: [{ key, target: CompareTarget.MOD, modRevision }],
          success: [{ requestPut: { key, value: bytes(value) } }],
          failure: [{ requestRange: { key } }],
        });
      const [one, two] = await Promise.all([write(0, 'one'), write(0, 'two')]);
      expect([one.succeeded, two.succeeded].sort()).to.deep.equal([false, true]);
      const [winner, loser] = one.succeeded ? [one, two] : [two, one];
      const created = winner.header?.revision ?? 0;
      const found = loser.responses[0]?.responseRange?.kvs[0];
      expect(found?.modRevision).to.equal(created);
      expect(winner.responses[0]?.responsePut?.header?.revision).to.equal(created);
      const updates = await Promise.all(
        Array.from({ length: 8 }, (_, i) => write(created, `u${i}`)),
      );
      expect(updates.filter((reply) => reply.succeeded)).to.have.length(1);
    });
  });
});
