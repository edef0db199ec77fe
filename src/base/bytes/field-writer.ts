import { sizeInt, writeInt } from './varint.js';

/**
 * Writes protobuf fields into one growing buffer. For replies that are spliced from bytes already
 * encoded (headers, rows, nested responses), where a generated encoder would decode first.
 */
export class FieldWriter {
  private buffer: Buffer;
  private position = 0;

  constructor(sizeHint = 64) {
    this.buffer = Buffer.allocUnsafe(sizeHint);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.position;
  }

  private reserve(size: number): void {
    const needed = this.position + size;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(grown, 0, 0, this.position);
    this.buffer = grown;
  }

  private int(value: number): void {
    this.position = writeInt(this.buffer, this.position, value);
  }

  /** Bytes that are whole fields already. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** A length-delimited field; written even when empty. */
  bytes(field: number, bytes: Uint8Array): void {
    this.reserve(bytes.length + 12);
    this.int(field * 8 + 2);
    this.int(bytes.length);
    this.buffer.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** Tag and length of a length-delimited field whose content of `length` bytes the caller writes. */
  head(field: number, length: number): void {
    this.reserve(16);
    this.int(field * 8 + 2);
    this.int(length);
  }

  /** A non-negative integer below 2^53; omitted when 0. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.reserve(16);
    this.int(field * 8);
    this.int(value);
  }

  /** Any safe integer; written even when 0. */
  integer(field: number, value: number): void {
    this.reserve(20);
    this.int(field * 8);
    this.int(value);
  }

  /** A number of eight bytes; written even when 0. */
  double(field: number, value: number): void {
    this.reserve(20);
    this.int(field * 8 + 1);
    this.position = this.buffer.writeDoubleLE(value, this.position);
  }

  /** Omitted when false. */
  bool(field: number, value: boolean): void {
    this.number(field, value ? 1 : 0);
  }

  finish(): Uint8Array {
    return this.buffer.subarray(0, this.position);
  }
}

/** Bytes of a length-delimited field with content of `length` bytes and a field number below 16. */
export function fieldSize(length: number): number {
  return 1 + sizeInt(length) + length;
}
