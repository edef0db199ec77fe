import { crc32c } from '../../base/bytes/crc32c.js';
import type { Done } from '../../base/env/env.js';
import type { Message } from '../../raft/types.js';
import { encodeMessages } from './codec.js';
import type { PeerContext } from './context.js';
import { idText } from '../../base/bytes/id-text.js';
import { Dial } from './dial.js';
import type { DialledPeer } from './dial.js';
import { FramedSocket } from './framed-socket.js';
import type { Frame } from './frames.js';
import { FRAME_HEADER_BYTES, FrameType, allocateFrame, makeFrame, sealFrame } from './frames.js';
import { CHUNK_FRAME_BYTES, DEAD_AFTER_MS, SNAPSHOT_WINDOW_BYTES } from './limits.js';
import type { SnapshotSource } from '../../storage/engine.js';
import type { PeerAddress } from './types.js';

const NO_BODY = new Uint8Array(0);

/**
 * Sends one snapshot on a connection of its own: begin, the receiver's consent, and chunks as fast
 * as it takes them. The end carries length and checksum of the whole. The receiver's verdict
 * follows once it made everything durable.
 */
export class SnapshotSender {
  private readonly context: PeerContext;
  private readonly peer: PeerAddress;
  private readonly message: Message;
  private readonly source: SnapshotSource;
  private readonly onFinished: Done;
  private socket: FramedSocket | null = null;
  private attempt: Dial | null = null;
  private urlNumber = 0;
  private isFinished = false;
  private isStreaming = false;
  private isPulling = false;
  private crc = 0;
  private sentBytes = 0;

  constructor(
    context: PeerContext,
    peer: PeerAddress,
    message: Message,
    source: SnapshotSource,
    onFinished: Done,
  ) {
    this.context = context;
    this.peer = peer;
    this.message = message;
    this.source = source;
    this.onFinished = onFinished;
  }

  start(): void {
    const url = this.peer.urls[this.urlNumber];
    if (url === undefined) {
      this.context.env.defer(() =>
        this.finish(new Error(`member ${idText(this.peer.id)} has no peer URL`)),
      );
      return;
    }
    this.attempt = new Dial(this.context, url, this.peer.id, 'snapshot', {
      onReady: (peer) => this.begin(peer),
      onFailed: ({ error }) => this.tryNextUrl(error),
    }).start();
  }

  private begin(peer: DialledPeer): void {
    const { env, metrics } = this.context;
    const { id } = this.peer;
    this.attempt = null;
    this.socket = new FramedSocket(env, peer.socket, peer.reader, {
      onFrame: (frame) => this.onFrame(frame),
      onReceived: (count) => metrics.received(id, count),
      onSent: (count) => metrics.sent(id, count),
      onMalformed: (error) => this.finish(error),
      onClosed: (_byRemote, error) =>
        this.finish(error ?? new Error('the receiver closed the connection')),
    });
    this.socket.socket.on('drain', () => this.pull());
    this.write(makeFrame(FrameType.snapshotBegin, encodeMessages([this.message])));
    this.socket.start();
  }

  private tryNextUrl(error: Error): void {
    this.attempt = null;
    this.urlNumber++;
    if (this.urlNumber < this.peer.urls.length) this.start();
    else this.finish(error);
  }

  /** Called about every second: keeps the connection talking and notices a dead one. */
  tick(): void {
    if (this.socket === null) return;
    this.write(makeFrame(FrameType.ping, NO_BODY));
    this.socket.destroyIfSilent(DEAD_AFTER_MS, () =>
      this.finish(new Error('the receiver is silent')),
    );
  }

  stop(): void {
    this.finish(new Error('the transport is closed'));
  }

  private write(frame: Buffer): void {
    this.socket?.write(frame);
  }

  private onFrame(frame: Frame): void {
    if (frame.type === FrameType.snapshotAccept && !this.isStreaming) {
      this.isStreaming = true;
      this.pull();
    } else if (frame.type === FrameType.snapshotResult) {
      const text = frame.body.toString('utf8');
      this.finish(text === '' ? null : new Error(text));
    }
  }

  private pull(): void {
    if (!this.isStreaming || this.isPulling || this.isFinished || this.socket === null) return;
    if (this.socket.queuedBytes > SNAPSHOT_WINDOW_BYTES) return; // 'drain' calls again.
    this.isPulling = true;
    this.source.next((error, chunk) => {
      this.isPulling = false;
      if (this.isFinished) return;
      if (error !== null) return this.finish(error);
      if (chunk === null) return this.writeEnd();
      this.writeChunk(chunk);
      // Not at once: a source that answers synchronously must not hold the event loop for the whole
      // snapshot.
      this.context.env.defer(() => this.pull());
    });
  }

  private writeChunk(chunk: Uint8Array): void {
    this.crc = crc32c(chunk, this.crc);
    this.sentBytes += chunk.length;
    for (let at = 0; at < chunk.length; at += CHUNK_FRAME_BYTES) {
      this.write(makeFrame(FrameType.snapshotChunk, chunk.subarray(at, at + CHUNK_FRAME_BYTES)));
    }
  }

  private writeEnd(): void {
    this.isStreaming = false;
    const frame = allocateFrame(12);
    frame.writeDoubleLE(this.sentBytes, FRAME_HEADER_BYTES);
    frame.writeUInt32LE(this.crc, FRAME_HEADER_BYTES + 8);
    sealFrame(frame, FrameType.snapshotEnd);
    this.write(frame);
  }

  private finish(error: Error | null): void {
    if (this.isFinished) return;
    this.isFinished = true;
    this.attempt?.cancel();
    this.socket?.destroy();
    this.source.close();
    this.onFinished(error);
  }
}
