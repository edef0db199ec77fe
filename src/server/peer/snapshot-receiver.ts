import { crc32c } from '../../base/bytes/crc32c.js';
import type { MemberId, Message } from '../../raft/types.js';
import { MessageType } from '../../raft/types.js';
import { decodeMessages } from './codec.js';
import type { PeerContext } from './context.js';
import type { FramedSocket } from './framed-socket.js';
import type { Frame } from './frames.js';
import { FrameType, makeFrame } from './frames.js';
import type { SnapshotSink } from '../../storage/engine.js';

const NO_BODY = new Uint8Array(0);

/**
 * Receives one snapshot on its own connection and gives the verdict; see SnapshotSender for the
 * other side.
 */
export class SnapshotReceiver {
  private readonly context: PeerContext;
  private readonly from: MemberId;
  private readonly socket: FramedSocket;
  private message: Message | null = null;
  private sink: SnapshotSink | null = null;
  private isFinishing = false;
  private crc = 0;
  private receivedBytes = 0;

  constructor(context: PeerContext, from: MemberId, socket: FramedSocket) {
    this.context = context;
    this.from = from;
    this.socket = socket;
  }

  onFrame(frame: Frame): void {
    switch (frame.type) {
      case FrameType.snapshotBegin:
        return this.begin(frame.body);
      case FrameType.snapshotChunk:
        return this.chunk(frame.body);
      case FrameType.snapshotEnd:
        return this.end(frame.body);
      default:
        return undefined;
    }
  }

  /**
   * Called about every second: shows the sender that this side lives while it writes or verifies.
   */
  tick(): void {
    this.socket.write(makeFrame(FrameType.ping, NO_BODY));
  }

  onClosed(): void {
    if (this.isFinishing) return;
    this.sink?.abort();
    this.sink = null;
  }

  private begin(body: Buffer): void {
    const [message] = decodeMessages(body);
    const { identity, handler } = this.context;
    if (
      this.message !== null ||
      message === undefined ||
      message.type !== MessageType.snapshot ||
      message.snapshot === null ||
      message.from !== this.from ||
      message.to !== identity.memberId
    ) {
      throw new Error('a snapshot begins with something else than its message');
    }
    this.message = message;
    this.sink = handler.onSnapshot(this.from, message);
    if (this.sink === null) this.conclude('the snapshot is not wanted');
    else this.socket.write(makeFrame(FrameType.snapshotAccept, NO_BODY));
  }

  private chunk(body: Buffer): void {
    const sink = this.sink;
    if (sink === null || this.isFinishing) throw new Error('a chunk without a snapshot');
    this.crc = crc32c(body, this.crc);
    this.receivedBytes += body.length;
    this.socket.pause();
    sink.write(body, (error) => {
      if (this.sink === null) return;
      if (error !== null) this.fail(error.message);
      else this.socket.resume();
    });
  }

  private end(body: Buffer): void {
    const { sink, message } = this;
    if (sink === null || message === null || body.length !== 12)
      throw new Error('an end without a snapshot');
    if (body.readDoubleLE(0) !== this.receivedBytes || body.readUInt32LE(8) !== this.crc) {
      return this.fail('the snapshot differs from what was sent');
    }
    this.isFinishing = true;
    sink.finish((error) => {
      this.sink = null;
      if (error === null) this.context.handler.onMessages(this.from, [message]);
      this.conclude(error?.message ?? '');
    });
  }

  private fail(why: string): void {
    this.sink?.abort();
    this.sink = null;
    this.conclude(why);
  }

  private conclude(verdict: string): void {
    this.socket.end(makeFrame(FrameType.snapshotResult, Buffer.from(verdict, 'utf8')));
  }
}
