import * as net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Env } from '../../../src/base/env/env.js';
import { BoundPort } from '../../../src/base/net/bound-port.js';
import { createNodeEnv } from '../../../src/base/env/node.js';
import type { PeerHelloInit, PeerHelloReplyInit } from '../../../src/gen/peer.js';
import { encodePeerHello, encodePeerHelloReply } from '../../../src/gen/peer.js';
import type { Message } from '../../../src/raft/types.js';
import type { PeerMetrics } from '../../../src/server/peer/context.js';
import type { Frame } from '../../../src/server/peer/frames.js';
import { FrameReader, FrameType, PREFACE, makeFrame } from '../../../src/server/peer/frames.js';
import { BodyAssembler } from '../../../src/server/peer/parts.js';
import { TcpPeerTransport } from '../../../src/server/peer/tcp-transport.js';
import type { SnapshotSink, SnapshotSource } from '../../../src/storage/engine.js';
import type { PeerAddress, PeerHandler } from '../../../src/server/peer/types.js';

export const CLUSTER = 0xc1n;

/** Waits until `condition` holds; fails after `limitMs` naming `what`. */
export async function until(
  what: string,
  condition: () => boolean,
  limitMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly fields: Record<string, unknown>;
}

/** Counts by event name. */
class CountingMetrics implements PeerMetrics {
  readonly counts = new Map<string, number>();
  private add(name: string, amount: number): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + amount);
  }
  of(name: string): number {
    return this.counts.get(name) ?? 0;
  }
  sent(_to: bigint, bytes: number): void {
    this.add('sent', bytes);
  }
  received(_from: bigint, bytes: number): void {
    this.add('received', bytes);
  }
  sendFailure(): void {
    this.add('sendFailure', 1);
  }
  receiveFailure(): void {
    this.add('receiveFailure', 1);
  }
  roundTrip(): void {
    this.add('roundTrip', 1);
  }
  activePeer(_id: bigint, change: 1 | -1): void {
    this.add('active', change);
  }
}

export interface NodeOptions {
  readonly clusterId?: bigint;
  readonly port?: number;
  readonly host?: string;
  readonly onHttp?: (socket: Socket) => void;
  readonly env?: Env;
  readonly incarnation?: number;
  /** A unix socket's file instead of host and port. */
  readonly path?: string;
}

/** A transport and all events at its handler. */
export class TestNode implements PeerHandler {
  readonly id: bigint;
  readonly metrics = new CountingMetrics();
  readonly logs: LogLine[] = [];
  readonly messages: { readonly from: bigint; readonly message: Message }[] = [];
  readonly unreachable: bigint[] = [];
  readonly gone: bigint[] = [];
  removals = 0;
  makeSink: (from: bigint, message: Message) => SnapshotSink | null = () => null;
  answer: (
    kind: number,
    body: Uint8Array,
    reply: (error: Error | null, body: Uint8Array | null) => void,
  ) => void = (_kind, body, reply) => reply(null, body);
  private isClosed = false;

  private readonly options: NodeOptions;
  private running: TcpPeerTransport | undefined;

  constructor(id: bigint, options: NodeOptions = {}) {
    this.id = id;
    this.options = options;
  }

  get transport(): TcpPeerTransport {
    if (this.running === undefined) throw new Error('the node is not started');
    return this.running;
  }

  async start(): Promise<this> {
    const { options } = this;
    const where =
      options.path === undefined
        ? { host: options.host ?? '127.0.0.1', port: options.port ?? 0 }
        : { path: options.path };
    const bound = await new Promise<BoundPort>((resolve, reject) => {
      BoundPort.bind({ where }, (error, port) =>
        error === null && port !== null ? resolve(port) : reject(error ?? new Error('no port')),
      );
    });
    const transport = new TcpPeerTransport({
      env: options.env ?? createNodeEnv(),
      identity: {
        clusterId: options.clusterId ?? CLUSTER,
        memberId: this.id,
        incarnation: options.incarnation ?? 1,
      },
      ports: [bound],
      serverVersion: 'test',
      log: (level, msg, fields = {}) => this.logs.push({ level, msg, fields }),
      metrics: this.metrics,
      ...(options.onHttp === undefined ? {} : { onHttp: options.onHttp }),
    });
    this.running = transport;
    return new Promise((resolve, reject) => {
      transport.start(this, (error) => (error === null ? resolve(this) : reject(error)));
    });
  }

  get port(): number {
    return (this.transport.listenAddresses[0] as AddressInfo).port;
  }

  get address(): PeerAddress {
    return { id: this.id, urls: [`http://127.0.0.1:${this.port}`] };
  }

  close(): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    this.isClosed = true;
    return new Promise((resolve) => this.transport.close(resolve));
  }

  logged(pattern: RegExp): LogLine[] {
    return this.logs.filter((line) => pattern.test(`${line.msg} ${JSON.stringify(line.fields)}`));
  }

  onMessages(from: bigint, messages: readonly Message[]): void {
    for (const message of messages) this.messages.push({ from, message });
  }
  onSnapshot(from: bigint, message: Message): SnapshotSink | null {
    return this.makeSink(from, message);
  }
  onUnreachable(id: bigint): void {
    this.unreachable.push(id);
  }
  onGone(id: bigint): void {
    this.gone.push(id);
  }
  onRemoved(): void {
    this.removals++;
  }
  onRequest(
    _from: bigint,
    kind: number,
    body: Uint8Array,
    reply: (error: Error | null, body: Uint8Array | null) => void,
  ): void {
    this.answer(kind, body, reply);
  }
}

/** Makes every node a peer of every other. */
export function introduce(nodes: readonly TestNode[]): void {
  const addresses = nodes.map((node) => node.address);
  for (const node of nodes) {
    node.transport.setPeers(
      addresses.filter((address) => address.id !== node.id),
      [],
    );
  }
}

export function areConnected(nodes: readonly TestNode[]): boolean {
  return nodes.every((a) =>
    nodes.every((b) => a === b || a.transport.connectedSince(b.id) !== undefined),
  );
}

/** Chunks of known content. */
export function sourceOf(
  chunks: readonly Uint8Array[],
): SnapshotSource & { closed: number; given: number } {
  return {
    closed: 0,
    given: 0,
    next(done): void {
      const chunk = chunks[this.given];
      if (chunk !== undefined) this.given++;
      done(null, chunk ?? null);
    },
    close(): void {
      this.closed++;
    },
  };
}

/**
 * One end of a connection whose bytes the test plays; it keeps the frames it receives, parts put
 * together.
 */
export class RawConnection {
  readonly frames: Frame[] = [];
  bytes = 0;
  isClosed = false;
  private readonly socket: Socket;
  private readonly reader = new FrameReader();
  private readonly assembler = new BodyAssembler();
  private skip: number;

  /** `skip`: bytes before the first frame. */
  constructor(socket: Socket, skip: number, onFrame: (frame: Frame) => void = () => undefined) {
    this.socket = socket;
    this.skip = skip;
    this.reader.admit();
    socket.on('error', () => undefined);
    socket.on('close', () => (this.isClosed = true));
    socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      const skipped = Math.min(this.skip, chunk.length);
      this.skip -= skipped;
      this.reader.push(chunk.subarray(skipped));
      for (let frame = this.reader.next(); frame !== null; frame = this.reader.next()) {
        const whole = frame.type === FrameType.part ? this.assembler.add(frame.body) : frame;
        if (whole === null) continue;
        this.frames.push(whole);
        onFrame(whole);
      }
    });
  }

  send(type: FrameType, body: Uint8Array): void {
    this.socket.write(makeFrame(type, body));
  }

  received(type: FrameType): Frame[] {
    return this.frames.filter((frame) => frame.type === type);
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** A member's listener as the test plays it: accepts every hello with `reply`. */
export class RawMember {
  readonly connections: RawConnection[] = [];
  private readonly server: net.Server;

  constructor(
    reply: PeerHelloReplyInit,
    onAccepted: (connection: RawConnection) => void = () => undefined,
  ) {
    this.server = net.createServer((socket) => {
      const connection: RawConnection = new RawConnection(socket, PREFACE.length, (frame) => {
        if (frame.type !== FrameType.hello) return;
        connection.send(FrameType.helloReply, encodePeerHelloReply(reply));
        onAccepted(connection);
      });
      this.connections.push(connection);
    });
  }

  listen(): Promise<this> {
    return new Promise((resolve) => this.server.listen(0, '127.0.0.1', () => resolve(this)));
  }

  get urls(): readonly string[] {
    return [`http://127.0.0.1:${(this.server.address() as AddressInfo).port}`];
  }

  close(): Promise<void> {
    for (const connection of this.connections) connection.destroy();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

/** A connection to `node` that begins with `hello`. */
export function dialRaw(node: TestNode, hello: PeerHelloInit): RawConnection {
  const socket = net.connect(node.port, '127.0.0.1');
  socket.write(
    Buffer.concat([
      PREFACE,
      makeFrame(
        FrameType.hello,
        encodePeerHello({
          clusterId: CLUSTER,
          to: node.id,
          protocolVersion: 1,
          newestVersion: 2,
          kind: 'messages',
          ...hello,
        }),
      ),
    ]),
  );
  return new RawConnection(socket, 0);
}
