/**
 * The network between members, over TCP.
 *
 * Each member dials every other and sends its messages and requests on that connection; replies to
 * requests come back on it, messages of the other side do not. A snapshot travels on a connection
 * of its own. The same port answers HTTP/1.1; the first bytes decide.
 *
 * Promises: Entries of one peer are handed over in the order sent, and short messages never wait
 * for them. Nothing is accepted before the caller named the right cluster, this member, and itself
 * as a peer that is not removed. Damaged or hostile bytes close their connection and do nothing
 * else. Memory per peer is bounded; messages that exceed it are dropped and reported.
 * Does not: encrypt, or deliver reliably. The consensus core repeats what it needs.
 *
 * Called by the member; `codec.ts` and `frames.ts` describe the bytes.
 */
import type { AddressInfo, Socket } from 'node:net';
import type { Done, Env, Timer } from '../../base/env/env.js';
import { invariant } from '../../base/invariant.js';
import type { BoundPort } from '../../base/net/bound-port.js';
import type { MemberId, Message } from '../../raft/types.js';
import type { PeerContext, PeerIdentity, PeerLog, PeerMetrics } from './context.js';
import { idText } from '../../base/bytes/id-text.js';
import { IdentityGuard } from './identity-guard.js';
import { IncomingConnection } from './incoming.js';
import { LimitedLog } from './limited-log.js';
import { MAX_HTTP, MAX_LOGGED_REFUSALS, MAX_UNDECIDED, PING_INTERVAL_MS } from './limits.js';
import { PeerLink } from './peer-link.js';
import { SnapshotSender } from './snapshot-sender.js';
import type { PeerRequest } from '../contract/roles.js';
import type { UndecidedSocket } from './sniff.js';
import { sniff } from './sniff.js';
import type { SnapshotSource } from '../../storage/engine.js';
import type { PeerAddress, PeerHandler, PeerTransport } from './types.js';

export interface TcpPeerTransportOptions {
  readonly env: Env;
  readonly identity: PeerIdentity;
  /** Bound already; the transport accepts on them from `start` on and closes them. */
  readonly ports: readonly BoundPort[];
  readonly serverVersion: string;
  readonly log: PeerLog;
  /**
   * Takes over a socket that speaks HTTP/1.1 and listens for its data before it returns, as the
   * 'connection' event of a node:http server does. Without it such sockets are closed.
   */
  readonly onHttp?: (socket: Socket) => void;
  readonly metrics?: PeerMetrics;
}

const NO_METRICS: PeerMetrics = {
  sent: () => undefined,
  received: () => undefined,
  sendFailure: () => undefined,
  receiveFailure: () => undefined,
  roundTrip: () => undefined,
  activePeer: () => undefined,
};

export class TcpPeerTransport implements PeerTransport {
  private readonly options: TcpPeerTransportOptions;
  private readonly env: Env;
  private context: PeerContext | null = null;
  private guard: IdentityGuard | null = null;
  private readonly links = new Map<MemberId, PeerLink>();
  private removed = new Set<MemberId>();
  private readonly incoming = new Set<IncomingConnection>();
  private readonly undecided = new Set<UndecidedSocket>();
  private readonly http = new Set<Socket>();
  private readonly sending = new Set<SnapshotSender>();
  private readonly loggedRefusals = new Set<string>();
  /** Filled and emptied by `send`: the messages for each peer. */
  private readonly outbox = new Map<MemberId, Message[]>();
  private ticker: Timer | null = null;
  private isRemovalReported = false;
  private isClosed = false;

  constructor(options: TcpPeerTransportOptions) {
    this.options = options;
    this.env = options.env;
  }

  /** Addresses at which the transport listens, in the order of the `ports` option. */
  get listenAddresses(): readonly AddressInfo[] {
    return this.options.ports.map((port) => port.address).filter((a) => a !== undefined);
  }

  start(handler: PeerHandler, done: Done): void {
    invariant(this.context === null, 'a peer transport starts once');
    const context: PeerContext = {
      env: this.env,
      identity: this.options.identity,
      serverVersion: this.options.serverVersion,
      log: new LimitedLog(this.env, this.options.log).log,
      metrics: this.options.metrics ?? NO_METRICS,
      handler,
      removedFromCluster: () => {
        if (this.isRemovalReported || this.isClosed) return;
        this.isRemovalReported = true;
        handler.onRemoved();
      },
    };
    this.context = context;
    this.guard = new IdentityGuard(context, this.incoming);
    this.scheduleTick();
    for (const port of this.options.ports) port.accept((socket) => this.onSocket(socket));
    done(null);
  }

  setPeers(peers: readonly PeerAddress[], removed: readonly MemberId[]): void {
    if (this.isClosed) return;
    const context = this.started();
    this.removed = new Set(removed);
    const listed = new Set<MemberId>();
    for (const address of peers) {
      if (address.id === this.options.identity.memberId) continue;
      listed.add(address.id);
      const known = this.links.get(address.id);
      if (known !== undefined && sameUrls(known.address.urls, address.urls)) continue;
      known?.stop();
      const link = new PeerLink(context, address);
      this.links.set(address.id, link);
      link.start();
    }
    for (const [id, link] of this.links) {
      if (listed.has(id)) continue;
      this.links.delete(id);
      link.stop();
    }
    for (const connection of this.incoming) {
      if (connection.from !== 0n && !listed.has(connection.from)) connection.destroy();
    }
  }

  send(messages: readonly Message[]): void {
    const outbox = this.outbox;
    for (let i = 0; i < messages.length; i++) {
      const m = messages[i] as Message;
      const queued = outbox.get(m.to);
      if (queued === undefined) outbox.set(m.to, [m]);
      else queued.push(m);
    }
    for (const [to, queued] of outbox) this.links.get(to)?.send(queued);
    outbox.clear();
  }

  sendSnapshot(message: Message, source: SnapshotSource, done: Done): void {
    const link = this.links.get(message.to);
    if (link === undefined || this.isClosed) {
      source.close();
      this.env.defer(() => done(new Error(`member ${idText(message.to)} is not a peer`)));
      return;
    }
    const sender = new SnapshotSender(this.started(), link.address, message, source, (error) => {
      this.sending.delete(sender);
      done(error);
    });
    this.sending.add(sender);
    sender.start();
  }

  request(
    to: MemberId,
    kind: PeerRequest,
    body: Uint8Array,
    timeoutMs: number,
    done: (error: Error | null, body: Uint8Array | null) => void,
  ): void {
    const link = this.links.get(to);
    if (link === undefined)
      this.env.defer(() => done(new Error(`member ${idText(to)} is not a peer`), null));
    else link.request(kind, body, timeoutMs, done);
  }

  connectedSince(id: MemberId): number | undefined {
    return this.links.get(id)?.upSinceMs;
  }

  close(done: () => void): void {
    this.isClosed = true;
    this.ticker?.cancel();
    // Sockets handed to `onHttp` may outlive this; the port itself is free at once.
    for (const port of this.options.ports) port.close();
    for (const link of this.links.values()) link.stop();
    this.links.clear();
    for (const sender of [...this.sending]) sender.stop();
    for (const connection of [...this.incoming]) connection.destroy();
    for (const socket of [...this.undecided]) socket.destroy();
    this.env.defer(done);
  }

  private started(): PeerContext {
    invariant(this.context !== null, 'the peer transport is not started');
    return this.context;
  }

  private onSocket(socket: Socket): void {
    const { context, guard } = this;
    if (context === null || guard === null || this.isClosed) {
      socket.destroy();
      return;
    }
    if (this.undecided.size >= MAX_UNDECIDED) return this.turnAway(socket, 'undecided');
    const { onHttp } = this.options;
    const undecided = sniff(context, socket, {
      onHttp:
        onHttp === undefined ? undefined : (httpSocket) => this.onHttpSocket(httpSocket, onHttp),
      onPeer: (peerSocket, reader) => {
        const connection = new IncomingConnection(
          context,
          {
            isPeer: (id) => this.links.has(id),
            wasRemoved: (id) => this.removed.has(id),
            snapshotsFrom: (id) => guard.snapshotsFrom(id),
            contest: (from, incarnation, done) => guard.contest(from, incarnation, done),
          },
          peerSocket,
          reader,
          {
            onAccepted: (accepted) => {
              this.links.get(accepted.from)?.wake();
              guard.replaceBy(accepted);
            },
            onRefused: (from, reason) => this.onRefused(from, reason),
            onClosed: (closed) => void this.incoming.delete(closed),
          },
        );
        this.incoming.add(connection);
        connection.start();
      },
      onDecided: () => void this.undecided.delete(undecided),
    });
    this.undecided.add(undecided);
  }

  private onHttpSocket(socket: Socket, onHttp: (socket: Socket) => void): void {
    if (this.http.size >= MAX_HTTP) return this.turnAway(socket, 'http');
    this.http.add(socket);
    socket.once('close', () => this.http.delete(socket));
    onHttp(socket);
  }

  private turnAway(socket: Socket, kind: 'undecided' | 'http'): void {
    this.started().log('warn', 'too many connections to the peer port; new ones are closed', {
      kind,
      undecided: this.undecided.size,
      http: this.http.size,
    });
    socket.on('error', () => undefined);
    socket.destroy();
  }

  private onRefused(from: MemberId, reason: string): void {
    const key = `${from}:${reason}`;
    if (this.loggedRefusals.has(key)) return;
    if (this.loggedRefusals.size >= MAX_LOGGED_REFUSALS) this.loggedRefusals.clear();
    this.loggedRefusals.add(key);
    this.started().log('warn', 'refused a peer connection', { peer: idText(from), reason });
  }

  private scheduleTick(): void {
    if (this.isClosed) return;
    this.ticker = this.env.after(PING_INTERVAL_MS, () => {
      const nowMs = this.env.clock.monoMs();
      for (const link of this.links.values()) {
        link.tick(nowMs);
        this.guard?.compare(link, nowMs);
      }
      for (const connection of this.incoming) connection.tick();
      for (const sender of this.sending) sender.tick();
      this.scheduleTick();
    });
  }
}

function sameUrls(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((url, i) => url === b[i]);
}
