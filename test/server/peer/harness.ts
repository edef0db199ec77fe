import type { AddressInfo, Socket } from 'node:net';
import type { Env } from '../../../src/base/env/env.js';
import { BoundPort } from '../../../src/base/net/bound-port.js';
import { createNodeEnv } from '../../../src/base/env/node.js';
import type { Message } from '../../../src/raft/types.js';
import type { PeerMetrics } from '../../../src/server/peer/context.js';
import { TcpPeerTransport } from '../../../src/server/peer/tcp-transport.js';
import type {
  PeerAddress,
  PeerHandler,
  SnapshotSink,
  SnapshotSource,
} from '../../../src/server/peer/types.js';

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
}

/** A transport and everything its handler was told. */
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
    const where = { host: options.host ?? '127.0.0.1', port: options.port ?? 0 };
    const bound = await new Promise<BoundPort>((resolve, reject) => {
      BoundPort.bind({ where }, (error, port) => (port === null ? reject(error) : resolve(port)));
    });
    const transport = new TcpPeerTransport({
      env: options.env ?? createNodeEnv(),
      identity: { clusterId: options.clusterId ?? CLUSTER, memberId: this.id, incarnation: 1 },
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
