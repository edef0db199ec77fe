import { expect } from 'chai';
import fc from 'fast-check';
import type { Message } from '../../../src/raft/types.js';
import { MessageType, message } from '../../../src/raft/types.js';
import { decodeMessages } from '../../../src/server/peer/codec.js';
import { FrameReader, FrameType } from '../../../src/server/peer/frames.js';
import {
  FRAME_TARGET_BYTES,
  MAX_BODY_BYTES,
  MAX_FRAME_BYTES,
  MAX_QUEUED_BYTES,
  MAX_QUEUED_WRITES,
  PART_BYTES,
  WINDOW_BYTES,
} from '../../../src/server/peer/limits.js';
import { MAX_INFLIGHT_BYTES, MAX_INFLIGHT_MESSAGES } from '../../../src/server/member/limits.js';
import { BodyAssembler } from '../../../src/server/peer/parts.js';
import type { Outlet } from '../../../src/server/peer/send-queue.js';
import { SendQueue, isMark } from '../../../src/server/peer/send-queue.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const MIB = 1024 * 1024;

/** The other side of a connection: reads all bytes and confirms a mark at the test's call. */
class Receiver implements Outlet {
  queuedBytes = 0;
  pendingWrites = 0;
  readonly received: Message[] = [];
  readonly frameBytes: number[] = [];
  marks = 0;
  tooLong: number[] = [];
  readonly queue: SendQueue;
  private readonly reader = new FrameReader();
  private readonly assembler = new BodyAssembler();

  constructor(canDivide = true) {
    this.reader.admit();
    this.queue = new SendQueue(this, canDivide, (bytes) => this.tooLong.push(bytes));
  }

  write(bytes: Buffer): void {
    this.frameBytes.push(bytes.length);
    this.reader.push(bytes);
    const frame = this.reader.next();
    if (frame === null) throw new Error('a frame was cut short');
    if (frame.type === FrameType.ping && isMark(frame.body)) this.marks++;
    const whole = frame.type === FrameType.part ? this.assembler.add(frame.body) : frame;
    if (whole?.type === FrameType.messages) this.received.push(...decodeMessages(whole.body));
  }

  /** Confirms the oldest mark. False when there is none. */
  confirm(): boolean {
    if (this.marks === 0) return false;
    this.marks--;
    this.queue.onMarkConfirmed();
    return true;
  }

  get writtenBytes(): number {
    return this.frameBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  get indexes(): number[] {
    return this.received.filter((m) => m.type === MessageType.append).map((m) => m.index);
  }

  get heartbeats(): number {
    return this.received.filter((m) => m.type === MessageType.heartbeat).length;
  }
}

function append(index: number, dataBytes: number): Message {
  const entries = [
    { term: 1, index: index + 1, type: 0 as const, data: new Uint8Array(dataBytes) },
  ];
  return message(MessageType.append, 2n, { from: 1n, term: 1, logTerm: 1, index, entries });
}

const heartbeat = message(MessageType.heartbeat, 2n, { from: 1n, term: 1 });

describe('SendQueue', () => {
  it('sends short messages of one call as one frame, in order', () => {
    const to = new Receiver();
    expect(to.queue.send([append(1, 10), heartbeat, append(2, 10)])).to.equal(true);
    expect(to.frameBytes).to.have.length(1);
    expect(to.received).to.deep.equal([append(1, 10), heartbeat, append(2, 10)]);
  });

  it('sends an entry of 67,108,794 bytes, and the next one', () => {
    const to = new Receiver();
    expect(to.queue.send([append(1, 67_108_794)])).to.equal(true);
    expect(to.queue.send([append(2, 10)])).to.equal(true);
    while (to.confirm());
    expect(to.indexes).to.deep.equal([1, 2]);
    expect(to.received[0]?.entries[0]?.data).to.have.length(67_108_794);
    expect(Math.max(...to.frameBytes)).to.be.at.most(PART_BYTES + 100);
    expect(to.queue.queuedBytes).to.equal(0);
  });

  it('lets heartbeats pass between the parts of a long entry, at most one window behind', () => {
    const to = new Receiver();
    to.queue.send([append(1, 20 * MIB)]);
    let sent = 0;
    let writtenBefore = 0;
    do {
      to.queue.send([heartbeat]);
      expect(to.heartbeats).to.equal(++sent);
      expect(to.writtenBytes - writtenBefore).to.be.at.most(WINDOW_BYTES + PART_BYTES + 200);
      writtenBefore = to.writtenBytes;
    } while (to.indexes.length === 0 && to.confirm());
    expect(to.indexes).to.deep.equal([1]);
    expect(sent).to.be.greaterThan((20 * MIB) / WINDOW_BYTES);
  });

  it('lets heartbeats pass entries of ordinary size that a slow peer has not confirmed', () => {
    const to = new Receiver();
    for (let i = 1; i <= 40; i++) to.queue.send([append(i, 200_000), heartbeat]);
    expect(to.heartbeats).to.equal(40);
    expect(to.indexes.length).to.be.at.most(WINDOW_BYTES / 200_000 + 1);
    while (to.confirm());
    expect(to.indexes).to.deep.equal(Array.from({ length: 40 }, (_, i) => i + 1));
  });

  it('keeps the order of entries of any size and reports every gap', () => {
    const step = fc.oneof(
      fc.record({ bytes: fc.oneof(fc.nat(300), fc.nat(FRAME_TARGET_BYTES), fc.nat(3 * MIB)) }),
      fc.constant('confirm' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const to = new Receiver();
        let sent = 0;
        for (const one of steps) {
          if (one === 'confirm') to.confirm();
          else expect(to.queue.send([append(++sent, one.bytes), heartbeat])).to.equal(true);
        }
        while (to.confirm());
        expect(to.indexes).to.deep.equal(Array.from({ length: sent }, (_, i) => i + 1));
        expect(to.heartbeats).to.equal(sent);
      }),
      { seed, numRuns: 40 },
    );
  });

  it('drops entries beyond its bound, all of one call after the first, and reports it', () => {
    const to = new Receiver();
    const size = 900_000;
    let taken = 0;
    while (to.queue.send([append(taken + 1, size)])) taken++;
    expect(to.queue.queuedBytes).to.be.within(MAX_QUEUED_BYTES, MAX_QUEUED_BYTES + size + 100);
    expect(to.queue.send([append(taken + 1, size), append(taken + 2, 10)])).to.equal(false);
    while (to.confirm());
    expect(to.indexes).to.deep.equal(Array.from({ length: taken }, (_, i) => i + 1));
  });

  it('drops entries beyond a number of them', () => {
    const to = new Receiver();
    to.queue.send([append(1, 2 * MIB)]);
    let taken = 0;
    while (to.queue.send([append(++taken + 1, 10)]));
    expect(taken).to.equal(MAX_QUEUED_WRITES + 1);
  });

  it('takes one entry longer than its bound, and drops later ones until there is room', () => {
    const to = new Receiver();
    const long = MAX_QUEUED_BYTES + 1;
    // The first is being sent, the second waits.
    expect(to.queue.send([append(1, long), append(2, long)])).to.equal(true);
    expect(to.queue.send([append(3, 10)])).to.equal(false);
    while (to.confirm());
    expect(to.queue.send([append(3, long)])).to.equal(true);
    while (to.confirm());
    expect(to.indexes).to.deep.equal([1, 2, 3]);
  });

  it('takes all that the core sends ahead of an answer, one long entry last', () => {
    const to = new Receiver();
    let index = 0;
    for (let ahead = 0; ahead < MAX_INFLIGHT_BYTES; ahead += MIB) {
      expect(to.queue.send([append(++index, MIB)])).to.equal(true);
    }
    const last = new Receiver();
    for (let ahead = MIB; ahead < MAX_INFLIGHT_BYTES; ahead += MIB)
      last.queue.send([append(1, MIB)]);
    expect(last.queue.send([append(1, 200 * MIB)])).to.equal(true);
    expect(MAX_QUEUED_BYTES).to.be.at.least(MAX_INFLIGHT_BYTES);
    expect(MAX_QUEUED_WRITES).to.be.at.least(MAX_INFLIGHT_MESSAGES);
  });

  it('sends a long append once, however often a probing leader repeats it', () => {
    const to = new Receiver();
    const long = append(1, 8 * MIB);
    for (let i = 0; i < 100; i++) expect(to.queue.send([long, heartbeat])).to.equal(true);
    while (to.confirm());
    expect(to.indexes).to.deep.equal([1]);
    to.queue.send([long]);
    while (to.confirm());
    expect(to.indexes, 'again after the first was sent').to.deep.equal([1, 1]);
  });

  it('drops everything while the socket itself takes nothing', () => {
    const to = new Receiver();
    to.queuedBytes = MAX_QUEUED_BYTES + 1;
    expect(to.queue.send([heartbeat])).to.equal(false);
    to.queuedBytes = 0;
    to.pendingWrites = MAX_QUEUED_WRITES;
    expect(to.queue.send([heartbeat])).to.equal(false);
    expect(to.frameBytes).to.deep.equal([]);
  });

  it('gives nothing for confirmations it did not ask for', () => {
    const to = new Receiver();
    to.queue.send([append(1, 4 * MIB)]);
    const before = to.frameBytes.length;
    while (to.confirm());
    for (let i = 0; i < 100; i++) to.queue.onMarkConfirmed();
    expect(to.indexes).to.deep.equal([1]);
    expect(to.frameBytes.length).to.be.greaterThan(before);
    for (let i = 2; i < 40; i++) to.queue.send([append(i, 200_000)]);
    expect(to.indexes.length).to.be.at.most(2 + WINDOW_BYTES / 200_000 + 1);
  });

  describe('to a peer of protocol version 1', () => {
    it('sends long messages as one frame, up to its limit', () => {
      const to = new Receiver(false);
      to.queue.send([append(1, 3 * MIB), append(2, 10)]);
      while (to.confirm());
      expect(to.indexes).to.deep.equal([1, 2]);
      expect(Math.max(...to.frameBytes)).to.be.greaterThan(3 * MIB);
    });

    it('reports a message beyond its limit and goes on', () => {
      const to = new Receiver(false);
      expect(to.queue.send([append(1, MAX_FRAME_BYTES)])).to.equal(true);
      expect(to.tooLong).to.have.length(1);
      to.queue.send([append(2, 10)]);
      expect(to.indexes).to.deep.equal([2]);
    });
  });

  it('has room for one entry of the largest message a client can send', () => {
    expect(MAX_BODY_BYTES).to.be.greaterThan(2 ** 31 - 1 + 1000);
  });
});
