import { expect } from 'chai';
import { encodeConfChangeEntry } from '../../../src/gen/peer.js';
import { encodePutRequest } from '../../../src/gen/rpc.js';
import { EntryType, message, MessageType, type Entry } from '../../../src/raft/types.js';
import { CommandKind, encodeCommand } from '../../../src/server/contract/command.js';
import { Machine, MemberBench } from './member-bench.js';

const LEADER = 2n;
const TERM = 3;
const put = (key: string): Uint8Array =>
  encodeCommand(CommandKind.put, 9, 1, encodePutRequest({ key: Buffer.from(key) }));
const ofUnknownKind = encodeCommand(250 as CommandKind, 9, 2, Buffer.from('new'));
const withBrokenBody = encodeCommand(CommandKind.put, 9, 3, Uint8Array.of(0x0a, 0x7f));

/** A follower whose leader sends `commands` as committed entries from index 2 on; index 1 is the leader's own. */
function follow(
  commands: readonly Uint8Array[],
  skipped: readonly number[] = [],
  lastType: EntryType = EntryType.normal,
): MemberBench {
  const machine = new Machine();
  const bench = new MemberBench(machine, 3, { skippedIndexes: new Set(skipped) });
  machine.env.settle();
  const entries: Entry[] = [Buffer.alloc(0), ...commands].map((data, i) => ({
    term: TERM,
    index: i + 1,
    type: i === commands.length ? lastType : EntryType.normal,
    data,
  }));
  const fields = {
    from: LEADER,
    term: TERM,
    index: 0,
    logTerm: 0,
    commit: entries.length,
    entries,
  };
  bench.handler?.onMessages(LEADER, [message(MessageType.append, 1n, fields)]);
  machine.env.settle();
  return bench;
}

describe('EntryApplier', () => {
  it('stops at an entry of an unknown kind, naming index, kind and the way out', () => {
    expect(() => follow([put('a'), ofUnknownKind])).to.throw(
      'log entry 3 of term 3 is of kind 250: it was written by a newer version, or is damaged',
    );
  });

  it('stops at an entry whose body cannot be read', () => {
    expect(() => follow([withBrokenBody])).to.throw(
      'log entry 2 of term 3 has a body that cannot be read',
    );
  });

  it('stops at a membership change that it cannot read, or passes over it', () => {
    const change = encodeConfChangeEntry({ type: 77, memberId: 9n });
    expect(() => follow([put('a'), change], [], EntryType.confChange)).to.throw(
      'log entry 3 of term 3 has a body that cannot be read: a membership change of type 77',
    );
    const bench = follow([put('a'), change], [3], EntryType.confChange);
    expect(bench.running.leadership.appliedIndex).to.equal(3);
    expect(bench.running.node.status().confState.voters).to.deep.equal([1n, 2n, 3n]);
  });

  it('passes over the entries named by the operator, and applies those that follow', () => {
    const bench = follow([put('a'), ofUnknownKind, withBrokenBody, put('b')], [3, 4]);
    const { store, leadership } = bench.running;
    expect(leadership.appliedIndex).to.equal(5);
    const keys = store.list({ start: '', end: null }, store.currentRevision, 0).map((r) => r.key);
    expect(keys).to.deep.equal(['a', 'b']);
    expect(store.currentRevision).to.equal(3);
  });
});
