import { expect } from 'chai';
import fc from 'fast-check';
import {
  encodeAlarmRequest,
  encodeLeaseGrantRequest,
  encodeLeaseRevokeRequest,
  encodePutRequest,
  encodeTxnRequest,
  type CompareInit,
} from '../../../src/gen/rpc.js';
import { applyCommand, bodyProblem, COMMANDS } from '../../../src/server/apply/commands.js';
import {
  CommandKind,
  encodeCommand,
  envelopeProblem,
} from '../../../src/server/contract/command.js';
import { errors } from '../../../src/server/contract/errors.js';
import { MachineBench, TERM } from './machine-bench.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const ALL = { key: bytes('\0'), rangeEnd: bytes('\0') };
const keyOf = (i: number): Buffer => bytes(`k${String(i).padStart(6, '0')}`);
const EQUAL = 0;
const NOT_EQUAL = 3;

describe('commands', () => {
  it('of every kind are read by the row of their kind', () => {
    for (const kind of Object.values(CommandKind)) {
      const cut = encodeCommand(kind, 1, 2, Uint8Array.of(0x0a, 0x7f));
      expect(bodyProblem(cut), String(kind)).to.include('has a body that cannot be read');
    }
    const put = encodePutRequest({ key: bytes('k') });
    expect(bodyProblem(encodeCommand(CommandKind.put, 1, 2, put))).to.equal(null);
    const expiry = encodeLeaseRevokeRequest({ ID: 1n });
    expect(bodyProblem(encodeCommand(CommandKind.leaseExpire, 1, 2, expiry))).to.include(
      'a lease expiry without a term',
    );
  });

  it('of any bytes are judged without throwing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (data) => {
        if (envelopeProblem(data) === null) bodyProblem(data);
      }),
    );
  });

  it('that change keys or leases are refused under the CORRUPT alarm, all others are not', () => {
    const refused = Object.entries(CommandKind)
      .filter(([, kind]) => COMMANDS[kind].isRefusedWhenCorrupt)
      .map(([name]) => name);
    expect(refused).to.deep.equal([
      ...['put', 'deleteRange', 'txn', 'compact', 'leaseGrant', 'leaseRevoke', 'leaseExpire'],
    ]);
    const bench = new MachineBench(1);
    const put = encodePutRequest({ key: bytes('k') });
    const activate = encodeAlarmRequest({ action: 1, memberID: 1n, alarm: 2 });
    const deactivate = encodeAlarmRequest({ action: 2, memberID: 1n, alarm: 2 });
    expect(bench.apply(CommandKind.alarm, activate)).to.equal(null);
    expect(bench.apply(CommandKind.put, put)).to.equal(errors.corrupt);
    expect(bench.store.currentRevision).to.equal(1);
    expect(bench.apply(CommandKind.alarm, deactivate)).to.equal(null);
    expect(bench.apply(CommandKind.put, put)).to.equal(null);
  });
});

describe('a transaction that writes, with a compare over many keys', () => {
  const KEYS = 5000;
  const VALUE = Buffer.alloc(100, 'x');
  let bench: MachineBench;

  beforeEach(() => {
    bench = new MachineBench(1);
    bench.apply(CommandKind.leaseGrant, encodeLeaseGrantRequest({ ID: 7n, TTL: 1000 }));
    const puts = Array.from({ length: KEYS }, (_, i) => ({
      requestPut: { key: keyOf(i), value: VALUE, lease: 7n },
    }));
    bench.apply(CommandKind.txn, encodeTxnRequest({ success: puts }));
    bench.env.settle();
  });

  /** Work of the decision: its steps, and what the greatest of them and all together did. */
  function decide(compare: readonly CompareInit[]) {
    const request = encodeTxnRequest({
      compare: [...compare],
      success: [{ requestPut: { key: bytes('yes') } }],
      failure: [{ requestPut: { key: bytes('no') } }],
    });
    const { machine, store } = bench;
    const command = COMMANDS[CommandKind.txn];
    const decision = command.decide?.(machine, command.decode(request));
    if (decision === undefined) throw new Error('nothing to decide');
    const [list, row] = [store.listInto.bind(store), store.row.bind(store)];
    let walked = 0;
    let read = 0;
    store.listInto = (...args) => {
      const count = list(...args);
      walked += count;
      return count;
    };
    store.row = (main, sub) => {
      read++;
      return row(main, sub);
    };
    const most = { walked: 0, read: 0 };
    const total = { walked: 0, read: 0, steps: 0 };
    for (let isDecided = false; !isDecided; total.steps++) {
      isDecided = decision.step();
      most.walked = Math.max(most.walked, walked);
      most.read = Math.max(most.read, read);
      total.walked += walked;
      total.read += read;
      walked = read = 0;
    }
    store.listInto = list;
    store.row = row;
    applyCommand(machine, command, decision, true, TERM);
    const changed = store
      .list({ start: 'no', end: null }, store.currentRevision, 0)
      .filter((found) => found.modRevision === store.currentRevision)
      .map((found) => found.key);
    expect(changed).to.have.length(1);
    return { most, total, succeeded: changed[0] === 'yes' };
  }

  it('is decided in steps over the index, where only the last key decides', () => {
    const last = { requestPut: { key: keyOf(KEYS - 1), value: VALUE, lease: 7n } };
    bench.apply(CommandKind.txn, encodeTxnRequest({ success: [last] }));
    const version = { ...ALL, target: 0, result: EQUAL, version: 1 };
    const { most, total, succeeded } = decide([version]);
    expect(succeeded).to.equal(false);
    expect(total).to.deep.include({ walked: KEYS, read: 0 });
    expect(total.steps).to.be.at.least(KEYS / 64);
    expect(most.walked).to.be.at.most(256);
  });

  it('reads the values of few keys a step, and none behind the one that decides', () => {
    const value = { ...ALL, target: 3, result: EQUAL, value: VALUE };
    const all = decide([value]);
    expect(all.succeeded).to.equal(true);
    expect(all.total.read).to.equal(KEYS);
    expect(all.most.read).to.be.at.most(4);
    const until = { ...value, rangeEnd: keyOf(KEYS) };
    bench.apply(CommandKind.put, encodePutRequest({ key: keyOf(10), value: bytes('other') }));
    const first = decide([until]);
    expect(first.succeeded).to.equal(false);
    expect(first.total.read).to.equal(11);
    expect(first.total.walked).to.be.at.most(256);
  });

  it('takes leases from the lessor, not from rows', () => {
    const lease = { ...ALL, target: 4, result: EQUAL, lease: 7n };
    const all = decide([lease]);
    expect(all.succeeded).to.equal(true);
    expect(all.total.read).to.equal(0);
    // The key of the decision before hangs on no lease.
    expect(decide([lease]).succeeded).to.equal(false);
    const none = { ...ALL, target: 4, result: NOT_EQUAL, lease: 8n };
    expect(decide([none]).succeeded).to.equal(true);
  });

  it('goes on behind each compare and into nested transactions', () => {
    const created = { ...ALL, target: 1, result: NOT_EQUAL, createRevision: 9 };
    const single = { key: keyOf(3), target: 0, result: EQUAL, version: 1 };
    const several = decide([created, single, created]);
    expect(several.succeeded).to.equal(true);
    expect(several.total.walked).to.equal(2 * KEYS);
    const nested = (compare: readonly CompareInit[]): Uint8Array =>
      encodeTxnRequest({
        success: [
          { requestPut: { key: bytes('outer') } },
          {
            requestTxn: {
              compare: [...compare],
              success: [{ requestPut: { key: bytes('in') } }],
              failure: [{ requestPut: { key: bytes('out') } }],
            },
          },
        ],
      });
    const liveKeys = (): number => bench.store.liveKeys;
    const before = liveKeys();
    bench.apply(CommandKind.txn, nested([created]));
    expect(bench.store.list({ start: 'in', end: 'in\0' }, Infinity, 0)).to.have.length(1);
    bench.apply(CommandKind.txn, nested([created, { ...created, result: EQUAL }]));
    expect(bench.store.list({ start: 'out', end: 'out\0' }, Infinity, 0)).to.have.length(1);
    expect(liveKeys()).to.equal(before + 3);
  });
});
