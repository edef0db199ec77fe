import type { Socket } from 'node:net';
import type { Timer } from '../../base/env/env.js';
import { callerHost } from '../../base/net/listen-address.js';
import type { PeerHello, PeerReplyFrameInit } from '../../gen/peer.js';
import {
  decodePeerHello,
  decodePeerRequestFrame,
  encodePeerHelloReply,
  encodePeerReplyFrame,
} from '../../gen/peer.js';
import type { MemberId, Message } from '../../raft/types.js';
import { decodeMessages } from './codec.js';
import type { ConnectionKind } from './dial.js';
import type { PeerContext } from './context.js';
import { idText } from '../../base/bytes/id-text.js';
import { FramedSocket } from './framed-socket.js';
import type { Frame, FrameReader } from './frames.js';
import {
  FrameType,
  NEWEST_PROTOCOL_VERSION,
  OLDEST_PROTOCOL_VERSION,
  makeFrame,
} from './frames.js';
import {
  CHALLENGE_MS,
  DEAD_AFTER_MS,
  HANDSHAKE_TIMEOUT_MS,
  MAX_FRAME_BYTES,
  MAX_OPEN_REQUESTS,
  MAX_SNAPSHOTS,
} from './limits.js';
import { SnapshotReceiver } from './snapshot-receiver.js';

const NO_BODY = new Uint8Array(0);

/** Decides whom to talk to. */
export interface Admission {
  isPeer(id: MemberId): boolean;
  wasRemoved(id: MemberId): boolean;
  /** Connections of the member that bring a snapshot. */
  snapshotsFrom(id: MemberId): number;
  /**
   * Finds out whether the process `incarnation` may speak for the member `from`. `done` receives an
   * empty text, at once or within `CHALLENGE_MS`, or why not.
   */
  contest(from: MemberId, incarnation: number, done: (refusal: string) => void): void;
}

/** A connection another member made: its messages, its requests, or one snapshot. */
export class IncomingConnection {
  /** 0n until the hello was accepted. */
  from: MemberId = 0n;
  kind: ConnectionKind = 'messages';
  /** Number of the member's process that made the connection. */
  incarnation = 0;
  /** Monotonic ms since when the hello is accepted. */
  acceptedMs = 0;
  private readonly context: PeerContext;
  private readonly admission: Admission;
  private readonly events: IncomingEvents;
  private readonly socket: FramedSocket;
  private readonly reader: FrameReader;
  private readonly helloTimer: Timer;
  private receiver: SnapshotReceiver | null = null;
  private openRequests = 0;
  /** Version of the protocol both sides speak. */
  private version: number = OLDEST_PROTOCOL_VERSION;
  private challenge: Challenge | null = null;

  constructor(
    context: PeerContext,
    admission: Admission,
    socket: Socket,
    reader: FrameReader,
    events: IncomingEvents,
  ) {
    this.context = context;
    this.admission = admission;
    this.events = events;
    this.reader = reader;
    this.helloTimer = context.env.after(HANDSHAKE_TIMEOUT_MS, () => this.destroy());
    this.socket = new FramedSocket(context.env, socket, reader, {
      onFrame: (frame) => this.onFrame(frame),
      onReceived: (count) => {
        if (this.from !== 0n) context.metrics.received(this.from, count);
      },
      onSent: (count) => {
        if (this.from !== 0n) context.metrics.sent(this.from, count);
      },
      onMalformed: (error) => this.onMalformed(error),
      onClosed: () => {
        this.helloTimer.cancel();
        this.endChallenge(false);
        this.receiver?.onClosed();
        events.onClosed(this);
      },
    });
  }

  get isOpen(): boolean {
    return this.socket.isOpen;
  }

  /**
   * Begins to read. Apart from construction, so that the owner has the connection before it reports
   * anything.
   */
  start(): void {
    this.socket.start();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /**
   * Asks the other side for a sign of life; `done` receives true if one came within `CHALLENGE_MS`.
   */
  proveAlive(done: (isAlive: boolean) => void): void {
    if (!this.socket.isOpen) return done(false);
    if (this.challenge !== null) {
      this.challenge.waiting.push(done);
      return;
    }
    const timer = this.context.env.after(CHALLENGE_MS, () => this.endChallenge(false));
    this.challenge = { timer, waiting: [done] };
    // A member that speaks version 1 does not answer this, but sends pings of its own within the
    // time.
    this.socket.write(makeFrame(FrameType.ping, NO_BODY));
  }

  private endChallenge(isAlive: boolean): void {
    const { challenge } = this;
    if (challenge === null) return;
    this.challenge = null;
    challenge.timer.cancel();
    for (const done of challenge.waiting) done(isAlive);
  }

  /** Called about every second. */
  tick(): void {
    if (this.from === 0n) return;
    this.receiver?.tick();
    this.socket.destroyIfSilent(DEAD_AFTER_MS, () => {
      this.context.log('warn', 'connection from peer is silent', { peer: idText(this.from) });
    });
  }

  private onMalformed(error: Error): void {
    if (this.from !== 0n) this.context.metrics.receiveFailure(this.from);
    this.context.log('warn', 'closed a peer connection because of malformed bytes', {
      peer: idText(this.from),
      'remote-addr': callerHost(this.socket.socket),
      error: error.message,
    });
  }

  private onFrame(frame: Frame): void {
    if (this.from === 0n) return this.onHello(frame);
    this.endChallenge(true);
    if (this.receiver !== null) return this.receiver.onFrame(frame);
    switch (frame.type) {
      case FrameType.messages:
        return this.onMessages(frame.body);
      case FrameType.request:
        return this.onRequest(frame.body);
      case FrameType.ping:
        return this.socket.write(makeFrame(FrameType.pong, frame.body));
      default:
        return undefined;
    }
  }

  private onHello(frame: Frame): void {
    if (frame.type !== FrameType.hello) throw new Error('a connection does not begin with a hello');
    this.helloTimer.cancel();
    const hello = decodePeerHello(frame.body);
    const refusal = this.refusalOf(hello);
    if (refusal !== '') return this.refuse(hello, refusal);
    // Nothing may follow the hello before the reply to it.
    this.socket.pause();
    this.admission.contest(hello.from, hello.incarnation, (contested) => {
      if (!this.socket.isOpen) return;
      if (contested === '') this.accept(hello);
      else this.refuse(hello, contested);
    });
  }

  private refuse(hello: PeerHello, refusal: string): void {
    const removed = this.isRemoved(hello);
    this.events.onRefused(hello.from, refusal);
    const reply = encodePeerHelloReply({ ok: false, error: refusal, removed });
    this.socket.end(makeFrame(FrameType.helloReply, reply));
  }

  private accept(hello: PeerHello): void {
    this.from = hello.from;
    this.kind = hello.kind === 'snapshot' ? 'snapshot' : 'messages';
    this.incarnation = hello.incarnation;
    this.acceptedMs = this.context.env.clock.monoMs();
    this.version = Math.min(
      NEWEST_PROTOCOL_VERSION,
      Math.max(hello.newestVersion, hello.protocolVersion),
    );
    this.reader.admit();
    if (this.kind === 'snapshot') {
      this.receiver = new SnapshotReceiver(this.context, this.from, this.socket);
    }
    const { incarnation } = this.context.identity;
    const reply = encodePeerHelloReply({ ok: true, protocolVersion: this.version, incarnation });
    this.socket.write(makeFrame(FrameType.helloReply, reply));
    this.events.onAccepted(this);
    this.socket.resume();
  }

  private isRemoved(hello: PeerHello): boolean {
    return (
      hello.clusterId === this.context.identity.clusterId && this.admission.wasRemoved(hello.from)
    );
  }

  /** Empty when the dialler is welcome. */
  private refusalOf(hello: PeerHello): string {
    const { clusterId, memberId } = this.context.identity;
    const oldest = hello.protocolVersion;
    if (oldest < OLDEST_PROTOCOL_VERSION || oldest > NEWEST_PROTOCOL_VERSION) {
      return `this member speaks versions ${OLDEST_PROTOCOL_VERSION} to ${NEWEST_PROTOCOL_VERSION} of the peer protocol, not ${oldest}`;
    }
    if (hello.clusterId !== clusterId) {
      return `cluster ID mismatch: this member belongs to cluster ${idText(clusterId)}, the caller to ${idText(hello.clusterId)}`;
    }
    if (hello.to !== memberId) return `this is member ${idText(memberId)}, not ${idText(hello.to)}`;
    if (this.admission.wasRemoved(hello.from)) {
      return `member ${idText(hello.from)} was removed from the cluster`;
    }
    if (hello.from === memberId || !this.admission.isPeer(hello.from)) {
      return `member ${idText(hello.from)} is not known here`;
    }
    if (hello.kind !== 'messages' && hello.kind !== 'snapshot')
      return `unknown connection kind ${hello.kind}`;
    if (hello.kind === 'snapshot' && this.admission.snapshotsFrom(hello.from) >= MAX_SNAPSHOTS) {
      return `${MAX_SNAPSHOTS} snapshots from member ${idText(hello.from)} are under way`;
    }
    return '';
  }

  private onMessages(body: Buffer): void {
    const messages = decodeMessages(body);
    const self = this.context.identity.memberId;
    let isClean = true;
    for (const m of messages) if (m.from !== this.from || m.to !== self) isClean = false;
    // Only a faulty sender addresses messages wrongly; the rest of them may still be right.
    const own = isClean
      ? messages
      : messages.filter((m: Message) => m.from === this.from && m.to === self);
    if (own.length > 0) this.context.handler.onMessages(this.from, own);
  }

  private onRequest(body: Buffer): void {
    const { seq, kind, body: payload } = decodePeerRequestFrame(body);
    if (this.openRequests >= MAX_OPEN_REQUESTS) {
      this.reply({ seq, error: 'too many requests' });
      return;
    }
    this.openRequests++;
    let isAnswered = false;
    this.context.handler.onRequest(this.from, kind, payload, (error, reply) => {
      if (isAnswered) return;
      isAnswered = true;
      this.openRequests--;
      const text = error === null ? '' : error.message === '' ? error.name : error.message;
      this.reply({ seq, error: text, body: reply ?? undefined });
    });
  }

  private reply(reply: PeerReplyFrameInit): void {
    const body = encodePeerReplyFrame(reply);
    if (this.version > OLDEST_PROTOCOL_VERSION) this.socket.writeBody(FrameType.reply, body);
    else if (body.length <= MAX_FRAME_BYTES) this.socket.write(makeFrame(FrameType.reply, body));
    else this.reply({ seq: reply.seq, error: `an answer of ${body.length} bytes is too long` });
  }
}

interface Challenge {
  readonly timer: Timer;
  readonly waiting: ((isAlive: boolean) => void)[];
}

export interface IncomingEvents {
  onAccepted(connection: IncomingConnection): void;
  onRefused(from: MemberId, reason: string): void;
  onClosed(connection: IncomingConnection): void;
}
