/**
 * Bytes on their way into one socket: frames are written into a large block, and a block goes to the socket once per
 * turn of the event loop, or when it is full.
 *
 * Invariant: a block is reused only if the socket kept no reference to it. Connections that have
 * nothing to send hold no block.
 */
import type { Socket } from 'node:net';

export const BLOCK_BYTES = 64 * 1024;
/** With more than this waiting in the socket, no further message data is written. Above every stream's high-water mark. */
const CONGESTED_BYTES = 128 * 1024;
/** Shorter contents are copied out of the block when the socket will keep them. */
const COPY_MAX_BYTES = 32 * 1024;
const POOL_MAX_BLOCKS = 64;
const NO_BLOCK = Buffer.alloc(0);

/** Free blocks, shared by the connections of a transport. */
export class BlockPool {
  private readonly free: Buffer[] = [];

  take(): Buffer {
    return this.free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }

  give(block: Buffer): void {
    if (this.free.length < POOL_MAX_BLOCKS) this.free.push(block);
  }
}

export class Output {
  /** The block being filled; `NO_BLOCK` until `reserve` is called. */
  block: Buffer = NO_BLOCK;
  length = 0;
  /** True from the moment the socket holds too much until it has drained. */
  congested = false;
  private readonly socket: Socket;
  private readonly pool: BlockPool;
  private readonly isTls: boolean;

  constructor(socket: Socket, pool: BlockPool, isTls: boolean) {
    this.socket = socket;
    this.pool = pool;
    this.isTls = isTls;
  }

  /**
   * Makes room for `size` bytes in `block` and returns where they go; the caller then advances `length`.
   *
   * Requires: size <= BLOCK_BYTES.
   */
  reserve(size: number): number {
    if (this.length + size > this.block.length) {
      this.flush();
      this.block = this.pool.take();
    }
    return this.length;
  }

  /** Room left before the block would go to the socket. */
  get room(): number {
    return this.block.length - this.length;
  }

  /** Bytes the kernel has not accepted yet. */
  get unsentBytes(): number {
    return this.length + this.socket.writableLength;
  }

  flush(): void {
    const { block, length, socket } = this;
    if (block.length === 0) return;
    this.block = NO_BLOCK;
    this.length = 0;
    if (length === 0) {
      this.pool.give(block);
      return;
    }
    const content = block.subarray(0, length);
    if (length <= COPY_MAX_BYTES && (this.isTls || socket.writableLength > 0)) {
      socket.write(Buffer.from(content));
      this.pool.give(block);
    } else {
      socket.write(content);
      if (socket.writableLength === 0) this.pool.give(block);
    }
    if (socket.writableLength > CONGESTED_BYTES) this.congested = true;
  }

  /** Forgets what was not flushed. */
  discard(): void {
    if (this.block.length > 0) this.pool.give(this.block);
    this.block = NO_BLOCK;
    this.length = 0;
  }
}
