import { expect } from 'chai';
import * as net from 'node:net';
import { decodePeerHello, decodePeerHelloReply } from '../../../src/gen/peer.js';
import type { Message } from '../../../src/raft/types.js';
import { MessageType, message } from '../../../src/raft/types.js';
import { decodeMessages, encodeMessages } from '../../../src/server/peer/codec.js';
import { FrameType, PREFACE, makeFrame } from '../../../src/server/peer/frames.js';
import { MAX_FRAME_BYTES, PART_BYTES, WINDOW_BYTES } from '../../../src/server/peer/limits.js';
import { BodyCutter } from '../../../src/server/peer/parts.js';
import { isMark } from '../../../src/server/peer/send-queue.js';
import { PeerRequest } from '../../../src/server/contract/roles.js';
import {
  RawConnection,
  RawMember,
  TestNode,
  areConnected,
  dialRaw,
  introduce,
  until,
} from './harness.js';

const MIB = 1024 * 1024;
/** An entry that did not fit the frames of protocol version 1. */
const LONG_BYTES = 67_108_794;

const heartbeat = message(MessageType.heartbeat, 2n, { from: 1n, term: 1 });

function append(dataBytes: number): Message {
  const data = new Uint8Array(dataBytes).fill(7);
  const entries = [{ term: 1, index: 1, type: 0 as const, data }];
  return message(MessageType.append, 2n, { from: 1n, term: 1, entries });
}

describe('long messages between members', () => {
  let nodes: TestNode[] = [];
  let raw: RawMember | undefined;

  async function make(id: bigint): Promise<TestNode> {
    const node = await new TestNode(id).start();
    nodes.push(node);
    return node;
  }

  async function pair(): Promise<[TestNode, TestNode]> {
    const made: [TestNode, TestNode] = [await make(1n), await make(2n)];
    introduce(made);
    await until('connections', () => areConnected(made));
    return made;
  }

  /** A node whose peer, member 2, the test dials as. */
  async function called(): Promise<TestNode> {
    const node = await make(1n);
    node.transport.setPeers([{ id: 2n, urls: [] }], []);
    return node;
  }

  /** A node connected to a member that the test plays. */
  async function facing(member: RawMember): Promise<TestNode> {
    raw = await member.listen();
    const node = await make(1n);
    node.transport.setPeers([{ id: 2n, urls: raw.urls }], []);
    await until('connection', () => node.transport.connectedSince(2n) !== undefined);
    return node;
  }

  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    await raw?.close();
    nodes = [];
    raw = undefined;
  });

  it('arrive whole, behind the heartbeats that were sent after them', async () => {
    const [a, b] = await pair();
    a.transport.send([append(LONG_BYTES)]);
    a.transport.send([heartbeat]);
    await until('both', () => b.messages.length === 2);
    expect(b.messages.map((m) => m.message.type)).to.deep.equal([
      MessageType.heartbeat,
      MessageType.append,
    ]);
    const data = b.messages[1]?.message.entries[0]?.data;
    expect(data).to.have.length(LONG_BYTES);
    expect(data?.every((byte) => byte === 7)).to.equal(true);
    expect([...a.unreachable, ...b.unreachable]).to.deep.equal([]);
  });

  it('wait for a peer that does not confirm them, and nothing else waits', async () => {
    const member = new RawMember({ ok: true, protocolVersion: 2 });
    const a = await facing(member);
    const [connection] = member.connections;
    if (connection === undefined) throw new Error('no connection');
    a.transport.send([append(20 * MIB)]);
    const heartbeats = (): number =>
      connection
        .received(FrameType.messages)
        .flatMap(({ body }) => decodeMessages(body))
        .filter((m) => m.type === MessageType.heartbeat).length;
    for (let i = 1; i <= 50; i++) {
      a.transport.send([heartbeat]);
      await until('heartbeat', () => heartbeats() === i);
    }
    expect(connection.bytes).to.be.at.most(WINDOW_BYTES + PART_BYTES + 50 * 100);
    for (let confirmed = 0; ; confirmed++) {
      const marks = (): Uint8Array[] =>
        connection.received(FrameType.ping).flatMap(({ body }) => (isMark(body) ? [body] : []));
      if (connection.bytes > 20 * MIB) break;
      await until('a mark', () => marks().length > confirmed || connection.bytes > 20 * MIB);
      const mark = marks()[confirmed];
      if (mark !== undefined) connection.send(FrameType.pong, mark);
    }
    await until('the entry', () => connection.received(FrameType.messages).length === 51);
  });

  it('go to a member of protocol version 1 in one frame each, or not at all', async () => {
    const member = new RawMember({ ok: true });
    const a = await facing(member);
    a.transport.send([append(3 * MIB)]);
    a.transport.send([append(MAX_FRAME_BYTES)]);
    a.transport.send([heartbeat]);
    const received = (): Message[] =>
      member.connections
        .flatMap((connection) => connection.received(FrameType.messages))
        .flatMap(({ body }) => decodeMessages(body));
    await until('two messages', () => received().length === 2);
    expect(received()[0]?.entries[0]?.data).to.have.length(3 * MIB);
    expect(received()[1]?.type).to.equal(MessageType.heartbeat);
    expect(a.logged(/exceeds what the peer accepts/)).to.have.length(1);
    expect(a.metrics.of('sendFailure')).to.equal(1);
    const [hello] = member.connections.flatMap((connection) =>
      connection.received(FrameType.hello),
    );
    const { protocolVersion, newestVersion } = decodePeerHello(hello?.body ?? Buffer.alloc(0));
    expect([protocolVersion, newestVersion]).to.deep.equal([1, 2]);
  });

  it('are agreed on in the hello: the older version of the two', async () => {
    const a = await called();
    for (const [newestVersion, agreed] of [
      [0, 1],
      [1, 1],
      [2, 2],
      [9, 2],
    ] as const) {
      const connection = dialRaw(a, { from: 2n, newestVersion, kind: 'snapshot' });
      await until('reply', () => connection.frames.length === 1);
      const reply = decodePeerHelloReply(connection.frames[0]?.body ?? Buffer.alloc(0));
      expect(reply).to.include({ ok: true, protocolVersion: agreed, incarnation: 1 });
      connection.destroy();
    }
  });

  it('may be requests and replies', async () => {
    const [a, b] = await pair();
    b.answer = (_kind, body, reply) => reply(null, Buffer.alloc(body.length + 1, body));
    const reply = await new Promise<Uint8Array | null>((resolve, reject) => {
      const body = Buffer.alloc(MAX_FRAME_BYTES + 5, 3);
      a.transport.request(2n, PeerRequest.version, body, 20_000, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
    expect(reply).to.have.length(MAX_FRAME_BYTES + 6);
  });

  it('as a reply that a member of protocol version 1 cannot read become an error there', async () => {
    const a = await called();
    a.answer = (_kind, _body, reply) => reply(null, Buffer.alloc(MAX_FRAME_BYTES));
    const connection = dialRaw(a, { from: 2n, newestVersion: 0, incarnation: 1 });
    await until('reply to the hello', () => connection.frames.length === 1);
    connection.send(FrameType.request, Uint8Array.of(8, 1, 16, 4));
    await until('reply', () => connection.frames.length === 2);
    expect(connection.frames[1]?.body.toString()).to.match(/an answer of \d+ bytes is too long/);
    connection.destroy();
  });

  it('before a hello, or with a gap, close the connection with one line', async () => {
    const a = await called();
    const begin = Uint8Array.of(FrameType.messages, 255, 255, 255, 127, 0, 0, 0, 0, 1);
    const stranger = net.connect(a.port, '127.0.0.1');
    stranger.write(Buffer.concat([PREFACE, makeFrame(FrameType.part, begin)]));
    const early = new RawConnection(stranger, 0);
    await until('closed', () => early.isClosed);
    expect(a.logged(/malformed bytes.*does not begin with a hello/)).to.have.length(1);
    const gap = dialRaw(a, { from: 2n, incarnation: 1 });
    await until('accepted', () => gap.frames.length === 1);
    const cutter = new BodyCutter(FrameType.messages, [encodeMessages([append(2 * MIB)])]);
    cutter.next();
    gap.send(FrameType.part, cutter.next().subarray(9));
    await until('closed', () => gap.isClosed);
    expect(a.logged(/malformed bytes.*was not begun/)).to.have.length(1);
  });

  it('with a gap in an answer close the connection with one line', async () => {
    const member = new RawMember({ ok: true, protocolVersion: 2 });
    const a = await facing(member);
    const linesBefore = a.logs.length;
    const cutter = new BodyCutter(FrameType.reply, [new Uint8Array(2 * MIB)]);
    cutter.next();
    member.connections[0]?.send(FrameType.part, cutter.next().subarray(9));
    await until('the end', () => a.unreachable.length === 1);
    expect(a.logs.slice(linesBefore).filter((line) => line.level === 'warn')).to.have.length(1);
    expect(a.logged(/lost the connection.*malformed bytes: a part.*not begun/)).to.have.length(1);
    expect(a.metrics.of('receiveFailure')).to.equal(1);
  });
});
