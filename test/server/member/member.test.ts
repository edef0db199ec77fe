import { expect } from 'chai';
import {
  decodeAlarmResponse,
  encodeAlarmRequest,
  encodePutRequest,
  encodeTxnRequest,
} from '../../../src/gen/rpc.js';
import { message, MessageType } from '../../../src/raft/types.js';
import type { StartupError } from '../../../src/base/flags/startup-error.js';
import { errors } from '../../../src/server/contract/errors.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { Machine, MemberBench } from './member-bench.js';

function lone(machine: Machine, quotaBytes = Infinity): MemberBench {
  const bench = new MemberBench(machine, 1, { quotaBytes });
  machine.env.settle();
  expect(bench.error).to.equal(undefined);
  return bench;
}

/** Proposes and waits; the reply, or throws the refusal. */
function propose(
  machine: Machine,
  bench: MemberBench,
  kind: CommandKind,
  request: Uint8Array,
): Uint8Array {
  const answers: (Uint8Array | Error)[] = [];
  bench.running.roles.proposals.propose(kind, request, (error, reply) => {
    answers.push(error ?? (reply as Uint8Array));
  });
  // The backend may take a moment longer than the answer.
  machine.env.advance(20);
  expect(answers).to.have.length(1);
  const [answer] = answers;
  if (answer instanceof Error) throw answer;
  return answer as Uint8Array;
}

const put = (key: string, bytes: number): Uint8Array =>
  encodePutRequest({ key: Buffer.from(key), value: Buffer.alloc(bytes) });

describe('Member', () => {
  it('refuses to start without its log when its state is not that of a new member', () => {
    const machine = new Machine();
    const bench = lone(machine);
    propose(machine, bench, CommandKind.put, put('k', 10));
    machine.crash(true);
    const again = new MemberBench(machine, 1, { walDir: '/elsewhere' });
    machine.env.settle();
    expect(again.member).to.equal(undefined);
    expect((again.error as StartupError).nextStep).to.include('--wal-dir');
    machine.crash(true);
    expect(lone(machine).running.store.currentRevision).to.equal(2);
  });

  it('refuses to start without its state when it has a log', () => {
    const machine = new Machine();
    const bench = lone(machine);
    propose(machine, bench, CommandKind.put, put('k', 10));
    machine.crash(true);
    const engines = new Map(machine.engines);
    machine.engines.clear();
    const again = new MemberBench(machine, 1);
    machine.env.settle();
    expect(again.member).to.equal(undefined);
    expect((again.error as StartupError).message).to.include('is missing, but there is a log');
    machine.crash(true);
    for (const [dir, engine] of engines) machine.engines.set(dir, engine);
    expect(lone(machine).running.store.currentRevision).to.equal(2);
  });

  it('begins anew, with the flags of now, after a start that ended before there was a log', () => {
    const machine = new Machine();
    const wrong = { memberId: 1n, clusterId: 9n, members: [{ id: 7n, name: 'x', peerURLs: [] }] };
    machine.disk.fault = (operation, path) =>
      operation === 'create' && path.includes('/wal/') ? new Error('power is lost') : null;
    const first = new MemberBench(machine, 1, { bootstrap: { ...wrong, memberId: 7n } });
    machine.env.settle();
    expect(first.member).to.equal(undefined);
    machine.disk.fault = null;
    machine.crash(true);
    const again = new MemberBench(machine, 1);
    machine.env.settle();
    expect(again.running.machine.members.list().map((m) => m.name)).to.deep.equal(['m1']);
  });

  it('ends an attempt to open with an error in one form, and with nothing open', () => {
    const machine = new Machine();
    machine.disk.fault = (operation) =>
      operation === 'mkdir'
        ? Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
        : null;
    const bench = new MemberBench(machine, 1);
    machine.env.settle();
    expect(bench.member).to.equal(undefined);
    expect((bench.error as StartupError).message).to.match(/no space is left/);
    expect((bench.error as StartupError).nextStep).to.match(/free some space/);
  });

  it('has the names of its cluster before any member published one', () => {
    const machine = new Machine();
    const other = new MemberBench(machine, 3);
    machine.env.settle();
    const list = other.running.machine.members.list();
    expect(list.map((m) => m.name)).to.deep.equal(['m1', 'm2', 'm3']);
    expect(list.map((m) => m.clientURLs)).to.deep.equal([[], [], []]);
  });

  it('counts every change of leader, also from one to the next directly', () => {
    const machine = new Machine();
    const bench = new MemberBench(machine, 3);
    machine.env.settle();
    const beat = (from: bigint, term: number): void => {
      bench.handler?.onMessages(from, [message(MessageType.heartbeat, 1n, { from, term })]);
      machine.env.settle();
    };
    beat(2n, 2);
    beat(2n, 2);
    expect(bench.running.leadership.changes).to.equal(1);
    beat(3n, 3);
    expect(bench.running.leadership.changes).to.equal(2);
  });

  it('over its quota refuses additions, lets deletes pass and raises one alarm', () => {
    const machine = new Machine();
    const bench = lone(machine, 6000);
    for (let i = 0; i < 4; i++) propose(machine, bench, CommandKind.put, put(`k${i}`, 1000));
    expect(() => propose(machine, bench, CommandKind.put, put('k9', 3000))).to.throw(
      errors.noSpace.message,
    );
    expect(bench.running.machine.alarms.noSpace).to.equal(true);
    const disarm = encodeAlarmRequest({ action: 2, memberID: 1n, alarm: 1 });
    const removed = decodeAlarmResponse(propose(machine, bench, CommandKind.alarm, disarm)).alarms;
    expect(removed).to.deep.equal([{ memberID: 1n, alarm: 1 }]);
    const isSmall = encodeTxnRequest({
      success: [{ requestDeleteRange: { key: Buffer.from('k0') } }],
    });
    propose(machine, bench, CommandKind.txn, isSmall);
    // Many refusals at once are one alarm in the log.
    const before = bench.running.leadership.appliedIndex;
    const refusals: unknown[] = [];
    for (let i = 0; i < 20; i++) {
      bench.running.roles.proposals.propose(CommandKind.put, put('k9', 5000), (error) =>
        refusals.push(error),
      );
    }
    machine.env.settle();
    expect(refusals).to.deep.equal(Array.from({ length: 20 }, () => errors.noSpace));
    expect(bench.running.leadership.appliedIndex).to.equal(before + 1);
    propose(machine, bench, CommandKind.txn, isSmall);
    expect(() => propose(machine, bench, CommandKind.put, put('k9', 1))).to.throw(
      errors.noSpace.message,
    );
  });

  it('refuses requests beyond the limit with the text etcd gives', () => {
    const machine = new Machine();
    const bench = lone(machine);
    expect(() => propose(machine, bench, CommandKind.put, put('k', 1_572_864))).to.throw(
      'etcdserver: request is too large',
    );
  });
});
