/** Header blocks of one connection: joins their frames, decodes them, and remembers those that repeat. */
import type { FrameCursor } from './frame-cursor.js';
import { Flag } from './frames.js';
import { HpackDecoder } from './hpack-decoder.js';
import { MAX_CONTINUATIONS, MAX_HEADER_BLOCK_BYTES } from './limits.js';
import type { ConnectionHost } from './host.js';
import type { RequestHead } from './request-head.js';
import type { Method } from '../service.js';

const MEMO_MAX_BLOCKS = 8;
const MEMO_MAX_BLOCK_BYTES = 256;
const NO_BYTES = Buffer.alloc(0);

/** A header block and what it means; valid for one state of the dynamic table. */
export interface HeaderBlock {
  readonly bytes: Buffer;
  readonly head: RequestHead;
  /** The handler of its path. */
  readonly method: Method | undefined;
}

export class HeaderBlocks {
  /** Stream of the block that has begun and not ended, or 0. */
  openStreamId = 0;
  endsStream = false;
  private readonly host: ConnectionHost;
  private readonly decoder: HpackDecoder;
  private parts: Buffer[] = [];
  private partBytes = 0;
  private known: HeaderBlock[] = [];
  private knownGeneration = 0;

  constructor(host: ConnectionHost) {
    this.host = host;
    this.decoder = new HpackDecoder(host.scratch);
  }

  /** Keeps the first part of a block that goes on in CONTINUATION frames. */
  begin(frame: FrameCursor): void {
    this.openStreamId = frame.streamId;
    this.endsStream = frame.has(Flag.endStream);
    this.partBytes = 0;
    this.append(frame);
  }

  /** Keeps a further part; false when the block is longer than any that is accepted. */
  append({ buffer, start, end }: FrameCursor): boolean {
    this.partBytes += end - start;
    this.parts.push(Buffer.from(buffer.subarray(start, end)));
    return this.partBytes <= MAX_HEADER_BLOCK_BYTES && this.parts.length <= MAX_CONTINUATIONS;
  }

  /** The whole block. */
  join(): Buffer {
    const whole = Buffer.concat(this.parts);
    this.parts = [];
    this.openStreamId = 0;
    return whole;
  }

  /** Meaning of the block, from memory if it was seen before in the same state of the table; undefined if malformed. */
  read(buffer: Buffer, start: number, end: number): HeaderBlock | undefined {
    return this.recall(buffer, start, end) ?? this.decode(buffer, start, end);
  }

  private recall(buffer: Buffer, start: number, end: number): HeaderBlock | undefined {
    if (this.knownGeneration !== this.decoder.generation) return undefined;
    const length = end - start;
    for (const block of this.known) {
      const { bytes } = block;
      if (bytes.length !== length) continue;
      let same = 0;
      while (same < length && bytes[same] === buffer[start + same]) same++;
      if (same === length) return block;
    }
    return undefined;
  }

  private decode(buffer: Buffer, start: number, end: number): HeaderBlock | undefined {
    const { generation } = this.decoder;
    const valid = this.decoder.decode(buffer, start, end, this.host.heads);
    const head = this.host.heads.take();
    if (!valid) return undefined;
    const isReusable =
      generation === this.decoder.generation && end - start <= MEMO_MAX_BLOCK_BYTES;
    const bytes = isReusable ? Buffer.from(buffer.subarray(start, end)) : NO_BYTES;
    const block: HeaderBlock = { bytes, head, method: this.host.table.get(head.path) };
    if (isReusable) this.keep(block);
    return block;
  }

  private keep(block: HeaderBlock): void {
    if (this.knownGeneration !== this.decoder.generation || this.known.length >= MEMO_MAX_BLOCKS) {
      this.known = [];
      this.knownGeneration = this.decoder.generation;
    }
    this.known.push(block);
  }
}
