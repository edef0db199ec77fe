import type { Duplex } from 'node:stream';
import {
  dataFrame,
  FrameReader,
  FrameType,
  synStream,
} from '../../../src/cluster/streams/spdy-frames.js';
import { HeaderReader, HeaderWriter } from '../../../src/cluster/streams/spdy-headers.js';

/** A client of SPDY/3.1 that opens streams and notes what comes back. */
export class SpdyClient {
  readonly received = new Map<number, string>();
  readonly ended = new Set<number>();
  readonly replied = new Set<number>();
  readonly resets = new Map<number, number>();
  readonly pings: number[] = [];
  readonly goAways: number[] = [];
  private readonly transport: Duplex;
  private readonly writer = new HeaderWriter();
  private readonly reader = new HeaderReader();
  private nextId = 1;

  constructor(transport: Duplex) {
    this.transport = transport;
    const frames = new FrameReader({
      onControl: ({ type, payload }) => {
        const id = payload.readUInt32BE(0);
        if (type === FrameType.synReply) {
          this.reader.read(payload.subarray(4));
          this.replied.add(id);
        } else if (type === FrameType.rstStream) this.resets.set(id, payload.readUInt32BE(4));
        else if (type === FrameType.ping) this.pings.push(id);
        else if (type === FrameType.goAway) this.goAways.push(payload.readUInt32BE(4));
      },
      onData: (id, piece, isLast) => {
        this.received.set(id, (this.received.get(id) ?? '') + piece.toString('latin1'));
        if (isLast) this.ended.add(id);
      },
    });
    transport.on('data', (bytes: Buffer) => frames.push(bytes));
    transport.on('error', () => undefined);
  }

  /** `id` is the next one, unless a fault is to be planted. */
  open(headers: Readonly<Record<string, string>>, id = this.nextId): number {
    this.nextId = id + 2;
    this.raw(synStream(id, this.writer.write(new Map(Object.entries(headers))), false));
    return id;
  }

  send(id: number, text: string, isFin = false): void {
    this.raw(dataFrame(id, Buffer.from(text, 'latin1'), isFin));
  }

  raw(bytes: Uint8Array): void {
    this.transport.write(bytes);
  }
}
