/**
 * gRPC over HTTP/2 on plain and TLS sockets, written for this server's handler table.
 *
 * Keeps the promises of `RpcTransport` for every client that speaks gRPC over HTTP/2. Small replies
 * that are given in one turn of the event loop share one write per connection. Idle connections
 * cost no timer and no buffer. On any input memory stays within `limits.ts` and no other connection
 * suffers.
 * Does not listen (see `port-mux.ts`), and knows nothing of the services it carries.
 * The parts: `frame-cursor` cuts frames, `connection` hands them to `request-frames` and `control-frames`,
 * `hpack-decoder` and `request-head` turn header blocks into requests, `stream` is the call a
 * handler sees. `send-queue`, `gzip` and `output` carry its replies.
 */
import type { Socket } from 'node:net';
import { Http2Connection } from './connection.js';
import { Deadlines } from './deadlines.js';
import { GzipWorkers } from './gzip.js';
import { MAX_STRING_BYTES } from './hpack-decoder.js';
import { streamBound, TURN_BYTES, TURN_MS } from './limits.js';
import { BlockPool } from './output.js';
import { ReadTurns } from './read-turns.js';
import { HeadBuilder } from './request-head.js';
import { serviceNames } from '../transport.js';
import { SlicedWork } from '../../base/slices/sliced-work.js';
import type { Timer } from '../../base/env/env.js';
import type {
  RpcTransport,
  ServiceTable,
  TransportObserver,
  TransportOptions,
} from '../service.js';
import type { TransportEnv, TransportSetup } from '../transport.js';
import type { ConnectionHost } from './host.js';
import type { HttpRequestHandler } from './http-exchange.js';

export interface Http2Setup extends TransportSetup {
  /** Answers requests over HTTP/2 that are not gRPC; without it they get 415. */
  readonly onHttpRequest?: HttpRequestHandler;
}

const MAX_SWEEP_INTERVAL_MS = 1000;
const MIN_SWEEP_INTERVAL_MS = 20;
/** Connections and streams looked at in one stretch. */
const SWEEP_SLICE = 4000;

export class Http2Transport implements RpcTransport, ConnectionHost {
  readonly table: ServiceTable;
  readonly services: ReadonlySet<string>;
  readonly limits: TransportOptions;
  readonly env: TransportEnv;
  readonly observer: TransportObserver | undefined;
  readonly onHttpRequest: HttpRequestHandler | undefined;
  readonly pool = new BlockPool();
  readonly deadlines: Deadlines;
  readonly heads = new HeadBuilder();
  readonly gzip: GzipWorkers;
  readonly maxStreams: number;
  readonly reads: ReadTurns;
  readonly cancellations: SlicedWork;
  readonly scratch = Buffer.allocUnsafeSlow(MAX_STRING_BYTES);
  turnBytes = TURN_BYTES;
  private readonly connections = new Set<Http2Connection>();
  private dirty: Http2Connection[] = [];
  private sweepTimer: Timer | undefined;
  private readonly sweepIntervalMs: number;
  private stopping = false;
  private whenEmpty: (() => void) | undefined;

  constructor(setup: Http2Setup) {
    this.table = setup.table;
    this.services = serviceNames(setup.table);
    this.limits = setup.limits;
    this.env = setup.env;
    this.observer = setup.observer;
    this.onHttpRequest = setup.onHttpRequest;
    this.deadlines = new Deadlines(setup.env);
    this.gzip = new GzipWorkers(setup.env);
    this.reads = new ReadTurns(setup.env);
    this.cancellations = new SlicedWork(setup.env);
    this.maxStreams = streamBound(setup.limits.maxConcurrentStreams);
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = setup.limits;
    const shortest = Math.min(keepaliveIntervalMs, keepaliveTimeoutMs) / 2;
    this.sweepIntervalMs = Math.min(
      MAX_SWEEP_INTERVAL_MS,
      Math.max(MIN_SWEEP_INTERVAL_MS, shortest),
    );
  }

  /** Connections open at the moment. */
  get connectionCount(): number {
    return this.connections.size;
  }

  accept(socket: Socket, head: Uint8Array): void {
    if (this.stopping) {
      socket.destroy();
      return;
    }
    const connection = new Http2Connection(this, socket, this.env.clock.monoMs());
    this.connections.add(connection);
    if (this.sweepTimer === undefined) this.armSweep();
    connection.start(head);
  }

  stop(graceMs: number, done: () => void): void {
    this.stopping = true;
    const timer = this.env.after(graceMs, () => {
      for (const connection of this.connections) connection.destroy();
    });
    this.whenEmpty = (): void => {
      this.whenEmpty = undefined;
      timer.cancel();
      this.sweepTimer?.cancel();
      this.sweepTimer = undefined;
      done();
    };
    if (this.connections.size === 0) {
      this.whenEmpty();
      return;
    }
    for (const connection of this.connections) connection.drain();
  }

  scheduleFlush(connection: Http2Connection): void {
    if (this.dirty.length === 0) this.env.defer(this.flushDirty);
    this.dirty.push(connection);
  }

  onClosed(connection: Http2Connection): void {
    this.connections.delete(connection);
    if (this.connections.size === 0) this.whenEmpty?.();
  }

  private readonly flushDirty = (): void => {
    const connections = this.dirty;
    this.dirty = [];
    this.turnBytes = TURN_BYTES;
    const endMs = this.env.clock.monoMs() + TURN_MS;
    let next = 0;
    while (next < connections.length && this.turnBytes > 0) {
      connections[next++]?.flush();
      if (this.env.clock.monoMs() > endMs) break;
    }
    if (next === connections.length) return;
    // Those that had no turn come before those that have more to read.
    if (this.dirty.length === 0) this.env.defer(this.flushDirty);
    this.dirty = connections.slice(next).concat(this.dirty);
  };

  private armSweep(): void {
    this.sweepTimer = this.env.after(this.sweepIntervalMs, () => {
      this.sweep(this.connections.values());
    });
  }

  private sweep(rest: IterableIterator<Http2Connection>): void {
    const nowMs = this.env.clock.monoMs();
    for (let seen = 0; seen < SWEEP_SLICE; seen++) {
      const next = rest.next();
      if (next.done === true) {
        this.sweepTimer = undefined;
        if (this.connections.size > 0) this.armSweep();
        return;
      }
      seen += next.value.streamCount;
      next.value.sweep(nowMs);
    }
    this.env.defer(() => this.sweep(rest));
  }
}
