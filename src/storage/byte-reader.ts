const VARINT_BYTES_MAX = 10;

/**
 * Reads LevelDB's varints and length-prefixed strings one after the other. Damage ends in a RangeError, never in a
 * read outside the bytes.
 */
export class ByteReader {
  private readonly bytes: Uint8Array;
  private readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  get isAtEnd(): boolean {
    return this.at === this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new RangeError('bytes are missing');
    return this.bytes[this.at++] as number;
  }

  /** Exact up to 2^53 - 1. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new RangeError('a number is too long');
  }

  skip(bytes: number): void {
    if (bytes > this.end - this.at) throw new RangeError('bytes are missing');
    this.at += bytes;
  }

  /** A view of the next `bytes` bytes. */
  take(bytes: number): Uint8Array {
    const start = this.at;
    this.skip(bytes);
    return this.bytes.subarray(start, this.at);
  }
}
