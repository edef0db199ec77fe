import { expect } from 'chai';
import { encodeTxnRequest } from '../../../src/gen/rpc.js';
import { EntryType, message, MessageType, type Entry } from '../../../src/raft/types.js';
import { CommandKind, encodeCommand } from '../../../src/server/contract/command.js';
import type { SnapshotSink } from '../../../src/storage/engine.js';
import { imageOf, Machine, MemberBench, type Image } from '../member/member-bench.js';

const VOTERS = 3;
const INDEX = 50;
const TERM = 4;
const KEYS = 40;
const image = imageOf(INDEX, TERM, VOTERS, KEYS);

/** Begins to receive the image as a follower does from its leader; what follows happens step by step. */
function receive(bench: MemberBench, { chunks, message: m }: Image): SnapshotSink {
  const { handler } = bench;
  if (handler === undefined) throw new Error('the member was not started');
  const heartbeat = message(MessageType.heartbeat, 1n, { from: 2n, term: TERM });
  handler.onMessages(2n, [heartbeat]);
  const sink = handler.onSnapshot(2n, m);
  if (sink === null) throw new Error('the snapshot was refused');
  const write = (i: number): void => {
    const chunk = chunks[i];
    if (chunk !== undefined) {
      sink.write(chunk, (error) => {
        if (error !== null) throw error;
        write(i + 1);
      });
    } else {
      sink.finish((error) => {
        if (error !== null) throw error;
        handler.onMessages(2n, [m]);
      });
    }
  };
  write(0);
  return sink;
}

function open(machine: Machine): MemberBench {
  const bench = new MemberBench(machine, VOTERS);
  machine.env.settle();
  expect(bench.error).to.equal(undefined);
  return bench;
}

/** A member that did `steps` steps of receiving the image; `left` is how many there were too many. */
function receiving(steps: number): { machine: Machine; bench: MemberBench; left: number } {
  const machine = new Machine();
  const bench = open(machine);
  receive(bench, image);
  let left = steps;
  while (left > 0 && machine.env.step()) left--;
  return { machine, bench, left };
}

/** The image's index if the member holds all of it, 0 if it holds nothing. */
function held(bench: MemberBench): number {
  const { store, backend, machine } = bench.running;
  const keys = store.count({ start: '', end: null }, store.currentRevision);
  expect(keys).to.equal(backend.appliedIndex === INDEX ? KEYS : 0);
  expect(machine.members.list().length).to.equal(VOTERS);
  for (const row of store.list({ start: '', end: null }, store.currentRevision, 0)) {
    store.row(row.modRevision, row.sub);
  }
  return backend.appliedIndex;
}

function hasAcknowledged(bench: MemberBench): boolean {
  return bench.sent.some(
    (m) => m.type === MessageType.appendResponse && !m.reject && m.index >= INDEX,
  );
}

describe('installing a snapshot', function () {
  this.timeout(30_000);

  it('replaces the state, and nothing of the old or staged one stays behind', () => {
    const machine = new Machine();
    const bench = open(machine);
    receive(bench, image);
    machine.env.settle();
    expect(held(bench)).to.equal(INDEX);
    expect(hasAcknowledged(bench)).to.equal(true);
    expect([...machine.engines.keys()]).to.have.length(1);
    machine.crash(false);
    expect(held(open(machine))).to.equal(INDEX);
  });

  it('takes the place of a command that is being decided', () => {
    const machine = new Machine();
    const bench = open(machine);
    const puts = Array.from({ length: 300 }, (_, i) => ({
      requestPut: { key: Buffer.from(`k${i}`), value: Buffer.from('v') },
    }));
    const compare = { key: Buffer.of(0), rangeEnd: Buffer.of(0), target: 3, result: 3 };
    const decided = encodeTxnRequest({ compare: [compare], success: puts.slice(0, 1) });
    const commands = [encodeTxnRequest({ success: puts }), decided];
    const entries = commands.map((request, i) => ({
      term: TERM,
      index: i + 1,
      type: EntryType.normal,
      data: encodeCommand(CommandKind.txn, 9, i, request),
    }));
    const fields = { from: 2n, term: TERM, index: 0, logTerm: 0, commit: 2, entries };
    bench.handler?.onMessages(2n, [message(MessageType.append, 1n, fields)]);
    const { machine: state, leadership } = bench.running;
    const choosePath = state.kv.choosePath.bind(state.kv);
    let begun = 0;
    state.kv.choosePath = (txn) => {
      begun++;
      return choosePath(txn);
    };
    // Every look at the clock finds the slice used up.
    const { clock } = machine.env;
    clock.monoMs = () => (machine.env.nowMs += 5);
    while (begun < 2) expect(machine.env.step()).to.equal(true);
    expect(leadership.appliedIndex).to.equal(1);
    clock.monoMs = () => machine.env.nowMs;
    receive(bench, image);
    clock.monoMs = () => (machine.env.nowMs += 5);
    while (leadership.appliedIndex < INDEX) expect(machine.env.step()).to.equal(true);
    clock.monoMs = () => machine.env.nowMs;
    machine.env.settle();
    expect(held(bench)).to.equal(INDEX);
    const next = [{ ...entries[0], term: TERM, index: INDEX + 1 } as Entry];
    const behind = { ...fields, index: INDEX, logTerm: TERM, commit: INDEX + 1, entries: next };
    bench.handler?.onMessages(2n, [message(MessageType.append, 1n, behind)]);
    machine.env.settle();
    expect(leadership.appliedIndex).to.equal(INDEX + 1);
    expect(begun).to.equal(3);
  });

  for (const keeps of [false, true]) {
    it(`survives a crash at every step; acknowledged writes stay (unsynced data ${keeps ? 'kept' : 'lost'})`, () => {
      let acknowledged = 0;
      let installed = 0;
      for (let steps = 0; ; steps++) {
        const { machine, bench, left } = receiving(steps);
        const isAcknowledged = hasAcknowledged(bench);
        const isInstalled = bench.running.backend.appliedIndex === INDEX;
        machine.crash(keeps);
        const again = open(machine);
        const index = held(again);
        if (isAcknowledged || isInstalled) {
          expect(index, `crash after ${steps} steps`).to.equal(INDEX);
        }
        // Left-over files do not hinder the next attempt.
        if (index === 0) {
          receive(again, image);
          machine.env.settle();
          expect(held(again)).to.equal(INDEX);
        }
        expect([...machine.engines.keys()]).to.have.length(1);
        if (isAcknowledged) acknowledged++;
        if (isInstalled) installed++;
        if (left > 0) break;
      }
      expect(acknowledged).to.be.greaterThan(0);
      expect(installed).to.be.greaterThan(0);
    });
  }

  it('ends before a member that stops closes its log and image, whenever it stops', () => {
    let stopped = 0;
    for (let steps = 0; ; steps++) {
      const { machine, bench, left } = receiving(steps);
      if (left > 0) break;
      let isStopped = false;
      bench.running.stop(() => (isStopped = true));
      machine.env.settle();
      expect(isStopped, `stop after ${steps} steps`).to.equal(true);
      stopped++;
      machine.crash(true);
      held(open(machine));
    }
    expect(stopped).to.be.greaterThan(20);
  });

  it('starts anew at once after one that was aborted while its engine opened', () => {
    for (let steps = 0; steps < 6; steps++) {
      for (let gap = 0; gap < 6; gap++) {
        const machine = new Machine();
        const bench = open(machine);
        const { handler } = bench;
        const heartbeat = message(MessageType.heartbeat, 1n, { from: 2n, term: TERM });
        handler?.onMessages(2n, [heartbeat]);
        const first = handler?.onSnapshot(2n, image.message);
        first?.write(image.chunks[0] ?? new Uint8Array(0), () => undefined);
        for (let i = 0; i < steps; i++) machine.env.step();
        first?.abort();
        for (let i = 0; i < gap; i++) machine.env.step();
        // Refused until nothing of the first is left.
        while (handler?.onSnapshot(2n, image.message) === null && machine.env.step());
        machine.env.settle();
        expect(bench.running.backend.appliedIndex).to.be.oneOf([0, INDEX]);
      }
    }
  });

  it('stops the process when the directory does not hold the announced image', () => {
    const machine = new Machine();
    const bench = open(machine);
    const { handler } = bench;
    const { snapshot } = image.message;
    const later = {
      ...image.message,
      snapshot: snapshot === null ? null : { ...snapshot, index: INDEX + 7 },
    };
    expect(() => {
      receive(bench, { ...image, message: later });
      machine.env.settle();
    }).to.throw(`its directory holds the state of log index ${INDEX}`);
    expect(handler).to.not.equal(undefined);
  });

  it('refuses a second one while the first is received, staged or installed', () => {
    const machine = new Machine();
    const bench = open(machine);
    receive(bench, image);
    const { handler } = bench;
    let refusals = 0;
    const { snapshot } = image.message;
    const newer = {
      ...image.message,
      snapshot: snapshot === null ? null : { ...snapshot, index: INDEX + 10 },
    };
    do {
      expect(handler?.onSnapshot(2n, image.message)).to.equal(null);
      if (bench.running.leadership.appliedIndex < INDEX) {
        expect(handler?.onSnapshot(2n, newer)).to.equal(null);
      }
      refusals++;
    } while (machine.env.step());
    expect(refusals).to.be.greaterThan(10);
    expect(held(bench)).to.equal(INDEX);
  });

  it('starts anew after one that was aborted', () => {
    const machine = new Machine();
    const bench = open(machine);
    const { handler } = bench;
    const heartbeat = message(MessageType.heartbeat, 1n, { from: 2n, term: TERM });
    handler?.onMessages(2n, [heartbeat]);
    const sink = handler?.onSnapshot(2n, image.message);
    sink?.write(image.chunks[0] as Uint8Array, () => undefined);
    machine.env.step();
    sink?.abort();
    machine.env.settle();
    receive(bench, image);
    machine.env.settle();
    expect(held(bench)).to.equal(INDEX);
  });

  it('is reported to the core when all is in place', () => {
    const machine = new Machine();
    const bench = open(machine);
    receive(bench, image);
    machine.env.settle();
    expect(bench.running.leadership.appliedIndex).to.equal(INDEX);
  });

  it('keeps reads waiting while the state is replaced', () => {
    const machine = new Machine();
    const bench = open(machine);
    receive(bench, image);
    let isReadable = true;
    let waited = 0;
    while (machine.env.step()) {
      isReadable = false;
      bench.running.roles.reads.whenReadable(() => {
        isReadable = true;
        held(bench);
      });
      if (!isReadable) waited++;
    }
    expect(isReadable).to.equal(true);
    expect(waited).to.be.greaterThan(0);
  });
});
