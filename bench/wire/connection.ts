import { connect, type Socket } from 'node:net';
import { HpackDecoder, HpackEncoder, type ResponseFields } from './hpack.js';

/**
 * A gRPC client connection over HTTP/2 frames on a plain socket, made to cost the load generator as little as possible:
 * no streams, promises or copies per request, one socket write for everything that one read caused.
 *
 * It does what a gRPC client does on the wire (flow control in both directions, header tables, pings) and nothing more:
 * no TLS, no push, no priorities. Used by: load-worker.ts and the benchmark cases.
 */

/** Events of a call. Views are valid only during the callback. */
export interface CallSink {
  message(buf: Uint8Array, start: number, end: number): void;
  ended(status: number, text: string): void;
  /** True when only the size of answers matters: `message` is then not called. */
  readonly discard: boolean;
}

export interface Call {
  /** Streams only: sends one more message. */
  send(body: Uint8Array): void;
  /** Streams only: no more messages will follow. */
  finish(): void;
  cancel(): void;
}

const Frame = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
const Flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
const Setting = { initialWindow: 4, maxFrame: 5 } as const;

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const FRAME_HEADER = 9;
const MESSAGE_HEADER = 5;
const MAX_WINDOW = 0x7fffffff;
const DEFAULT_WINDOW = 65535;
/** Receive window of the connection given back in steps of this. */
const WINDOW_STEP = 1 << 28;
/** Our own receive limit; the protocol's default. */
const MAX_FRAME = 16384;
const OUT_CHUNK = 64 * 1024;
const IN_CHUNK = 256 * 1024;
const CANCELLED = 1;
const UNAVAILABLE = 14;

/** One read buffer for all connections: what a read brings is parsed before the next read begins. */
const readBuffer = Buffer.allocUnsafeSlow(IN_CHUNK);

export class Connection {
  /** Bytes of messages received, for throughput of large answers. */
  receivedBytes = 0;
  private readonly socket: Socket;
  private readonly authority: string;
  private readonly decoder = new HpackDecoder();
  private readonly encoder = new HpackEncoder();
  private readonly blocks = new Map<string, Uint8Array>();
  private readonly calls = new Map<number, LiveCall>();
  private readonly fields: ResponseFields = { httpStatus: '', grpcStatus: '', grpcMessage: '' };
  private nextId = 1;
  private out = Buffer.allocUnsafe(OUT_CHUNK);
  private outStart = 0;
  private outEnd = 0;
  private flushing = false;
  private sendWindow = DEFAULT_WINDOW;
  private streamWindow = DEFAULT_WINDOW;
  private maxFrame = MAX_FRAME;
  private readonly waiting: PendingSend[] = [];
  private consumed = 0;
  private readonly partial = Buffer.allocUnsafeSlow(FRAME_HEADER + MAX_FRAME);
  private partialLength = 0;
  private headerBlock: Buffer | null = null;
  private headerFlags = 0;
  private ready: (() => void) | null = null;
  private failed: ((error: Error) => void) | null = null;
  private closedWith: Error | null = null;

  private constructor(host: string, port: number) {
    this.authority = `${host}:${port}`;
    this.socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (length: number) => {
          this.read(readBuffer, length);
          return true;
        },
      },
    });
    this.socket.on('connect', () => {
      this.hello();
    });
    this.socket.on('error', (error) => {
      this.fail(error);
    });
    this.socket.on('close', () => {
      this.fail(new Error('connection closed'));
    });
  }

  /** Resolves when the peer's settings arrived. */
  static open(host: string, port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const connection = new Connection(host, port);
      connection.ready = () => {
        resolve(connection);
      };
      connection.failed = reject;
    });
  }

  get open(): boolean {
    return this.closedWith === null;
  }

  close(): void {
    this.socket.destroy();
  }

  /** One request message, half-closed at once: unary and server-streaming calls. */
  request(path: string, body: Uint8Array, sink: CallSink): Call {
    const call = this.start(path, sink);
    this.sendMessage(call, body, true);
    return call;
  }

  /** A bidirectional call. */
  stream(path: string, sink: CallSink): Call {
    return this.start(path, sink);
  }

  // ---- sending ----

  private start(path: string, sink: CallSink): LiveCall {
    const call = new LiveCall(this, this.nextId, sink, this.streamWindow);
    if (this.closedWith !== null) {
      const error = this.closedWith;
      setImmediate(() => {
        sink.ended(UNAVAILABLE, error.message);
      });
      return call;
    }
    this.nextId += 2;
    this.calls.set(call.id, call);
    const known = this.blocks.get(path);
    const block = known ?? this.encoder.block(this.authority, path);
    const at = this.frame(block.length, Frame.headers, Flag.endHeaders, call.id);
    this.out.set(block, at);
    // A block that fills the table is good for one use; every block made before it has shifted.
    if (known === undefined) {
      const paths = [...this.blocks.keys(), path];
      for (const each of paths) this.blocks.set(each, this.encoder.block(this.authority, each));
    }
    return call;
  }

  sendMessage(call: LiveCall, body: Uint8Array, last: boolean): void {
    if (this.closedWith !== null) return;
    const total = MESSAGE_HEADER + body.length;
    const fits = total <= this.sendWindow && total <= call.window && total <= this.maxFrame;
    if (fits && this.waiting.length === 0) {
      const at = this.frame(total, Frame.data, last ? Flag.endStream : 0, call.id);
      this.out[at] = 0;
      this.out.writeUInt32BE(body.length, at + 1);
      this.out.set(body, at + MESSAGE_HEADER);
      this.sendWindow -= total;
      call.window -= total;
      return;
    }
    const framed = Buffer.allocUnsafe(total);
    framed[0] = 0;
    framed.writeUInt32BE(body.length, 1);
    framed.set(body, MESSAGE_HEADER);
    this.waiting.push({ call, framed, sent: 0, last });
    this.pump();
  }

  finishCall(call: LiveCall): void {
    if (this.closedWith === null) this.frame(0, Frame.data, Flag.endStream, call.id);
  }

  cancelCall(call: LiveCall): void {
    if (!this.calls.delete(call.id)) return;
    const at = this.frame(4, Frame.reset, 0, call.id);
    this.out.writeUInt32BE(8, at);
    call.sink.ended(CANCELLED, 'cancelled here');
  }

  /** Sends what flow control held back, in order. */
  private pump(): void {
    let done = 0;
    for (const pending of this.waiting) {
      const { call, framed } = pending;
      while (pending.sent < framed.length) {
        const n = Math.min(
          framed.length - pending.sent,
          this.sendWindow,
          call.window,
          this.maxFrame,
        );
        if (n <= 0) break;
        const end = pending.sent + n === framed.length && pending.last;
        const at = this.frame(n, Frame.data, end ? Flag.endStream : 0, call.id);
        framed.copy(this.out, at, pending.sent, pending.sent + n);
        pending.sent += n;
        this.sendWindow -= n;
        call.window -= n;
      }
      if (pending.sent < framed.length) break;
      done++;
    }
    if (done > 0) this.waiting.splice(0, done);
  }

  /** Appends a frame header and reserves its payload; returns where the payload goes. */
  private frame(length: number, type: number, flags: number, id: number): number {
    const need = FRAME_HEADER + length;
    if (this.outEnd + need > this.out.length) {
      this.write();
      this.out = Buffer.allocUnsafe(Math.max(OUT_CHUNK, need));
      this.outStart = 0;
      this.outEnd = 0;
    }
    const out = this.out;
    const at = this.outEnd;
    out[at] = length >>> 16;
    out[at + 1] = length >>> 8;
    out[at + 2] = length;
    out[at + 3] = type;
    out[at + 4] = flags;
    out.writeUInt32BE(id, at + 5);
    this.outEnd = at + need;
    if (!this.flushing) {
      this.flushing = true;
      queueMicrotask(() => {
        this.flushing = false;
        this.write();
      });
    }
    return at + FRAME_HEADER;
  }

  private write(): void {
    if (this.outEnd === this.outStart || this.closedWith !== null) return;
    this.socket.write(this.out.subarray(this.outStart, this.outEnd));
    this.outStart = this.outEnd;
  }

  private hello(): void {
    this.socket.write(PREFACE);
    const at = this.frame(6, Frame.settings, 0, 0);
    this.out.writeUInt16BE(Setting.initialWindow, at);
    this.out.writeUInt32BE(MAX_WINDOW, at + 2);
    const window = this.frame(4, Frame.windowUpdate, 0, 0);
    this.out.writeUInt32BE(MAX_WINDOW - DEFAULT_WINDOW, window);
  }

  // ---- receiving ----

  private read(chunk: Buffer, length: number): void {
    let pos = 0;
    try {
      while (this.partialLength > 0 && pos < length)
        pos += this.completePartial(chunk, pos, length);
      while (length - pos >= FRAME_HEADER) {
        const size = FRAME_HEADER + payloadLength(chunk, pos);
        if (length - pos < size) break;
        this.onFrame(chunk, pos);
        pos += size;
      }
      if (pos < length) {
        chunk.copy(this.partial, 0, pos, length);
        this.partialLength = length - pos;
      }
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
      this.socket.destroy();
    }
  }

  /** Adds bytes to the frame that an earlier read left incomplete; returns how many it took. */
  private completePartial(chunk: Buffer, pos: number, length: number): number {
    const have = this.partialLength;
    const want = have < FRAME_HEADER ? FRAME_HEADER : FRAME_HEADER + payloadLength(this.partial, 0);
    const take = Math.min(want - have, length - pos);
    chunk.copy(this.partial, have, pos, pos + take);
    this.partialLength = have + take;
    const whole =
      this.partialLength >= FRAME_HEADER &&
      this.partialLength === FRAME_HEADER + payloadLength(this.partial, 0);
    if (whole) {
      this.partialLength = 0;
      this.onFrame(this.partial, 0);
    }
    return take;
  }

  private onFrame(buf: Buffer, at: number): void {
    const length = payloadLength(buf, at);
    if (length > MAX_FRAME) throw new Error(`the peer sent a frame of ${length} bytes`);
    const flags = buf[at + 4] ?? 0;
    const id = buf.readUInt32BE(at + 5) & MAX_WINDOW;
    const start = at + FRAME_HEADER;
    const end = start + length;
    switch (buf[at + 3]) {
      case Frame.data:
        this.onData(buf, start, end, flags, id);
        break;
      case Frame.headers:
        this.onHeaders(buf, start, end, flags, id);
        break;
      case Frame.continuation:
        this.onContinuation(buf, start, end, flags, id);
        break;
      case Frame.reset:
        this.endCall(id, UNAVAILABLE, `stream reset by the peer, code ${buf.readUInt32BE(start)}`);
        break;
      case Frame.settings:
        if ((flags & Flag.ack) === 0) this.onSettings(buf, start, end);
        break;
      case Frame.ping:
        if ((flags & Flag.ack) === 0) this.answerPing(buf, start);
        break;
      case Frame.windowUpdate:
        this.onWindowUpdate(id, buf.readUInt32BE(start));
        break;
      case Frame.goaway:
        throw new Error(
          `the peer said goodbye, code ${buf.readUInt32BE(start + 4)}: ${buf.toString('latin1', start + 8, end)}`,
        );
      default:
        break;
    }
  }

  private onData(buf: Buffer, start: number, end: number, flags: number, id: number): void {
    this.consumed += end - start;
    if (this.consumed >= WINDOW_STEP) {
      const window = this.frame(4, Frame.windowUpdate, 0, 0);
      this.out.writeUInt32BE(this.consumed, window);
      this.consumed = 0;
    }
    const call = this.calls.get(id);
    if (call === undefined) return;
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      to -= buf[start] ?? 0;
      from++;
    }
    call.received += to - from;
    // A stream's own window is 2 GiB: only a snapshot comes near it.
    if (call.received >= WINDOW_STEP) {
      const window = this.frame(4, Frame.windowUpdate, 0, id);
      this.out.writeUInt32BE(call.received, window);
      call.received = 0;
    }
    this.receivedBytes += to - from;
    call.onData(buf, from, to);
    if ((flags & Flag.endStream) !== 0) this.endCall(id, 2, 'the stream ended without a status');
  }

  private onHeaders(buf: Buffer, start: number, end: number, flags: number, id: number): void {
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      to -= buf[from] ?? 0;
      from++;
    }
    if ((flags & Flag.priority) !== 0) from += 5;
    if ((flags & Flag.endHeaders) === 0) {
      this.headerBlock = Buffer.from(buf.subarray(from, to));
      this.headerFlags = flags;
      return;
    }
    this.onHeaderBlock(buf, from, to, flags, id);
  }

  private onContinuation(buf: Buffer, start: number, end: number, flags: number, id: number): void {
    if (this.headerBlock === null) throw new Error('the peer continued headers it had not begun');
    this.headerBlock = Buffer.concat([this.headerBlock, buf.subarray(start, end)]);
    if ((flags & Flag.endHeaders) === 0) return;
    const block = this.headerBlock;
    this.headerBlock = null;
    this.onHeaderBlock(block, 0, block.length, this.headerFlags, id);
  }

  private onHeaderBlock(
    buf: Uint8Array,
    start: number,
    end: number,
    flags: number,
    id: number,
  ): void {
    const fields = this.fields;
    fields.httpStatus = '';
    fields.grpcStatus = '';
    fields.grpcMessage = '';
    this.decoder.decode(buf, start, end, fields);
    if (fields.httpStatus !== '' && fields.httpStatus !== '200') {
      this.endCall(id, UNAVAILABLE, `HTTP status ${fields.httpStatus}`);
    } else if ((flags & Flag.endStream) !== 0) {
      const status = fields.grpcStatus === '' ? 2 : Number(fields.grpcStatus);
      this.endCall(id, status, fields.grpcMessage);
    }
  }

  private onSettings(buf: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += 6) {
      const value = buf.readUInt32BE(at + 2);
      const name = buf.readUInt16BE(at);
      if (name === Setting.maxFrame) this.maxFrame = value;
      if (name !== Setting.initialWindow) continue;
      for (const call of this.calls.values()) call.window += value - this.streamWindow;
      this.streamWindow = value;
    }
    this.frame(0, Frame.settings, Flag.ack, 0);
    this.pump();
    this.ready?.();
    this.ready = null;
  }

  private answerPing(buf: Buffer, start: number): void {
    const at = this.frame(8, Frame.ping, Flag.ack, 0);
    buf.copy(this.out, at, start, start + 8);
  }

  private onWindowUpdate(id: number, increment: number): void {
    if (id === 0) this.sendWindow += increment;
    else {
      const call = this.calls.get(id);
      if (call !== undefined) call.window += increment;
    }
    if (this.waiting.length > 0) this.pump();
  }

  private endCall(id: number, status: number, text: string): void {
    const call = this.calls.get(id);
    if (call === undefined) return;
    this.calls.delete(id);
    call.sink.ended(status, text);
  }

  private fail(error: Error): void {
    if (this.closedWith !== null) return;
    this.closedWith = error;
    this.failed?.(error);
    const calls = [...this.calls.values()];
    this.calls.clear();
    for (const call of calls) call.sink.ended(UNAVAILABLE, error.message);
  }
}

interface PendingSend {
  readonly call: LiveCall;
  readonly framed: Buffer;
  sent: number;
  readonly last: boolean;
}

class LiveCall implements Call {
  readonly id: number;
  readonly sink: CallSink;
  window: number;
  /** Bytes since the stream's receive window was last given back. */
  received = 0;
  private readonly connection: Connection;
  /** A message header that came in two frames, rare enough to be made when it happens. */
  private head: Uint8Array | null = null;
  private headLength = 0;
  private body: Uint8Array | null = null;
  private bodyLength = 0;
  /** Bytes of the current message still to be passed over. */
  private skip = 0;

  constructor(connection: Connection, id: number, sink: CallSink, window: number) {
    this.connection = connection;
    this.id = id;
    this.sink = sink;
    this.window = window;
  }

  send(body: Uint8Array): void {
    this.connection.sendMessage(this, body, false);
  }

  finish(): void {
    this.connection.finishCall(this);
  }

  cancel(): void {
    this.connection.cancelCall(this);
  }

  /** Cuts the stream's bytes into messages; one that lies within a frame is passed without a copy. */
  onData(buf: Uint8Array, start: number, end: number): void {
    let pos = start;
    while (pos < end) {
      if (this.skip > 0) {
        const n = Math.min(this.skip, end - pos);
        this.skip -= n;
        pos += n;
      } else if (this.body !== null) {
        pos = this.addToBody(this.body, buf, pos, end);
      } else {
        pos = this.begin(buf, pos, end);
      }
    }
  }

  private begin(buf: Uint8Array, start: number, end: number): number {
    let pos = start;
    let length = 0;
    if (this.headLength === 0 && end - start >= MESSAGE_HEADER) {
      length = bodyLength(buf, start);
      pos += MESSAGE_HEADER;
    } else {
      const head = (this.head ??= new Uint8Array(MESSAGE_HEADER));
      while (this.headLength < MESSAGE_HEADER && pos < end)
        head[this.headLength++] = buf[pos++] ?? 0;
      if (this.headLength < MESSAGE_HEADER) return pos;
      this.headLength = 0;
      length = bodyLength(head, 0);
    }
    if (this.sink.discard) {
      this.skip = length;
    } else if (end - pos >= length) {
      this.sink.message(buf, pos, pos + length);
      pos += length;
    } else {
      this.body = new Uint8Array(length);
      this.bodyLength = 0;
    }
    return pos;
  }

  private addToBody(body: Uint8Array, buf: Uint8Array, pos: number, end: number): number {
    const n = Math.min(body.length - this.bodyLength, end - pos);
    body.set(buf.subarray(pos, pos + n), this.bodyLength);
    this.bodyLength += n;
    if (this.bodyLength === body.length) {
      this.body = null;
      this.sink.message(body, 0, body.length);
    }
    return pos + n;
  }
}

/** Bytes of a message by its header: a compression flag, then the length. */
function bodyLength(buf: Uint8Array, at: number): number {
  const high = ((buf[at + 1] ?? 0) << 16) | ((buf[at + 2] ?? 0) << 8) | (buf[at + 3] ?? 0);
  return high * 256 + (buf[at + 4] ?? 0);
}

function payloadLength(buf: Uint8Array, at: number): number {
  return ((buf[at] ?? 0) << 16) | ((buf[at + 1] ?? 0) << 8) | (buf[at + 2] ?? 0);
}
