/**
 * The connection this member keeps to one other: its messages and requests go out on it, replies
 * come back.
 *
 * Promises: Entries arrive in the order sent, without gaps while the link is up (send-queue.ts). A
 * message that cannot be sent at once or in bounded memory is dropped and reported, never held. A
 * broken link is dialled again, at once if it was stable and else after growing, jittered pauses.
 * Each outage is reported to the handler once. A process counts as gone only when the other side
 * broke the connection and its address then refuses a new one.
 */
import type { Timer } from '../../base/env/env.js';
import { invariant } from '../../base/invariant.js';
import type { Message } from '../../raft/types.js';
import type { PeerContext } from './context.js';
import { idText } from '../../base/bytes/id-text.js';
import type { DialFailure, DialledPeer } from './dial.js';
import { Dial } from './dial.js';
import { FramedSocket } from './framed-socket.js';
import type { Frame } from './frames.js';
import {
  FRAME_HEADER_BYTES,
  FrameType,
  OLDEST_PROTOCOL_VERSION,
  allocateFrame,
  makeFrame,
  sealFrame,
} from './frames.js';
import type { PeerRequest } from '../contract/roles.js';
import {
  BACKOFF_MAX_MS,
  BACKOFF_MIN_MS,
  DEAD_AFTER_MS,
  MAX_FRAME_BYTES,
  PING_INTERVAL_MS,
  MAX_SHORT_LINKS,
  PROBE_MS,
  PROBE_PAUSE_MS,
  STABLE_MS,
} from './limits.js';
import type { RequestDone } from './pending-requests.js';
import { PendingRequests } from './pending-requests.js';
import { SendQueue, isMark } from './send-queue.js';
import type { PeerAddress } from './types.js';

interface Probe {
  readonly untilMs: number;
  refusals: number;
}

/** A link that is up. */
interface Established {
  readonly socket: FramedSocket;
  readonly queue: SendQueue;
  readonly version: number;
  readonly incarnation: number;
}

export class PeerLink {
  readonly address: PeerAddress;
  /** Monotonic ms since when the link is up. */
  upSinceMs: number | undefined = undefined;
  private readonly context: PeerContext;
  private readonly requests: PendingRequests;
  private established: Established | null = null;
  private attempt: Dial | null = null;
  private retry: Timer | null = null;
  private probe: Probe | null = null;
  private urlNumber = 0;
  /**
   * Attempts that failed since the link was last up, and links in a row that broke before they were
   * stable.
   */
  private failures = 0;
  private shortLinks = 0;
  private isStopped = false;
  private isOutageReported = false;
  private isOverloadReported = false;
  private lastLogged = '';
  private pingSentMs = 0;

  constructor(context: PeerContext, address: PeerAddress) {
    this.context = context;
    this.address = address;
    this.requests = new PendingRequests(context, address.id);
  }

  /**
   * Number of the member's process this link goes to; 0 when it is down or the process gave none.
   */
  get incarnation(): number {
    return this.established?.incarnation ?? 0;
  }

  start(): void {
    this.connect();
  }

  /** The peer showed that it is alive: dial now instead of at the end of the pause. */
  wake(): void {
    if (this.retry === null || this.isStopped) return;
    this.retry.cancel();
    this.retry = null;
    this.connect();
  }

  stop(): void {
    this.isStopped = true;
    this.attempt?.cancel();
    this.retry?.cancel();
    const socket = this.established?.socket;
    this.takeDown();
    socket?.destroySoon();
    this.requests.failAll('the transport is closed');
  }

  send(messages: readonly Message[]): void {
    const { established } = this;
    if (established === null) {
      this.context.metrics.sendFailure(this.address.id);
      this.reportOutage();
      return;
    }
    if (established.queue.send(messages)) this.isOverloadReported = false;
    else this.reportOverload(established);
  }

  request(kind: PeerRequest, body: Uint8Array, timeoutMs: number, done: RequestDone): void {
    const isFirstDial = this.attempt !== null && this.failures === 0 && !this.isOutageReported;
    if (this.isStopped || (this.established === null && !isFirstDial)) {
      return this.requests.refuse('no connection to', done);
    }
    const frameBody = this.requests.add(kind, body, timeoutMs, done);
    // Without a socket yet, the request goes out when the first connection is up.
    if (frameBody !== null && this.established !== null) this.ask(this.established, frameBody);
  }

  /** Called about every second. */
  tick(nowMs: number): void {
    const { established } = this;
    if (established === null) return;
    const { socket } = established;
    if (nowMs - this.pingSentMs >= PING_INTERVAL_MS / 2) {
      this.pingSentMs = nowMs;
      const ping = allocateFrame(8);
      ping.writeDoubleLE(nowMs, FRAME_HEADER_BYTES);
      sealFrame(ping, FrameType.ping);
      socket.write(ping);
    }
    socket.destroyIfSilent(DEAD_AFTER_MS);
  }

  private ask({ socket, version }: Established, frameBody: Uint8Array): void {
    if (version > OLDEST_PROTOCOL_VERSION) socket.writeBody(FrameType.request, frameBody);
    else if (frameBody.length <= MAX_FRAME_BYTES) {
      socket.write(makeFrame(FrameType.request, frameBody));
    } else this.onTooLong(frameBody.length);
  }

  private onTooLong(bytes: number): void {
    this.log('error', 'a message exceeds what the peer accepts; run the same version everywhere', {
      bytes,
    });
    this.context.metrics.sendFailure(this.address.id);
  }

  private reportOverload({ socket, queue }: Established): void {
    const { metrics, handler } = this.context;
    metrics.sendFailure(this.address.id);
    if (this.isOverloadReported) return;
    this.isOverloadReported = true;
    this.log('warn', 'peer does not keep up; messages to it are dropped', {
      'queued-bytes': socket.queuedBytes + queue.queuedBytes,
    });
    handler.onUnreachable(this.address.id);
  }

  private reportOutage(): void {
    if (this.isOutageReported || this.isStopped) return;
    this.isOutageReported = true;
    this.context.handler.onUnreachable(this.address.id);
  }

  private connect(): void {
    const { urls, id } = this.address;
    const url = urls[this.urlNumber % urls.length];
    if (url === undefined) return;
    this.attempt = new Dial(this.context, url, id, 'messages', {
      onReady: (peer) => this.bringUp(peer),
      onFailed: (failure) => this.onDialFailed(failure),
    }).start();
  }

  private bringUp(peer: DialledPeer): void {
    invariant(this.established === null && !this.isStopped, 'a second connection of one link');
    const { env, metrics } = this.context;
    const { id } = this.address;
    const socket = new FramedSocket(env, peer.socket, peer.reader, {
      onFrame: (frame) => this.onFrame(frame),
      onReceived: (count) => metrics.received(id, count),
      onSent: (count) => metrics.sent(id, count),
      onMalformed: () => metrics.receiveFailure(id),
      onClosed: (byRemote, error) => this.onClosed(byRemote, error),
    });
    const { version, incarnation } = peer;
    const canDivide = version > OLDEST_PROTOCOL_VERSION;
    const queue = new SendQueue(socket, canDivide, (bytes) => this.onTooLong(bytes));
    const established = { socket, queue, version, incarnation };
    this.attempt = null;
    this.established = established;
    this.upSinceMs = env.clock.monoMs();
    this.failures = 0;
    this.probe = null;
    this.isOutageReported = false;
    this.isOverloadReported = false;
    this.lastLogged = '';
    metrics.activePeer(id, 1);
    this.log('info', 'connected to peer', {});
    for (const body of this.requests.bodies()) this.ask(established, body);
    socket.start();
  }

  private onFrame({ type, body }: Frame): void {
    const { established } = this;
    if (established === null) return;
    if (type === FrameType.reply) this.requests.onReply(body);
    else if (type === FrameType.ping) established.socket.write(makeFrame(FrameType.pong, body));
    else if (type !== FrameType.pong) return;
    else if (isMark(body)) established.queue.onMarkConfirmed();
    else if (body.length === 8) {
      const seconds = (this.context.env.clock.monoMs() - body.readDoubleLE(0)) / 1000;
      if (seconds >= 0) this.context.metrics.roundTrip(this.address.id, seconds);
    }
  }

  /** Forgets the connection and what waits for it. */
  private takeDown(): void {
    if (this.established === null) return;
    this.established = null;
    this.upSinceMs = undefined;
    this.context.metrics.activePeer(this.address.id, -1);
  }

  private onClosed(byRemote: boolean, error: Error | null): void {
    const upSinceMs = this.upSinceMs;
    if (this.established === null || upSinceMs === undefined) return;
    this.takeDown();
    if (this.isStopped) return;
    const nowMs = this.context.env.clock.monoMs();
    this.log('warn', 'lost the connection to peer', { error: error?.message ?? 'closed' });
    this.requests.failAll(`lost the connection to member ${idText(this.address.id)}`);
    this.shortLinks = nowMs - upSinceMs >= STABLE_MS ? 0 : this.shortLinks + 1;
    if (this.shortLinks > MAX_SHORT_LINKS) {
      // Accepted and cut again: the next attempt would probably end the same way.
      this.retryLater(this.shortLinks);
    } else {
      if (byRemote) this.probe = { untilMs: nowMs + PROBE_MS, refusals: 0 };
      this.connect();
    }
    this.reportOutage();
  }

  private onDialFailed(failure: DialFailure): void {
    this.attempt = null;
    if (this.isStopped) return;
    this.urlNumber = (this.urlNumber + 1) % Math.max(1, this.address.urls.length);
    if (this.probe !== null) return this.continueProbe(this.probe, failure);
    this.failures++;
    this.logFailure(failure.error);
    this.requests.failAll(
      `no connection to member ${idText(this.address.id)}: ${failure.error.message}`,
    );
    this.retryLater(this.failures);
  }

  private continueProbe(probe: Probe, failure: DialFailure): void {
    const isLate = this.context.env.clock.monoMs() > probe.untilMs;
    if (failure.isRefused) {
      probe.refusals++;
      if (probe.refusals < this.address.urls.length) return this.connect();
      this.probe = null;
      // The link was short because its process ended, not because another process cut it.
      this.shortLinks = 0;
      this.log('info', 'the peer process is gone', {});
      this.retryLater(0);
      this.context.handler.onGone(this.address.id);
    } else if (failure.isCut && !isLate) {
      // A dying process may still complete a connection before its listener is closed.
      this.retry = this.context.env.after(PROBE_PAUSE_MS, () => this.retryNow());
    } else {
      this.probe = null;
      this.logFailure(failure.error);
      this.retryLater(0);
    }
  }

  private retryLater(failures: number): void {
    invariant(this.retry === null, 'two attempts at once');
    const { env } = this.context;
    const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures, 10));
    const delayMs = full / 2 + (env.randomU32() % 1000) * (full / 2000);
    this.retry = env.after(delayMs, () => this.retryNow());
  }

  private retryNow(): void {
    this.retry = null;
    if (!this.isStopped) this.connect();
  }

  /** Logs the cause of a failure once, not at every attempt. */
  private logFailure(error: Error): void {
    if (error.message === this.lastLogged) return;
    this.lastLogged = error.message;
    this.log('warn', 'cannot connect to peer', { error: error.message });
  }

  private log(
    level: 'info' | 'warn' | 'error',
    msg: string,
    fields: Record<string, unknown>,
  ): void {
    this.context.log(level, msg, { peer: idText(this.address.id), ...fields });
  }
}
