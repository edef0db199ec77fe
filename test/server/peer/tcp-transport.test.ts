import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { createServer, get } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Message } from '../../../src/raft/types.js';
import { MessageType, message } from '../../../src/raft/types.js';
import { encodePeerHello } from '../../../src/gen/peer.js';
import { FrameType, PREFACE, makeFrame } from '../../../src/server/peer/frames.js';
import { LOG_BURST_LINES, MAX_HTTP, MAX_UNDECIDED } from '../../../src/server/peer/limits.js';
import type { SnapshotSink } from '../../../src/storage/engine.js';
import { PeerRequest } from '../../../src/server/contract/roles.js';
import { CLUSTER, TestNode, areConnected, introduce, sourceOf, until } from './harness.js';
import { skipWithout } from '../../support/servers.js';

function heartbeat(from: bigint, to: bigint, context: number): Message {
  return message(MessageType.heartbeat, to, { from, term: 1, context });
}

function append(from: bigint, to: bigint, dataBytes: number): Message {
  const entries = [
    { term: 1, index: 1, type: 0 as const, data: new Uint8Array(dataBytes).fill(7) },
  ];
  return message(MessageType.append, to, { from, term: 1, entries });
}

function snapshotMessage(from: bigint, to: bigint): Message {
  const confState = { voters: [1n, 2n], learners: [] };
  return message(MessageType.snapshot, to, {
    from,
    term: 1,
    snapshot: { index: 9, term: 1, confState },
  });
}

describe('TcpPeerTransport', () => {
  let nodes: TestNode[] = [];

  async function make(
    id: bigint,
    options: ConstructorParameters<typeof TestNode>[1] = {},
  ): Promise<TestNode> {
    const node = await new TestNode(id, options).start();
    nodes.push(node);
    return node;
  }

  async function connected(...ids: bigint[]): Promise<TestNode[]> {
    const made: TestNode[] = [];
    for (const id of ids) made.push(await make(id));
    introduce(made);
    await until('connections', () => areConnected(made));
    return made;
  }

  async function pair(): Promise<[TestNode, TestNode]> {
    const [a, b] = await connected(1n, 2n);
    if (a === undefined || b === undefined) throw new Error('two nodes were made');
    return [a, b];
  }

  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    nodes = [];
  });

  describe('messages', () => {
    it('arrive in the order sent, between three members', async () => {
      const all = await connected(1n, 2n, 3n);
      const count = 2000;
      for (let i = 1; i <= count; i++) {
        for (const from of all) {
          from.transport.send(
            all.filter((to) => to !== from).map((to) => heartbeat(from.id, to.id, i)),
          );
        }
      }
      await until('all messages', () => all.every((node) => node.messages.length === 2 * count));
      for (const node of all) {
        for (const from of all) {
          if (from === node) continue;
          const seen = node.messages
            .filter((m) => m.from === from.id)
            .map((m) => m.message.context);
          expect(seen).to.deep.equal(Array.from({ length: count }, (_, i) => i + 1));
        }
      }
    });

    it('of several megabytes keep their content', async () => {
      const [a, b] = await pair();
      a.transport.send([append(1n, 2n, 3_000_000), append(1n, 2n, 10), append(1n, 2n, 2_000_000)]);
      await until('messages', () => b.messages.length === 3);
      const sizes = b.messages.map((m) => m.message.entries[0]?.data.length);
      expect(sizes).to.deep.equal([3_000_000, 10, 2_000_000]);
      expect(b.messages[0]?.message.entries[0]?.data.every((byte) => byte === 7)).to.equal(true);
    });

    it('wrongly addressed are dropped', async () => {
      const [a, b] = await pair();
      a.transport.send([heartbeat(9n, 2n, 1), heartbeat(1n, 2n, 2)]);
      await until('the right message', () => b.messages.length > 0);
      expect(b.messages.map((m) => m.message.context)).to.deep.equal([2]);
    });

    it('to a member that is not connected are dropped and reported once', async () => {
      const [a, b] = await pair();
      await b.close();
      await until('the outage', () => a.transport.connectedSince(2n) === undefined);
      for (let i = 0; i < 10; i++) a.transport.send([heartbeat(1n, 2n, i)]);
      expect(a.unreachable).to.deep.equal([2n]);
      expect(a.metrics.of('sendFailure')).to.equal(10);
      a.transport.send([heartbeat(1n, 77n, 1)]);
    });

    it('are dropped, with bounded memory, while the receiver does not read', async () => {
      const sockets: net.Socket[] = [];
      const deaf = net.createServer((socket) => {
        sockets.push(socket);
        socket.once('data', () => {
          socket.write(makeFrame(FrameType.helloReply, Uint8Array.of(8, 1)));
          socket.pause();
        });
      });
      await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
      try {
        const a = await make(1n);
        const { port } = deaf.address() as net.AddressInfo;
        a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${port}`] }], []);
        await until('connection', () => a.transport.connectedSince(2n) !== undefined);
        for (let i = 0; i < 300; i++) a.transport.send([append(1n, 2n, 1_000_000)]);
        expect(a.unreachable).to.deep.equal([2n]);
        expect(a.metrics.of('sendFailure')).to.be.greaterThan(200);
      } finally {
        for (const socket of sockets) socket.destroy();
        deaf.close();
      }
    });
  });

  describe('connections', () => {
    it('come back after a peer restarts on the same port', async () => {
      const [a, b] = await pair();
      const since = a.transport.connectedSince(2n);
      const { port } = b;
      await b.close();
      await until('gone', () => a.gone.length > 0);
      expect(a.gone).to.deep.equal([2n]);
      expect(a.unreachable).to.deep.equal([2n]);
      expect(a.transport.connectedSince(2n)).to.equal(undefined);
      const again = await make(2n, { port });
      introduce([a, again]);
      await until('connections', () => areConnected([a, again]));
      expect(a.transport.connectedSince(2n)).to.be.greaterThan(since ?? 0);
      a.transport.send([heartbeat(1n, 2n, 5)]);
      await until('message', () => again.messages.length === 1);
      expect(a.metrics.of('active')).to.equal(1);
    });

    it('report each end of a peer that restarts in quick succession', async () => {
      const [a, b] = await pair();
      const { port } = b;
      let peer = b;
      for (let round = 1; round <= 3; round++) {
        await peer.close();
        await until('gone', () => a.gone.length === round);
        peer = await make(2n, { port });
        introduce([a, peer]);
        await until('connections', () => areConnected([a, peer]));
      }
    });

    it('to a process that is killed mean that it is gone', async () => {
      const child = spawn(process.execPath, ['--import', 'tsx', 'test/server/peer/child-node.ts'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      try {
        const port = await new Promise<string>((resolve) => {
          child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
        });
        const a = await make(1n);
        child.stdin.write(`http://127.0.0.1:${a.port}\n`);
        a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${port}`] }], []);
        await until('connection', () => a.transport.connectedSince(2n) !== undefined);
        child.kill('SIGKILL');
        await until('gone', () => a.gone.length > 0);
        expect(a.gone).to.deep.equal([2n]);
        expect(a.unreachable).to.deep.equal([2n]);
      } finally {
        child.kill('SIGKILL');
      }
    });

    it('that break while the peer lives do not mean that it is gone', async () => {
      const [a, b] = await pair();
      const internals = b.transport as unknown as { incoming: Set<{ destroy(): void }> };
      const since = a.transport.connectedSince(2n) ?? 0;
      for (const connection of internals.incoming) connection.destroy();
      await until('a new connection', () => (a.transport.connectedSince(2n) ?? 0) > since);
      expect(a.unreachable).to.deep.equal([2n]);
      expect(a.gone).to.deep.equal([]);
    });

    it('never made do not mean that a peer is gone', async () => {
      const a = await make(1n);
      const probe = await new TestNode(9n).start();
      const { port } = probe;
      await probe.close();
      a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${port}`] }], []);
      await until('a failure', () => a.logged(/cannot connect/).length > 0);
      expect(a.gone).to.deep.equal([]);
    });

    it('use the next URL when the first does not answer', async () => {
      const a = await make(1n);
      const b = await make(2n);
      const probe = await new TestNode(9n).start();
      const dead = probe.port;
      await probe.close();
      b.transport.setPeers([a.address], []);
      a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${dead}`, ...b.address.urls] }], []);
      await until('connection', () => a.transport.connectedSince(2n) !== undefined);
    });

    it('resolve host names and accept IPv6 addresses', async function () {
      const a = await make(1n);
      let b: TestNode;
      try {
        b = await make(2n, { host: '::1' });
      } catch {
        return skipWithout(this, 'IPv6 on the loopback interface');
      }
      b.transport.setPeers([{ id: 1n, urls: [`http://localhost:${a.port}`] }], []);
      a.transport.setPeers([{ id: 2n, urls: [`http://[::1]:${b.port}`] }], []);
      await until('connections', () => areConnected([a, b]));
    });

    it('work over unix sockets, and report that the process is gone', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'peer-'));
      try {
        const a = await make(1n, { path: join(dir, 'a.sock') });
        const b = await make(2n, { path: join(dir, 'b.sock') });
        a.transport.setPeers([{ id: 2n, urls: [`unix://${dir}/b.sock`] }], []);
        b.transport.setPeers([{ id: 1n, urls: [`unix://${dir}/a.sock`] }], []);
        await until('connections', () => areConnected([a, b]));
        a.transport.send([heartbeat(1n, 2n, 5)]);
        await until('message', () => b.messages.length === 1);
        await b.close();
        await until('gone', () => a.gone.length > 0);
      } finally {
        rmSync(dir, { recursive: true });
      }
    });

    it('report a listen error', async () => {
      const a = await make(1n);
      const error = await new TestNode(2n, { port: a.port }).start().catch((e: unknown) => e);
      expect(String(error)).to.match(/EADDRINUSE/);
    });

    it('move to a changed URL and end when a peer is no longer listed', async () => {
      const [a, b] = await pair();
      const c = await make(2n);
      c.transport.setPeers([a.address], []);
      a.transport.setPeers([c.address], []);
      await until('the other address', () => c.metrics.of('received') > 0);
      a.transport.setPeers([], []);
      expect(a.transport.connectedSince(2n)).to.equal(undefined);
      await until('refusal', () => c.logged(/not known here/).length > 0);
      expect(b.messages).to.deep.equal([]);
    });

    it('measure round trips and notice silence with pings', async () => {
      const [a, b] = await pair();
      await until(
        'round trips',
        () => a.metrics.of('roundTrip') > 0 && b.metrics.of('roundTrip') > 0,
      );
    });

    it('are closed when the other side is silent', async function () {
      this.timeout(20_000);
      const sockets: net.Socket[] = [];
      const mute = net.createServer((socket) => {
        sockets.push(socket);
        socket.on('error', () => undefined);
        socket.on('data', (chunk: Buffer) => {
          if (chunk.includes(PREFACE))
            socket.write(makeFrame(FrameType.helloReply, Uint8Array.of(8, 1)));
        });
      });
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
      try {
        const a = await make(1n);
        const { port } = mute.address() as net.AddressInfo;
        a.transport.setPeers([{ id: 2n, urls: [`http://127.0.0.1:${port}`] }], []);
        await until('silence noticed', () => a.logged(/lost.*silent for/).length > 0, 15_000);
        await until('outage', () => a.unreachable.length === 1);
        expect(a.gone).to.deep.equal([]);
      } finally {
        for (const socket of sockets) socket.destroy();
        mute.close();
      }
    });
  });

  describe('introductions', () => {
    it('with another cluster id are refused, and both sides log it once', async () => {
      const a = await make(1n);
      const b = await make(2n, { clusterId: 0xeen });
      introduce([a, b]);
      await until(
        'refusals',
        () => b.logged(/refused a peer/).length > 0 && a.logged(/cannot connect/).length > 0,
      );
      const attempts = (): number => Number(b.transport['loggedRefusals'].size);
      await until('more attempts', () => attempts() > 0);
      expect(
        a.logged(/cluster ID mismatch: this member belongs to cluster ee, the caller to c1/),
      ).to.have.length(1);
      expect(b.logged(/refused a peer connection.*cluster ID mismatch/)).to.have.length(1);
      expect(areConnected([a, b])).to.equal(false);
    });

    it('to another member than the one reached are refused', async () => {
      const a = await make(1n);
      const b = await make(2n);
      b.transport.setPeers([a.address], []);
      a.transport.setPeers([{ id: 3n, urls: b.address.urls }], []);
      await until('refusal', () => a.logged(/this is member 2, not 3/).length === 1);
    });

    it('by a removed member are refused, and it gets the reason once', async () => {
      const [a, b] = await pair();
      a.transport.setPeers([], [2n]);
      await until('told', () => b.removals > 0);
      await until('the reason', () => b.logged(/was removed from the cluster/).length > 0);
      expect(b.removals).to.equal(1);
      expect(a.removals).to.equal(0);
    });

    it('by an unknown member are refused until it is added', async () => {
      const a = await make(1n);
      const b = await make(2n);
      b.transport.setPeers([a.address], []);
      await until('refusal', () => a.logged(/member 2 is not known here/).length === 1);
      expect(b.removals).to.equal(0);
      a.transport.setPeers([b.address], []);
      await until('connections', () => areConnected([a, b]));
    });
  });

  describe('requests', () => {
    it('are answered, also with errors, out of order and many at once', async () => {
      const [a, b] = await pair();
      b.answer = (kind, body, reply): void => {
        const answer = (): void =>
          body[0] === 0
            ? reply(new Error('no such thing'), null)
            : reply(null, Uint8Array.of(kind, ...body));
        setTimeout(answer, (body[0] ?? 0) % 7);
      };
      const ask = (value: number): Promise<string> =>
        new Promise((resolve) => {
          a.transport.request(2n, PeerRequest.members, Uint8Array.of(value), 5000, (error, body) =>
            resolve(error === null ? [...(body ?? [])].join() : error.message),
          );
        });
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(i)));
      expect(answers[0]).to.equal('no such thing');
      for (let i = 1; i < 100; i++) expect(answers[i]).to.equal(`1,${i}`);
    });

    it('fail at their deadline, for a stranger, and when the connection is lost', async () => {
      const [a, b] = await pair();
      b.answer = (): void => undefined;
      const ask = (to: bigint, timeoutMs: number): Promise<string> =>
        new Promise((resolve) =>
          a.transport.request(to, PeerRequest.version, new Uint8Array(0), timeoutMs, (error) =>
            resolve(error?.message ?? ''),
          ),
        );
      expect(await ask(2n, 30)).to.match(/did not answer within 30 ms/);
      expect(await ask(5n, 30)).to.match(/member 5 is not a peer/);
      const lost = ask(2n, 60_000);
      await b.close();
      expect(await lost).to.match(/lost the connection to member 2/);
      expect(await ask(2n, 60_000)).to.match(/no connection to member 2/);
    });

    it('made before the first connection is up wait for it', async () => {
      const a = await make(1n);
      const b = await make(2n);
      b.transport.setPeers([a.address], []);
      a.transport.setPeers([b.address], []);
      const body = await new Promise((resolve) =>
        a.transport.request(2n, PeerRequest.version, Uint8Array.of(3), 5000, (_error, reply) =>
          resolve(reply),
        ),
      );
      expect([...(body as Uint8Array)]).to.deep.equal([3]);
    });
  });

  describe('snapshots', () => {
    const chunks = Array.from({ length: 40 }, (_, i) => new Uint8Array(200_000 + i).fill(i));

    /** A sink that takes each chunk only when asked to. */
    class SlowSink implements SnapshotSink {
      readonly taken: Uint8Array[] = [];
      aborted = 0;
      finished = 0;
      readonly waiting: (() => void)[] = [];
      failWith: Error | null = null;
      write(chunk: Uint8Array, done: (error: Error | null) => void): void {
        this.waiting.push(() => {
          this.taken.push(chunk.slice());
          done(this.failWith);
        });
      }
      finish(done: (error: Error | null) => void): void {
        this.finished++;
        done(this.failWith);
      }
      abort(): void {
        this.aborted++;
      }
    }

    it('of several megabytes arrive whole through a slow sink, and then their message', async () => {
      const [a, b] = await pair();
      const sink = new SlowSink();
      b.makeSink = () => sink;
      const source = sourceOf(chunks);
      let result: Error | null | undefined;
      a.transport.sendSnapshot(snapshotMessage(1n, 2n), source, (error) => (result = error));
      await until('first chunk', () => sink.waiting.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(source.given, 'the sender waits for the receiver').to.be.lessThan(chunks.length);
      expect(b.messages).to.deep.equal([]);
      while (result === undefined) {
        sink.waiting.shift()?.();
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(result).to.equal(null);
      expect(Buffer.compare(Buffer.concat(sink.taken), Buffer.concat(chunks))).to.equal(0);
      expect([sink.finished, sink.aborted, source.closed]).to.deep.equal([1, 0, 1]);
      expect(b.messages.map((m) => m.message.type)).to.deep.equal([MessageType.snapshot]);
      expect(b.messages[0]?.message.snapshot?.index).to.equal(9);
    });

    it('do not hold up messages', async () => {
      const [a, b] = await pair();
      const sink = new SlowSink();
      b.makeSink = () => sink;
      a.transport.sendSnapshot(snapshotMessage(1n, 2n), sourceOf(chunks), () => undefined);
      await until('first chunk', () => sink.waiting.length > 0);
      a.transport.send([heartbeat(1n, 2n, 3)]);
      await until('message', () => b.messages.length === 1);
    });

    it('that are refused, fail in the sink or at the source are reported to the sender and aborted', async () => {
      const [a, b] = await pair();
      const send = (source = sourceOf(chunks)): Promise<string> =>
        new Promise((resolve) =>
          a.transport.sendSnapshot(snapshotMessage(1n, 2n), source, (error) => {
            expect(source.closed).to.equal(1);
            resolve(error?.message ?? 'ok');
          }),
        );
      b.makeSink = () => null;
      expect(await send()).to.match(/not wanted/);
      const sink = new SlowSink();
      b.makeSink = () => sink;
      sink.failWith = new Error('disk full');
      const failed = send();
      await until('a chunk', () => sink.waiting.length > 0);
      sink.waiting.shift()?.();
      expect(await failed).to.equal('disk full');
      expect(sink.aborted).to.equal(1);
      const broken = sourceOf(chunks);
      broken.next = (done): void => done(new Error('unreadable row'), null);
      expect(await send(broken)).to.equal('unreadable row');
      await until('abort', () => sink.aborted === 2);
      const empty = new SlowSink();
      empty.failWith = new Error('hash differs');
      b.makeSink = () => empty;
      expect(await send(sourceOf([]))).to.equal('hash differs');
      expect(b.messages).to.deep.equal([]);
    });

    it('from one member are two at a time', async () => {
      const [a, b] = await pair();
      b.makeSink = () => new SlowSink();
      const outcomes: (Error | null)[] = [];
      for (let i = 0; i < 3; i++) {
        a.transport.sendSnapshot(snapshotMessage(1n, 2n), sourceOf(chunks), (error) =>
          outcomes.push(error),
        );
      }
      await until('a refusal', () => outcomes.length === 1);
      expect(outcomes[0]?.message).to.match(/2 snapshots from member 1 are under way/);
    });

    it('end when the receiver goes away', async () => {
      const [a, b] = await pair();
      const sink = new SlowSink();
      b.makeSink = () => sink;
      let result: Error | null | undefined;
      a.transport.sendSnapshot(
        snapshotMessage(1n, 2n),
        sourceOf(chunks),
        (error) => (result = error),
      );
      await until('first chunk', () => sink.waiting.length > 0);
      await b.close();
      await until('the end', () => result !== undefined);
      expect(result).to.be.instanceOf(Error);
      await until('abort', () => sink.aborted === 1);
    });
  });

  describe('strangers on the port', () => {
    async function talk(port: number, bytes: Uint8Array): Promise<Buffer> {
      const socket = net.connect(port, '127.0.0.1');
      const received: Buffer[] = [];
      socket.on('data', (chunk) => received.push(chunk));
      socket.on('error', () => undefined);
      socket.write(bytes);
      await new Promise((resolve) => socket.on('close', resolve));
      return Buffer.concat(received);
    }

    it('speaking HTTP/1.1 reach the HTTP server, also byte by byte', async () => {
      const http = createServer((request, response) =>
        response.end(`you asked ${request.url ?? ''}`),
      );
      const a = await make(1n, { onHttp: (socket) => http.emit('connection', socket) });
      const body = await new Promise<string>((resolve, reject) => {
        get({ port: a.port, host: '127.0.0.1', path: '/version', agent: false }, (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('end', () => resolve(text));
        }).on('error', reject);
      });
      expect(body).to.equal('you asked /version');
      const socket = net.connect(a.port, '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk) => (answer += String(chunk)));
      for (const byte of 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n') {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until('answer', () => answer.includes('you asked /x'));
      socket.destroy();
    });

    it('sending garbage, or frames before a hello, are closed without harm', async () => {
      const [a, b] = await pair();
      const hello = (fields: Parameters<typeof encodePeerHello>[0]): Buffer =>
        Buffer.concat([PREFACE, makeFrame(FrameType.hello, encodePeerHello(fields))]);
      const good = { clusterId: CLUSTER, from: 2n, to: 1n, protocolVersion: 1, kind: 'snapshot' };
      for (const bytes of [
        Buffer.from('hello world'),
        Buffer.from([0x16, 3, 1, 0, 5]),
        Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        Buffer.concat([PREFACE, makeFrame(FrameType.messages, new Uint8Array(50))]),
        Buffer.concat([PREFACE, Buffer.from([255, 255, 255, 255, 1, 0, 0, 0, 0])]),
        Buffer.concat([PREFACE, makeFrame(FrameType.hello, Uint8Array.of(255))]),
        hello({ ...good, protocolVersion: 9 }),
        hello({ ...good, kind: 'other' }),
        hello({ ...good, from: 1n }),
        Buffer.concat([
          hello(good),
          makeFrame(FrameType.snapshotBegin, new Uint8Array(9).fill(255)),
        ]),
        Buffer.concat([hello(good), makeFrame(FrameType.snapshotChunk, new Uint8Array(9))]),
        Buffer.concat([hello(good), makeFrame(FrameType.snapshotEnd, new Uint8Array(9))]),
      ]) {
        await talk(a.port, bytes);
      }
      a.transport.send([heartbeat(1n, 2n, 1)]);
      await until('message', () => b.messages.length === 1);
      expect(areConnected([a, b])).to.equal(true);
      expect(a.messages).to.deep.equal([]);
    });

    it('without a word cannot fill the port', async () => {
      const [a, b] = await pair();
      const strangers = await crowd(a.port, 2 * MAX_UNDECIDED, MAX_UNDECIDED);
      expect(areConnected([a, b])).to.equal(true);
      expect(a.logged(/too many connections.*undecided/)).to.have.length.within(1, LOG_BURST_LINES);
      for (const socket of strangers) socket.destroy();
    });

    it('that speak HTTP cannot fill it either, and get in again when some have closed', async () => {
      const http = createServer((_request, response) => response.end('served'));
      const [a, b] = [
        await make(1n, { onHttp: (socket) => http.emit('connection', socket) }),
        await make(2n),
      ];
      introduce([a, b]);
      await until('connections', () => areConnected([a, b]));
      const strangers = await crowd(a.port, MAX_HTTP + 10, 10, 'GET / HTTP/1.1\r\n');
      for (const socket of strangers) socket.destroy();
      let body = '';
      await until('room again', () => {
        get({ port: a.port, host: '127.0.0.1', agent: false }, (response) =>
          response.on('data', (chunk: Buffer) => (body += chunk.toString())),
        ).on('error', () => undefined);
        return body !== '';
      });
      expect(areConnected([a, b])).to.equal(true);
    });

    /**
     * Connects `count` times and sends `text`; returns when `surplus` of them were closed, and no
     * more than these.
     */
    async function crowd(
      port: number,
      count: number,
      surplus: number,
      text = '',
    ): Promise<net.Socket[]> {
      let closed = 0;
      const sockets = Array.from({ length: count }, () => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        socket.on('close', () => closed++);
        socket.write(text);
        return socket;
      });
      await until('the surplus is closed', () => closed >= surplus);
      expect(closed).to.equal(surplus);
      return sockets;
    }
  });
});
