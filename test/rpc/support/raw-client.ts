/** An HTTP/2 client that sends any bytes a test gives, and a server whose time a test moves. */
import * as net from 'node:net';
import type { Timer } from '../../../src/base/env/env.js';
import { HpackDecoder, MAX_STRING_BYTES } from '../../../src/rpc/http2/hpack-decoder.js';
import { Http2Transport, type Http2Setup } from '../../../src/rpc/http2/http2-transport.js';
import {
  FRAME_HEADER_BYTES,
  FrameType,
  Flag,
  PREFACE,
  writeFrameHeader,
} from '../../../src/rpc/http2/frames.js';
import { encodeFields } from '../../../src/rpc/http2/response-blocks.js';
import type { ServiceTable, TransportOptions } from '../../../src/rpc/service.js';
import type { TransportEnv } from '../../../src/rpc/transport.js';
import { LIMITS, until } from './transports.js';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** Real time plus what the test adds; timers run only when it does. */
export class ManualEnv implements TransportEnv {
  private skewMs = 0;
  private timers: { dueMs: number; callback: () => void }[] = [];

  readonly clock = {
    monoMs: (): number => performance.now() + this.skewMs,
    wallMs: (): number => Date.now() + this.skewMs,
  };

  after(delayMs: number, callback: () => void): Timer {
    const timer = { dueMs: this.clock.monoMs() + delayMs, callback };
    this.timers.push(timer);
    return { cancel: () => (this.timers = this.timers.filter((other) => other !== timer)) };
  }

  defer(callback: () => void): void {
    setImmediate(callback);
  }

  /** Lets `ms` pass and runs each timer that came due, once. */
  advance(ms: number): void {
    this.skewMs += ms;
    const nowMs = this.clock.monoMs();
    const due = this.timers.filter((timer) => timer.dueMs <= nowMs);
    this.timers = this.timers.filter((timer) => timer.dueMs > nowMs);
    for (const timer of due) timer.callback();
  }
}

export interface RawServer {
  readonly transport: Http2Transport;
  readonly env: ManualEnv;
  readonly port: number;
  close(): Promise<void>;
}

export async function startRawServer(
  table: ServiceTable,
  limits: Partial<TransportOptions> = {},
  more: Partial<Http2Setup> = {},
): Promise<RawServer> {
  const env = new ManualEnv();
  const transport = new Http2Transport({ table, env, limits: { ...LIMITS, ...limits }, ...more });
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    transport.accept(socket, new Uint8Array(0));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    transport,
    env,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: () =>
      new Promise((resolve) => {
        server.close();
        transport.stop(0, resolve);
        env.advance(1);
      }),
  };
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(bytes, 0, payload.length, type, flags, streamId);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function settings(...values: (readonly [number, number])[]): Buffer {
  const parts = values.map(([id, value]) =>
    Buffer.concat([Buffer.of(id >> 8, id & 255), u32(value)]),
  );
  return frame(FrameType.settings, 0, 0, Buffer.concat(parts));
}

type Fields = readonly (readonly [string, string])[];

export function requestBlock(path: string, extra: Fields = []): Buffer {
  return encodeFields([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...extra,
  ]);
}

/** A gRPC message with its prefix. */
export function message(body: Uint8Array, flag = 0): Buffer {
  return Buffer.concat([Buffer.of(flag), u32(body.length), body]);
}

export function headersFrame(streamId: number, path: string, extra: Fields = []): Buffer {
  return frame(FrameType.headers, Flag.endHeaders, streamId, requestBlock(path, extra));
}

export function dataFrame(streamId: number, payload: Uint8Array, endStream: boolean): Buffer {
  return frame(FrameType.data, endStream ? Flag.endStream : 0, streamId, payload);
}

/** A whole unary request. */
export function request(streamId: number, path: string, body: Uint8Array): Buffer {
  return Buffer.concat([headersFrame(streamId, path), dataFrame(streamId, message(body), true)]);
}

export interface Reply {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly reset: number | undefined;
}

const SCRATCH = Buffer.alloc(MAX_STRING_BYTES);

export class RawClient {
  readonly frames: Frame[] = [];
  closed = false;
  ended = false;
  readonly socket: net.Socket;
  private rest = Buffer.alloc(0);
  private readonly fields = new Map<number, Map<string, string>>();
  private readonly decoder = new HpackDecoder(SCRATCH);

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.parse(chunk));
    socket.on('end', () => (this.ended = true));
    socket.on('close', () => (this.closed = true));
    socket.on('error', () => {});
  }

  /** Connects without a word. */
  static async connect(port: number): Promise<RawClient> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    await new Promise((resolve) => socket.once('connect', resolve));
    return new RawClient(socket);
  }

  /** Connects and greets. */
  static async open(port: number, ...values: (readonly [number, number])[]): Promise<RawClient> {
    const client = await RawClient.connect(port);
    client.send(PREFACE, settings(...values));
    return client;
  }

  send(...parts: Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts));
  }

  find(type: number, streamId?: number): Frame | undefined {
    return this.frames.find(
      (each) => each.type === type && (streamId === undefined || each.streamId === streamId),
    );
  }

  count(type: number): number {
    return this.frames.filter((each) => each.type === type).length;
  }

  /** Error code and text of the server's GOAWAY. */
  async goaway(): Promise<{ code: number; reason: string; lastStreamId: number }> {
    await until(() => this.find(FrameType.goaway) !== undefined || this.closed, 'GOAWAY');
    const payload = this.find(FrameType.goaway)?.payload;
    if (payload === undefined) throw new Error('closed without GOAWAY');
    return {
      lastStreamId: payload.readUInt32BE(0),
      code: payload.readUInt32BE(4),
      reason: payload.toString('latin1', 8),
    };
  }

  /** Error code of the server's RST_STREAM. */
  async reset(streamId: number): Promise<number> {
    await until(
      () => this.find(FrameType.rstStream, streamId) !== undefined || this.ended,
      'RST_STREAM',
    );
    const found = this.find(FrameType.rstStream, streamId);
    if (found === undefined) throw new Error('closed without RST_STREAM');
    return found.payload.readUInt32BE(0);
  }

  /** All that the server sent on a stream, once it has ended. */
  async reply(streamId: number): Promise<Reply> {
    const isEnd = (each: Frame): boolean =>
      each.streamId === streamId &&
      (each.type === FrameType.rstStream ||
        ((each.type === FrameType.headers || each.type === FrameType.data) &&
          (each.flags & Flag.endStream) !== 0));
    await until(() => this.frames.some(isEnd) || this.ended, `stream ${streamId} ends`);
    const parts = this.frames.filter(
      (each) => each.type === FrameType.data && each.streamId === streamId,
    );
    return {
      headers: this.fields.get(streamId) ?? new Map(),
      body: Buffer.concat(parts.map((each) => each.payload)),
      reset: this.find(FrameType.rstStream, streamId)?.payload.readUInt32BE(0),
    };
  }

  bytesOf(streamId: number): number {
    let total = 0;
    for (const each of this.frames) {
      if (each.type === FrameType.data && each.streamId === streamId) total += each.payload.length;
    }
    return total;
  }

  close(): void {
    this.socket.destroy();
  }

  private parse(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk]);
    while (this.rest.length >= FRAME_HEADER_BYTES) {
      const length = this.rest.readUIntBE(0, 3);
      if (this.rest.length < FRAME_HEADER_BYTES + length) return;
      const each: Frame = {
        type: this.rest[3] ?? 0,
        flags: this.rest[4] ?? 0,
        streamId: this.rest.readUInt32BE(5),
        payload: Buffer.from(this.rest.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length)),
      };
      this.rest = this.rest.subarray(FRAME_HEADER_BYTES + length);
      if (each.type === FrameType.headers) this.decodeHeaders(each);
      this.frames.push(each);
    }
  }

  private decodeHeaders({ streamId, payload }: Frame): void {
    const fields = this.fields.get(streamId) ?? new Map<string, string>();
    this.fields.set(streamId, fields);
    const valid = this.decoder.decode(payload, 0, payload.length, {
      add: ({ name, value }) => fields.set(name, value),
    });
    if (!valid) throw new Error('the server sent a malformed header block');
  }
}
