/**
 * The connection this member keeps to one other: its messages and requests go out on it, replies come back.
 *
 * Promises: messages arrive in the order sent, without gaps while the link is up; what cannot be sent at once or in
 * bounded memory is dropped and reported, never held; a broken link is dialled again at once and then with growing,
 * jittered pauses; the handler hears of each outage once, and that the process is gone only when the other side broke
 * the connection and its address then refuses a new one.
 */
import type { Timer } from '../../base/env/env.js';
import { decodePeerReplyFrame, encodePeerRequestFrame } from '../../gen/peer.js';
import type { Message } from '../../raft/types.js';
import { sizeMessage, writeMessage } from './codec.js';
import type { PeerContext } from './context.js';
import { DEAD_AFTER_MS, PING_INTERVAL_MS, idText } from './context.js';
import type { DialAttempt, DialFailure } from './dial.js';
import { dial } from './dial.js';
import { FramedSocket } from './framed-socket.js';
import type { Frame } from './frames.js';
import {
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_FRAME_BYTES,
  allocateFrame,
  makeFrame,
  sealFrame,
} from './frames.js';
import type { PeerRequest } from '../contract/roles.js';
import type { PeerAddress } from './types.js';

const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 1000;
/** After the other side broke the connection: how long to look for a refusal, and how long between looks. */
const PROBE_MS = 300;
const PROBE_PAUSE_MS = 10;
/** Messages are spread over frames of about this size, so that none holds up what follows it for long. */
const FRAME_TARGET_BYTES = 1024 * 1024;
/** What may wait in one socket before further messages are dropped. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const MAX_QUEUED_WRITES = 4096;
const MAX_REQUESTS = 10_000;

type RequestDone = (error: Error | null, body: Uint8Array | null) => void;

interface PendingRequest {
  readonly frame: Buffer;
  readonly timer: Timer;
  readonly done: RequestDone;
}

interface Probe {
  readonly untilMs: number;
  refusals: number;
}

export class PeerLink {
  readonly address: PeerAddress;
  /** Monotonic ms since when the link is up. */
  upSinceMs: number | undefined = undefined;
  private readonly context: PeerContext;
  private socket: FramedSocket | null = null;
  private attempt: DialAttempt | null = null;
  private retry: Timer | null = null;
  private probe: Probe | null = null;
  private urlNumber = 0;
  private failures = 0;
  private isStopped = false;
  private isOutageReported = false;
  private isOverloadReported = false;
  private lastLogged = '';
  private nextSeq = 1;
  private readonly requests = new Map<number, PendingRequest>();
  private pingSentMs = 0;

  constructor(context: PeerContext, address: PeerAddress) {
    this.context = context;
    this.address = address;
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
    const socket = this.socket;
    this.takeDown();
    socket?.destroySoon();
    this.failRequests(new Error('the transport is closed'));
  }

  send(messages: readonly Message[]): void {
    const socket = this.socket;
    if (socket === null) {
      this.context.metrics.sendFailure(this.address.id);
      this.reportOutage();
      return;
    }
    if (socket.queuedBytes > MAX_QUEUED_BYTES || socket.pendingWrites >= MAX_QUEUED_WRITES) {
      this.dropForOverload(socket);
      return;
    }
    this.isOverloadReported = false;
    let start = 0;
    let size = 0;
    for (let i = 0; i < messages.length; i++) {
      const next = sizeMessage(messages[i] as Message);
      if (size > 0 && size + next > FRAME_TARGET_BYTES) {
        this.writeMessages(socket, messages, start, i, size);
        start = i;
        size = 0;
      }
      size += next;
    }
    if (size > 0) this.writeMessages(socket, messages, start, messages.length, size);
  }

  request(kind: PeerRequest, body: Uint8Array, timeoutMs: number, done: RequestDone): void {
    const { env } = this.context;
    const isFirstDial = this.attempt !== null && this.failures === 0 && !this.isOutageReported;
    if (this.isStopped || (this.socket === null && !isFirstDial)) {
      env.defer(() => done(new Error(`no connection to member ${idText(this.address.id)}`), null));
      return;
    }
    if (this.requests.size >= MAX_REQUESTS) {
      env.defer(() =>
        done(new Error(`too many requests to member ${idText(this.address.id)}`), null),
      );
      return;
    }
    const seq = this.nextSeq++;
    const frame = makeFrame(FrameType.request, encodePeerRequestFrame({ seq, kind, body }));
    const timer = env.after(timeoutMs, () => {
      this.requests.delete(seq);
      done(
        new Error(`member ${idText(this.address.id)} did not answer within ${timeoutMs} ms`),
        null,
      );
    });
    this.requests.set(seq, { frame, timer, done });
    // Without a socket yet, the frame goes out when the first connection is up.
    if (this.socket !== null) this.write(this.socket, frame);
  }

  /** Called about every second. */
  tick(nowMs: number): void {
    const socket = this.socket;
    if (socket === null) return;
    if (nowMs - this.pingSentMs >= PING_INTERVAL_MS / 2) {
      this.pingSentMs = nowMs;
      const ping = allocateFrame(8);
      ping.writeDoubleLE(nowMs, FRAME_HEADER_BYTES);
      sealFrame(ping, FrameType.ping);
      this.write(socket, ping);
    }
    socket.destroyIfSilent(DEAD_AFTER_MS, () => {
      this.log('warn', 'peer connection is silent', { 'silent-ms': DEAD_AFTER_MS });
    });
  }

  private write(socket: FramedSocket, frame: Buffer): void {
    this.context.metrics.sent(this.address.id, frame.length);
    socket.write(frame);
  }

  private writeMessages(
    socket: FramedSocket,
    messages: readonly Message[],
    start: number,
    end: number,
    bodyBytes: number,
  ): void {
    if (bodyBytes > MAX_FRAME_BYTES) {
      this.log('error', 'a message exceeds what peers accept', { bytes: bodyBytes });
      this.context.metrics.sendFailure(this.address.id);
      return;
    }
    const frame = allocateFrame(bodyBytes);
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    let pos = FRAME_HEADER_BYTES;
    for (let i = start; i < end; i++) pos = writeMessage(messages[i] as Message, frame, view, pos);
    sealFrame(frame, FrameType.messages);
    this.write(socket, frame);
  }

  private dropForOverload(socket: FramedSocket): void {
    const { metrics, handler } = this.context;
    metrics.sendFailure(this.address.id);
    if (this.isOverloadReported) return;
    this.isOverloadReported = true;
    this.log('warn', 'peer does not keep up; messages to it are dropped', {
      'queued-bytes': socket.queuedBytes,
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
    this.attempt = dial(
      this.context,
      url,
      id,
      'messages',
      (socket, reader) => {
        const framed = new FramedSocket(this.context.env, socket, reader, {
          onFrame: (frame) => this.onFrame(frame),
          onBytes: (count) => this.context.metrics.received(id, count),
          onMalformed: (error) => {
            this.context.metrics.receiveFailure(id);
            this.log('warn', 'peer sent malformed bytes', { error: error.message });
          },
          onClosed: (byRemote, error) => this.onClosed(byRemote, error),
        });
        this.bringUp(framed);
      },
      (failure) => this.onDialFailed(failure),
    );
  }

  private bringUp(socket: FramedSocket): void {
    const { env, metrics } = this.context;
    this.attempt = null;
    this.socket = socket;
    this.upSinceMs = env.clock.monoMs();
    this.failures = 0;
    this.probe = null;
    this.isOutageReported = false;
    this.isOverloadReported = false;
    this.lastLogged = '';
    metrics.activePeer(this.address.id, 1);
    this.log('info', 'connected to peer', {});
    for (const request of this.requests.values()) this.write(socket, request.frame);
    socket.start();
  }

  private onFrame(frame: Frame): void {
    if (frame.type === FrameType.reply) {
      const reply = decodePeerReplyFrame(frame.body);
      const request = this.requests.get(reply.seq);
      if (request === undefined) return;
      this.requests.delete(reply.seq);
      request.timer.cancel();
      if (reply.error === '') request.done(null, reply.body);
      else request.done(new Error(reply.error), null);
    } else if (frame.type === FrameType.pong && frame.body.length === 8) {
      const seconds = (this.context.env.clock.monoMs() - frame.body.readDoubleLE(0)) / 1000;
      if (seconds >= 0) this.context.metrics.roundTrip(this.address.id, seconds);
    }
  }

  /** Forgets the socket; everything that depends on it hears so. */
  private takeDown(): void {
    if (this.socket === null) return;
    this.socket = null;
    this.upSinceMs = undefined;
    this.context.metrics.activePeer(this.address.id, -1);
  }

  private onClosed(byRemote: boolean, error: Error | null): void {
    if (this.socket === null) return;
    this.takeDown();
    if (this.isStopped) return;
    this.log('warn', 'lost the connection to peer', { error: error?.message ?? 'closed' });
    this.failRequests(new Error(`lost the connection to member ${idText(this.address.id)}`));
    if (byRemote) this.probe = { untilMs: this.context.env.clock.monoMs() + PROBE_MS, refusals: 0 };
    this.connect();
    this.reportOutage();
  }

  private onDialFailed(failure: DialFailure): void {
    this.attempt = null;
    if (this.isStopped) return;
    this.urlNumber = (this.urlNumber + 1) % Math.max(1, this.address.urls.length);
    if (this.probe !== null) return this.continueProbe(this.probe, failure);
    this.failures++;
    this.logFailure(failure.error);
    this.failRequests(
      new Error(`no connection to member ${idText(this.address.id)}: ${failure.error.message}`),
    );
    this.retryLater();
  }

  private continueProbe(probe: Probe, failure: DialFailure): void {
    const isLate = this.context.env.clock.monoMs() > probe.untilMs;
    if (failure.isRefused) {
      probe.refusals++;
      if (probe.refusals < this.address.urls.length) return this.connect();
      this.probe = null;
      this.log('info', 'the peer process is gone', {});
      this.retryLater();
      this.context.handler.onGone(this.address.id);
    } else if (failure.isCut && !isLate) {
      // A dying process may still complete a connection before its listener is closed.
      this.retry = this.context.env.after(PROBE_PAUSE_MS, () => this.retryNow());
    } else {
      this.probe = null;
      this.logFailure(failure.error);
      this.retryLater();
    }
  }

  private retryLater(): void {
    const { env } = this.context;
    const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(this.failures, 10));
    const delayMs = full / 2 + (env.randomU32() % 1000) * (full / 2000);
    this.retry = env.after(delayMs, () => this.retryNow());
  }

  private retryNow(): void {
    this.retry = null;
    if (!this.isStopped) this.connect();
  }

  private failRequests(error: Error): void {
    if (this.requests.size === 0) return;
    const failed = [...this.requests.values()];
    this.requests.clear();
    for (const request of failed) {
      request.timer.cancel();
      request.done(error, null);
    }
  }

  /** Says why it does not work once, not at every attempt. */
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
