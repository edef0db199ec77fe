import type { Socket } from 'node:net';
import type { Timer } from '../../base/env/env.js';
import type { PeerHello } from '../../gen/peer.js';
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
import { DEAD_AFTER_MS, HANDSHAKE_TIMEOUT_MS, idText } from './context.js';
import { FramedSocket } from './framed-socket.js';
import type { Frame } from './frames.js';
import {
  FrameReader,
  FrameType,
  MAX_FRAME_BYTES,
  MAX_HELLO_BYTES,
  PREFACE,
  PROTOCOL_VERSION,
  makeFrame,
} from './frames.js';
import { SnapshotReceiver } from './snapshot-receiver.js';

/** Requests of one peer that may be answered at the same time. */
const MAX_OPEN_REQUESTS = 4096;

/** Decides whom to talk to. */
export interface Admission {
  isPeer(id: MemberId): boolean;
  wasRemoved(id: MemberId): boolean;
}

export interface UndecidedSocket {
  destroy(): void;
}

export interface SniffResult {
  /** The peer preface was read; `reader` holds what followed it. */
  onPeer(socket: Socket, reader: FrameReader): void;
  onHttp: ((socket: Socket) => void) | undefined;
  /** The socket is no longer undecided, whatever became of it. */
  onDecided(): void;
}

/** Tells by its first bytes what a fresh connection speaks: the peer protocol, HTTP/1.1, or nothing known. */
export function sniff(context: PeerContext, socket: Socket, result: SniffResult): UndecidedSocket {
  let head: Buffer = Buffer.alloc(0);
  const timer = context.env.after(HANDSHAKE_TIMEOUT_MS, () => drop());
  const decide = (): void => {
    timer.cancel();
    socket.removeAllListeners();
    result.onDecided();
  };
  const drop = (): void => {
    decide();
    // A socket that is thrown away may still report an error nobody needs.
    socket.on('error', () => undefined);
    socket.destroy();
  };
  const onData = (chunk: Buffer): void => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const compared = Math.min(head.length, PREFACE.length);
    if (head.compare(PREFACE, 0, compared, 0, compared) === 0) {
      if (head.length < PREFACE.length) return;
      socket.pause();
      decide();
      const reader = new FrameReader(MAX_HELLO_BYTES);
      reader.push(head.subarray(PREFACE.length));
      result.onPeer(socket, reader);
      return;
    }
    if (isUpperCase(head[0] ?? 0) && result.onHttp !== undefined) {
      socket.pause();
      decide();
      result.onHttp(socket);
      // An HTTP server reads the socket's handle itself from now on, so the bytes read here come as an event.
      socket.emit('data', head);
      socket.resume();
      return;
    }
    context.log(
      'debug',
      'a connection to the peer port speaks neither the peer protocol nor HTTP/1.1',
      {
        'remote-addr': socket.remoteAddress,
      },
    );
    drop();
  };
  socket.on('data', onData);
  socket.on('error', () => drop());
  socket.on('end', () => drop());
  socket.on('close', () => drop());
  return { destroy: drop };
}

function isUpperCase(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}

/** A connection another member made: its messages, its requests, or one snapshot. */
export class IncomingConnection {
  /** 0n until the hello was accepted. */
  from: MemberId = 0n;
  kind: ConnectionKind = 'messages';
  private readonly context: PeerContext;
  private readonly admission: Admission;
  private readonly events: IncomingEvents;
  private readonly socket: FramedSocket;
  private readonly reader: FrameReader;
  private readonly helloTimer: Timer;
  private receiver: SnapshotReceiver | null = null;
  private openRequests = 0;

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
      onBytes: (count) => {
        if (this.from !== 0n) context.metrics.received(this.from, count);
      },
      onMalformed: (error) => this.onMalformed(error),
      onClosed: () => {
        this.helloTimer.cancel();
        this.receiver?.onClosed();
        events.onClosed(this);
      },
    });
  }

  /** Begins to read. Apart from construction, so that the owner knows the connection before it reports anything. */
  start(): void {
    this.socket.start();
  }

  destroy(): void {
    this.socket.destroy();
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
      'remote-addr': this.socket.socket.remoteAddress,
      error: error.message,
    });
  }

  private onFrame(frame: Frame): void {
    if (this.from === 0n) return this.onHello(frame);
    if (this.receiver !== null) return this.receiver.onFrame(frame);
    switch (frame.type) {
      case FrameType.messages:
        return this.onMessages(frame.body);
      case FrameType.request:
        return this.onRequest(frame.body);
      case FrameType.ping:
        return this.write(makeFrame(FrameType.pong, frame.body));
      default:
        return undefined;
    }
  }

  private onHello(frame: Frame): void {
    if (frame.type !== FrameType.hello) throw new Error('a connection does not begin with a hello');
    this.helloTimer.cancel();
    const hello = decodePeerHello(frame.body);
    const refusal = this.refusalOf(hello);
    if (refusal !== '') {
      const removed = this.isRemoved(hello);
      this.events.onRefused(hello.from, refusal);
      this.socket.end(
        makeFrame(
          FrameType.helloReply,
          encodePeerHelloReply({ ok: false, error: refusal, removed }),
        ),
      );
      return;
    }
    this.from = hello.from;
    this.kind = hello.kind === 'snapshot' ? 'snapshot' : 'messages';
    this.reader.maxBodyBytes = MAX_FRAME_BYTES;
    if (this.kind === 'snapshot') {
      this.receiver = new SnapshotReceiver(this.context, this.from, this.socket);
    }
    this.write(makeFrame(FrameType.helloReply, encodePeerHelloReply({ ok: true })));
    this.events.onAccepted(this);
  }

  private isRemoved(hello: PeerHello): boolean {
    return (
      hello.clusterId === this.context.identity.clusterId && this.admission.wasRemoved(hello.from)
    );
  }

  /** Empty when the dialler is welcome. */
  private refusalOf(hello: PeerHello): string {
    const { clusterId, memberId } = this.context.identity;
    if (hello.protocolVersion !== PROTOCOL_VERSION) {
      return `this member speaks version ${PROTOCOL_VERSION} of the peer protocol, not ${hello.protocolVersion}`;
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
      this.write(
        makeFrame(FrameType.reply, encodePeerReplyFrame({ seq, error: 'too many requests' })),
      );
      return;
    }
    this.openRequests++;
    let isAnswered = false;
    this.context.handler.onRequest(this.from, kind, payload, (error, reply) => {
      if (isAnswered) return;
      isAnswered = true;
      this.openRequests--;
      const text = error === null ? '' : error.message === '' ? error.name : error.message;
      const frame = encodePeerReplyFrame({ seq, error: text, body: reply ?? undefined });
      this.write(makeFrame(FrameType.reply, frame));
    });
  }

  private write(frame: Buffer): void {
    if (this.from !== 0n) this.context.metrics.sent(this.from, frame.length);
    this.socket.write(frame);
  }
}

export interface IncomingEvents {
  onAccepted(connection: IncomingConnection): void;
  onRefused(from: MemberId, reason: string): void;
  onClosed(connection: IncomingConnection): void;
}
