import { expect } from 'chai';
import {
  decodeDeleteRangeRequest,
  decodePutRequest,
  decodeTxnRequest,
  encodeAlarmRequest,
  encodeCompactionRequest,
  encodeDeleteRangeRequest,
  encodeLeaseGrantRequest,
  encodeLeaseRevokeRequest,
  encodePutRequest,
  encodeTxnRequest,
} from '../../../src/gen/rpc.js';
import { createRevisionOf, leaseOf, valueOf, versionOf } from '../../../src/mvcc/key-value.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { randomOf } from '../../watch/fakes.js';
import { Draw, LEASES } from './commands.js';
import { MachineBench, MEMBER_ID } from './machine-bench.js';
import { Model, type Answer } from './model.js';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
const RUNS = 60;
const COMMANDS = 120;

interface Command {
  readonly kind: CommandKind;
  readonly request: Uint8Array;
  readonly expected: Answer;
}

/** Draws a command and lets the model execute it. */
function draw(d: Draw, model: Model): Command {
  const dice = d.below(100);
  if (dice < 30) {
    const request = encodePutRequest(d.put());
    return { kind: CommandKind.put, request, expected: model.put(decodePutRequest(request)) };
  }
  if (dice < 42) {
    const request = encodeDeleteRangeRequest(d.delete());
    const expected = model.delete(decodeDeleteRangeRequest(request));
    return { kind: CommandKind.deleteRange, request, expected };
  }
  if (dice < 75) {
    const request = encodeTxnRequest(d.txn(model.revision));
    return { kind: CommandKind.txn, request, expected: model.txn(decodeTxnRequest(request)) };
  }
  if (dice < 80) {
    const revision = d.below(model.revision + 2);
    const request = encodeCompactionRequest({ revision, physical: d.chance(0.5) });
    return { kind: CommandKind.compact, request, expected: model.compact(revision) };
  }
  const ID = d.pick(LEASES);
  if (dice < 88) {
    const request = encodeLeaseGrantRequest({ ID, TTL: 10 });
    return { kind: CommandKind.leaseGrant, request, expected: model.grant(ID, 10) };
  }
  if (dice < 95) {
    const request = encodeLeaseRevokeRequest({ ID });
    return { kind: CommandKind.leaseRevoke, request, expected: model.revoke(ID) };
  }
  const action = d.pick([0, 1, 2, 2, 2]);
  const alarm = action === 0 ? d.below(3) : d.pick([1, 2]);
  const request = encodeAlarmRequest({ action, alarm, memberID: MEMBER_ID });
  return { kind: CommandKind.alarm, request, expected: model.alarm(action, alarm) };
}

/** Every readable state, and what hangs on leases. */
function expectSameState(bench: MachineBench, model: Model): void {
  const { store, lessor } = bench;
  expect(store.currentRevision).to.equal(model.revision);
  expect(store.compactRevision).to.equal(model.compacted);
  for (let at = Math.max(1, model.compacted); at <= model.revision; at++) {
    const rows = store.list({ start: '', end: null }, at, 0).map((row) => {
      const bytes = store.row(row.modRevision, row.sub);
      return {
        key: row.key,
        value: Buffer.from(valueOf(bytes)).toString('latin1'),
        create: createRevisionOf(bytes),
        mod: row.modRevision,
        sub: row.sub,
        version: versionOf(bytes),
        lease: leaseOf(bytes),
      };
    });
    const expected = [...(model.states[at]?.values() ?? [])].sort((a, b) =>
      a.key < b.key ? -1 : 1,
    );
    expect(rows, `state at ${at}`).to.deep.equal(expected);
  }
  expect(lessor.size).to.equal(model.leases.size);
  for (const id of LEASES)
    expect(lessor.keysOf(id).sort(), `keys of ${id}`).to.deep.equal(model.keysOf(id));
}

function expectAnswer(
  bench: MachineBench,
  { kind, request, expected }: Command,
  what: string,
): void {
  const error = bench.apply(kind, request);
  if (expected instanceof Uint8Array) {
    expect(error, what).to.equal(null);
    const reply = Buffer.from(bench.reply).toString('hex');
    expect(reply, what).to.equal(Buffer.from(expected).toString('hex'));
  } else {
    expect(error, what).to.equal(expected);
  }
}

describe('StateMachine against a slow model', function () {
  this.timeout(30_000);

  it(`same replies, errors and state; and the same without replies (SEED=${SEED})`, () => {
    let errorsSeen = 0;
    for (let run = 0; run < RUNS; run++) {
      const seed = SEED + run;
      const d = new Draw(randomOf(seed));
      const model = new Model();
      const bench = new MachineBench(seed);
      const silent = new MachineBench(seed + 1);
      for (let i = 0; i < COMMANDS; i++) {
        const command = draw(d, model);
        expectAnswer(bench, command, `seed ${seed}, command ${i} of kind ${command.kind}`);
        const refusal = silent.apply(command.kind, command.request, d.chance(0.2));
        expect(refusal).to.equal(command.expected instanceof Uint8Array ? null : command.expected);
        if (refusal !== null) errorsSeen++;
        // Background work comes at different moments on different members.
        if (d.chance(0.3)) bench.env.step();
        if (d.chance(0.1)) silent.env.settle();
      }
      expectSameState(bench, model);
      bench.env.settle();
      expectSameState(bench, model);
      expectSameState(silent, model);
      expect(silent.hash()).to.equal(bench.hash());
    }
    expect(errorsSeen).to.be.greaterThan(RUNS);
  });
});
