import type { Socket } from 'node:net';
import type { Env, Timer } from '../../base/env/env.js';
import { InvariantViolation } from '../../base/invariant.js';
import type { Frame, FrameReader } from './frames.js';
import { FrameType, makeFrame } from './frames.js';
import { FRAME_TARGET_BYTES, LINGER_MS } from './limits.js';
import { BodyAssembler, BodyCutter } from './parts.js';

export interface FramedSocketEvents {
  onFrame(frame: Frame): void;
  /** Bytes of any kind arrived, or were handed to the socket. */
  onReceived(count: number): void;
  onSent(count: number): void;
  /**
   * `onFrame` threw, or the bytes are no frames; the socket is destroyed and `onClosed` follows.
   */
  onMalformed(error: Error): void;
  /** Once. `byRemote`: the other side closed or reset it, rather than this one. */
  onClosed(byRemote: boolean, error: Error | null): void;
}

/**
 * A socket that carries frames in both directions, and puts those that come in parts together.
 *
 * Owns the socket's events from construction on. Frames are delivered one at a time; `pause` stops
 * delivery between two frames and, through TCP, the sender.
 */
export class FramedSocket {
  readonly socket: Socket;
  lastReadMs: number;
  /** Writes the socket has not finished yet. */
  pendingWrites = 0;
  private readonly env: Env;
  private readonly reader: FrameReader;
  private readonly events: FramedSocketEvents;
  private readonly assembler = new BodyAssembler();
  private paused = false;
  private isPumping = false;
  private isDestroyed = false;
  private isClosed = false;
  private lastError: Error | null = null;
  private linger: Timer | null = null;

  constructor(env: Env, socket: Socket, reader: FrameReader, events: FramedSocketEvents) {
    this.env = env;
    this.socket = socket;
    this.reader = reader;
    this.events = events;
    this.lastReadMs = env.clock.monoMs();
    socket.on('data', (chunk: Buffer) => {
      if (!this.isOpen) return;
      this.lastReadMs = env.clock.monoMs();
      events.onReceived(chunk.length);
      reader.push(chunk);
      this.pump();
    });
    socket.on('error', (error) => (this.lastError = error));
    socket.on('end', () => this.close(true));
    socket.on('close', () => this.close(!this.isDestroyed));
  }

  get isPaused(): boolean {
    return this.paused;
  }

  get isOpen(): boolean {
    return !this.isClosed && !this.isDestroyed;
  }

  /** Bytes handed to `write` that the kernel has not taken. */
  get queuedBytes(): number {
    return this.socket.writableLength;
  }

  write(frame: Uint8Array): void {
    if (!this.isOpen) return;
    this.pendingWrites++;
    this.events.onSent(frame.length);
    this.socket.write(frame, this.onWritten);
  }

  /**
   * Writes a body of any length: in parts when it is long, which the other side must be able to
   * read.
   */
  writeBody(type: FrameType, body: Uint8Array): void {
    if (body.length <= FRAME_TARGET_BYTES) return this.write(makeFrame(type, body));
    const cutter = new BodyCutter(type, [body]);
    while (cutter.restBytes > 0) this.write(cutter.next());
  }

  private readonly onWritten = (): void => {
    this.pendingWrites--;
  };

  /** Delivers what was received before this object took over, then what arrives. */
  start(): void {
    this.pump();
    if (!this.paused && this.isOpen) this.socket.resume();
  }

  pause(): void {
    this.paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.lastReadMs = this.env.clock.monoMs();
    this.pump();
    if (!this.paused && this.isOpen) this.socket.resume();
  }

  /**
   * Sends the queued bytes and closes; the other side has `LINGER_MS` to read them. Its own bytes
   * are ignored.
   */
  end(lastFrame: Uint8Array): void {
    if (!this.isOpen) return;
    this.events.onSent(lastFrame.length);
    this.isDestroyed = true;
    this.socket.resume();
    this.linger = this.env.after(LINGER_MS, () => this.socket.destroy());
    this.socket.end(lastFrame);
  }

  destroy(): void {
    this.isDestroyed = true;
    this.socket.destroy();
  }

  /** As `destroy`, once what was written is on its way. */
  destroySoon(): void {
    this.isDestroyed = true;
    this.socket.destroySoon();
  }

  /**
   * Destroys the socket when nothing was read for `afterMs`. A process that was stopped for a while
   * finds its timers due before it reads the bytes that arrived meanwhile. So it reads once more
   * before it decides.
   */
  destroyIfSilent(afterMs: number, onDead: () => void = () => undefined): void {
    const isSilent = (): boolean =>
      this.isOpen && !this.paused && this.env.clock.monoMs() - this.lastReadMs > afterMs;
    if (!isSilent()) return;
    this.env.defer(() =>
      this.env.defer(() => {
        if (!isSilent()) return;
        this.lastError = new Error(`silent for ${afterMs} ms`);
        onDead();
        this.destroy();
      }),
    );
  }

  private close(byRemote: boolean): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.linger?.cancel();
    this.socket.destroy();
    this.events.onClosed(byRemote, this.lastError);
  }

  private pump(): void {
    if (this.isPumping) return;
    this.isPumping = true;
    try {
      while (!this.paused && this.isOpen) {
        const frame = this.reader.next();
        if (frame === null) break;
        const isPart = frame.type === FrameType.part && this.reader.isAdmitted;
        const whole = isPart ? this.assembler.add(frame.body) : frame;
        if (whole !== null) this.events.onFrame(whole);
      }
    } catch (error) {
      // A broken promise of this program is not the peer's fault.
      if (error instanceof InvariantViolation) throw error;
      const cause = error instanceof Error ? error : new Error(String(error));
      this.lastError = new Error(`malformed bytes: ${cause.message}`, { cause });
      this.events.onMalformed(cause);
      this.destroy();
    } finally {
      this.isPumping = false;
    }
  }
}
