/** Messages on a stream: each behind its length in two bytes (RFC 1035, 4.2.2). */
const LENGTH_BYTES = 2;

export class StreamFrames {
  private readonly receive: (message: Buffer) => void;
  private rest = Buffer.alloc(0);

  constructor(receive: (message: Buffer) => void) {
    this.receive = receive;
  }

  static frame(message: Buffer): Buffer {
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt16BE(message.length);
    return Buffer.concat([length, message]);
  }

  /** Takes bytes of the stream, and hands on each message that is whole. */
  push(data: Buffer): void {
    let bytes = this.rest.length === 0 ? data : Buffer.concat([this.rest, data]);
    while (bytes.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + bytes.readUInt16BE(0);
      if (bytes.length < end) break;
      this.receive(bytes.subarray(LENGTH_BYTES, end));
      bytes = bytes.subarray(end);
    }
    this.rest = Buffer.from(bytes);
  }
}
