import { expect } from 'chai';
import {
  decodeDeleteRangeRequest,
  decodePutRequest,
  decodeTxnRequest,
  decodeTxnResponse,
  encodeCompactionRequest,
  encodeDeleteRangeRequest,
  encodePutRequest,
  encodeTxnRequest,
  type RequestOpInit,
  type TxnRequestInit,
} from '../../../src/gen/rpc.js';
import { Backend } from '../../../src/storage/backend.js';
import { RpcError, type UnaryCall } from '../../../src/rpc/service.js';
import { errors } from '../../../src/server/contract/errors.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { answerReadOnlyTxn } from '../../../src/server/apply/read-only-txn.js';
import type { DeferredReply } from '../../../src/server/contract/roles.js';
import type { ReadRoles } from '../../../src/server/reads/range-read.js';
import { randomOf } from '../../watch/fakes.js';
import { MemoryEngine } from '../../support/memory-engine.js';
import { Call } from '../reads/slow-call.js';
import { Draw } from './commands.js';
import { MachineBench, slowReads } from './machine-bench.js';
import { Model } from './model.js';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const ALL = { key: bytes('\0'), rangeEnd: bytes('\0') };
const MIB = 1024 * 1024;

/** A machine whose replies are read one step a turn. */
class SlowBench {
  readonly machine: MachineBench;
  readonly roles: ReadRoles;
  /** Replies are kept unread until `answerHeld`. */
  isHolding = false;
  private held: { readonly call: Call; readonly reply: DeferredReply }[] = [];

  constructor(seed: number) {
    this.machine = new MachineBench(seed);
    this.roles = slowReads(this.machine);
  }

  /** Applies a command whose reply is read over the turns to come. */
  apply(kind: CommandKind, request: Uint8Array): Call {
    const call = new Call();
    const error = this.machine.apply(kind, request);
    if (error !== null) call.fail(error);
    else {
      const reply = this.machine.takeReply();
      if (reply instanceof Uint8Array) call.reply(reply);
      else this.held.push({ call, reply });
    }
    if (!this.isHolding) this.answerHeld();
    return call;
  }

  answerHeld(): void {
    for (const { call, reply } of this.held) {
      reply.answer(this.roles.reads.slices, call as unknown as UnaryCall);
    }
    this.held = [];
  }

  read(txn: TxnRequestInit): Call {
    const call = new Call();
    const request = decodeTxnRequest(encodeTxnRequest(txn));
    answerReadOnlyTxn(this.roles, this.machine.machine.kv, request, call as unknown as UnaryCall);
    return call;
  }

  put(key: string, value: string): void {
    this.machine.apply(CommandKind.put, encodePutRequest({ key: bytes(key), value: bytes(value) }));
  }

  get isPinned(): boolean {
    return this.machine.store.isPinnedBelow(Infinity);
  }

  /** Rows read until `call` is answered, and the most read in one turn. */
  countReads(call: Call): { readonly total: number; readonly most: number } {
    const { store, env } = this.machine;
    const row = store.row.bind(store);
    let inTurn = 0;
    let total = 0;
    let most = 0;
    store.row = (main, sub) => {
      inTurn++;
      return row(main, sub);
    };
    for (let isGoing = true; isGoing && call.whole === undefined;) {
      isGoing = env.step();
      total += inTurn;
      most = Math.max(most, inTurn);
      inTurn = 0;
    }
    store.row = row;
    return { total, most };
  }
}

interface Waiting {
  readonly call: Call;
  readonly expected: Uint8Array | RpcError;
  readonly what: string;
}

function expectAnswer({ call, expected, what }: Waiting): void {
  if (expected instanceof RpcError) expect(call.error, what).to.equal(expected);
  else {
    expect(call.error, what).to.equal(undefined);
    expect(call.bytes.toString('hex'), what).to.equal(Buffer.from(expected).toString('hex'));
  }
}

describe('replies read after their command', function () {
  this.timeout(60_000);

  it(`equal those made within it after any later changes (SEED=${SEED})`, () => {
    for (let run = 0; run < 40; run++) {
      const d = new Draw(randomOf(SEED + run));
      const bench = new SlowBench(SEED + run);
      const model = new Model();
      const waiting: Waiting[] = [];
      const note = (call: Call, expected: Uint8Array | RpcError): void => {
        waiting.push({ call, expected, what: `seed ${SEED + run}, command ${waiting.length}` });
      };
      for (let i = 0; i < 120; i++) {
        const dice = d.below(10);
        if (dice < 6) {
          const request = encodeTxnRequest(d.txn(model.revision));
          const expected = model.txn(decodeTxnRequest(request));
          note(bench.apply(CommandKind.txn, request), expected);
        } else if (dice < 7) {
          const request = encodeDeleteRangeRequest({ ...d.delete(), prevKv: true });
          const expected = model.delete(decodeDeleteRangeRequest(request));
          note(bench.apply(CommandKind.deleteRange, request), expected);
        } else if (dice < 9) {
          const request = encodePutRequest(d.put());
          const expected = model.put(decodePutRequest(request));
          note(bench.apply(CommandKind.put, request), expected);
        } else {
          const { revision } = model;
          const request = encodeCompactionRequest({ revision });
          note(bench.apply(CommandKind.compact, request), model.compact(revision));
          if (d.chance(0.7)) bench.machine.env.settle();
        }
        for (let steps = d.below(4); steps > 0; steps--) bench.machine.env.step();
        if (d.chance(0.2)) bench.isHolding = !bench.isHolding;
        if (!bench.isHolding) bench.answerHeld();
      }
      bench.answerHeld();
      bench.machine.env.settle();
      for (const each of waiting) expectAnswer(each);
      expect(bench.isPinned).to.equal(false);
      expect(bench.machine.store.finishedCompactRevision).to.equal(
        bench.machine.store.compactRevision,
      );
    }
  });

  it(`keep their rows at a compaction at their own revision (SEED=${SEED})`, () => {
    const d = new Draw(randomOf(SEED));
    const bench = new SlowBench(SEED);
    const model = new Model();
    let kept = 0;
    for (let i = 0; i < 600; i++) {
      const request = encodeTxnRequest(d.txn(model.revision));
      const expected = model.txn(decodeTxnRequest(request));
      bench.isHolding = true;
      const call = bench.apply(CommandKind.txn, request);
      const { store, env } = bench.machine;
      model.compact(model.revision);
      bench.machine.apply(
        CommandKind.compact,
        encodeCompactionRequest({ revision: model.revision }),
      );
      env.settle();
      if (store.finishedCompactRevision < store.compactRevision) kept++;
      bench.answerHeld();
      env.settle();
      expectAnswer({ call, expected, what: `seed ${SEED}, transaction ${i}` });
      expect(store.finishedCompactRevision).to.equal(store.compactRevision);
    }
    expect(kept).to.be.greaterThan(10);
  });

  it(`of transactions that only read equal those through the log beside any writes (SEED=${SEED})`, () => {
    const rangesOnly = (d: Draw, revision: number): RequestOpInit[] =>
      Array.from({ length: d.below(5) }, () => ({ requestRange: d.range(revision) }));
    for (let run = 0; run < 20; run++) {
      const d = new Draw(randomOf(SEED + run));
      const bench = new SlowBench(SEED + run);
      const model = new Model();
      const waiting: Waiting[] = [];
      for (let i = 0; i < 200; i++) {
        if (d.chance(0.5)) {
          const request = encodePutRequest({ ...d.put(), lease: 0n });
          model.put(decodePutRequest(request));
          bench.machine.apply(CommandKind.put, request);
        } else if (d.chance(0.05)) {
          model.compact(model.revision);
          bench.machine.store.compact(model.revision);
        } else {
          const { compare } = d.txn(model.revision);
          const txn: TxnRequestInit = {
            ...(compare === undefined ? {} : { compare }),
            success: rangesOnly(d, model.revision),
            failure: rangesOnly(d, model.revision),
          };
          const call = bench.read(txn);
          const expected = model.txn(decodeTxnRequest(encodeTxnRequest(txn)));
          waiting.push({ call, expected, what: `seed ${SEED + run}, request ${i}` });
        }
        for (let steps = d.below(4); steps > 0; steps--) bench.machine.env.step();
      }
      bench.machine.env.settle();
      for (const each of waiting) expectAnswer(each);
      expect(bench.isPinned).to.equal(false);
    }
  });

  describe('with long lists', () => {
    let bench: SlowBench;
    const ranges = (count: number): RequestOpInit[] =>
      Array.from({ length: count }, () => ({ requestRange: { ...ALL } }));

    beforeEach(() => {
      bench = new SlowBench(1);
      for (let i = 0; i < 300; i++) bench.put(`k${String(i).padStart(3, '0')}`, 'x'.repeat(900));
      bench.machine.env.settle();
    });

    it('a transaction that writes reads no row in the turn that applies it, and few in any other', () => {
      const success: RequestOpInit[] = [
        ...ranges(5),
        { requestPut: { key: bytes('k000'), value: bytes('new'), prevKv: true } },
        ...ranges(5),
        { requestDeleteRange: { key: bytes('k1'), rangeEnd: bytes('k2'), prevKv: true } },
      ];
      const { store } = bench.machine;
      const row = store.row.bind(store);
      let reads = 0;
      store.row = (main, sub) => {
        reads++;
        return row(main, sub);
      };
      const call = bench.apply(CommandKind.txn, encodeTxnRequest({ success }));
      store.row = row;
      // The one row that the put replaces is small.
      expect(reads).to.be.lessThan(8);
      const counted = bench.countReads(call);
      expect(counted.most).to.be.lessThan(8);
      expect(counted.total).to.be.greaterThan(3000);
    });

    it('a transaction that only reads reads few rows in any turn', () => {
      const call = bench.read({ success: ranges(10) });
      expect(call.whole).to.equal(undefined);
      const counted = bench.countReads(call);
      expect(counted.most).to.be.lessThan(8);
      expect(counted.total).to.equal(3000);
    });

    it('a list, a count and a comparison at an old state walk few keys in any turn', () => {
      const { store } = bench.machine;
      const old = store.currentRevision;
      const KEYS = 20_000;
      const puts = Array.from({ length: KEYS }, (_, i) => ({
        requestPut: { key: bytes(`k${String(i).padStart(6, '0')}`) },
      }));
      bench.machine.apply(CommandKind.txn, encodeTxnRequest({ success: puts }));
      bench.machine.env.settle();
      const list = store.listInto.bind(store);
      const count = store.count.bind(store);
      let walks = 0;
      let inTurn = 0;
      store.listInto = (...args) => {
        walks++;
        inTurn++;
        return list(...args);
      };
      store.count = (...args) => {
        walks++;
        inTurn++;
        return count(...args);
      };
      const all = { ...ALL, revision: old };
      const calls = [
        bench.read({ success: [{ requestRange: { ...all, limit: 5 } }] }),
        bench.read({ success: [{ requestRange: { ...all, sortOrder: 2 } }] }),
        bench.read({ success: [{ requestRange: { ...all, countOnly: true } }] }),
        bench.read({ compare: [{ ...ALL, target: 2, result: 1 }], success: [] }),
      ];
      let most = 0;
      for (inTurn = 0; bench.machine.env.step(); inTurn = 0) most = Math.max(most, inTurn);
      for (const call of calls) expect(call.error).to.equal(undefined);
      const [limited, , counted] = calls.map(({ bytes: reply }) => decodeTxnResponse(reply));
      expect(limited?.responses[0]?.responseRange?.kvs).to.have.length(5);
      expect(counted?.responses[0]?.responseRange?.count).to.equal(300);
      expect(walks).to.be.greaterThan((calls.length * KEYS) / (32 * 64));
      expect(most).to.be.lessThan(3);
    });

    it('a comparison of all values reads few of them in any turn', () => {
      const compare = { ...ALL, target: 3, result: 0, value: Buffer.alloc(900, 'x') };
      const call = bench.read({ compare: [compare, compare], success: [] });
      const counted = bench.countReads(call);
      expect(counted.total).to.be.greaterThan(590);
      expect(counted.most).to.be.lessThan(8);
      expect(call.bytes.subarray(-2)).to.deep.equal(Buffer.from([0x10, 1]));
    });

    it('reads no row of a reply that is not taken', () => {
      for (let steps = 0; steps < 20; steps++) {
        const request = encodeTxnRequest({
          success: [...ranges(3), { requestPut: { key: bytes('k000') } }],
        });
        const call = bench.apply(CommandKind.txn, request);
        for (let i = 0; i < steps; i++) bench.machine.env.step();
        call.cancel();
        bench.machine.env.settle();
        expect(bench.isPinned, `after ${steps} steps`).to.equal(false);
      }
    });

    it('fails when a received image takes the place of the state', () => {
      const success = [...ranges(3), { requestPut: { key: bytes('k000') } }];
      const call = bench.apply(CommandKind.txn, encodeTxnRequest({ success }));
      const { env, store } = bench.machine;
      env.wait<null>((done) => {
        store.restore(new Backend({ engine: new MemoryEngine(env), env }), (error) =>
          done(error, null),
        );
      });
      env.settle();
      expect(call.error).to.equal(errors.leaderChanged);
    });
  });

  it('longer than any message may be is announced before a row is read, and let go when it is refused', () => {
    const bench = new SlowBench(3);
    for (let i = 0; i < 20; i++) bench.put(`k${i}`, 'x'.repeat(MIB));
    const { env, store } = bench.machine;
    env.settle();
    const row = store.row.bind(store);
    let reads = 0;
    store.row = (main, sub) => {
      reads++;
      return row(main, sub);
    };
    const ranges = Array.from({ length: 128 }, () => ({ requestRange: ALL }));
    const put = { requestPut: { key: bytes('z') } };
    const write = bench.apply(CommandKind.txn, encodeTxnRequest({ success: [...ranges, put] }));
    const read = bench.read({ success: ranges });
    env.settle();
    for (const call of [write, read]) {
      expect(call.totalBytes).to.be.greaterThan(2 ** 31 - 1);
      call.source?.abort();
    }
    expect(reads).to.equal(0);
    expect(bench.isPinned).to.equal(false);
  });

  it('is announced with its length and handed out in parts when it is long', () => {
    const bench = new SlowBench(2);
    const model = new Model();
    for (let i = 0; i < 20; i++) {
      const request = encodePutRequest({ key: bytes(`k${i}`), value: Buffer.alloc(MIB, i) });
      bench.machine.apply(CommandKind.put, request);
      model.put(decodePutRequest(request));
    }
    const requestTxn: TxnRequestInit = { success: [{ requestRange: ALL }] };
    const request = encodeTxnRequest({
      success: [
        { requestRange: ALL },
        { requestDeleteRange: { ...ALL, prevKv: true } },
        { requestTxn },
        { requestPut: { key: bytes('k1') } },
      ],
    });
    const expected = model.txn(decodeTxnRequest(request)) as Uint8Array;
    const call = bench.apply(CommandKind.txn, request);
    const { env } = bench.machine;
    while (call.source === undefined) expect(env.step()).to.equal(true);
    expect(call.totalBytes).to.equal(expected.length);
    call.pull(env);
    expect(call.bytes.equals(expected)).to.equal(true);
    expect(Math.max(...call.parts.map((part) => part.length))).to.be.lessThan(MIB + 70_000);
    expect(bench.isPinned).to.equal(false);
  });
});
