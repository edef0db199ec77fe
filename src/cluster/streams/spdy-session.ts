/**
 * The server's side of a SPDY/3.1 connection, as client-go's port-forward speaks it. The client
 * opens streams, each a Duplex here, and nobody counts windows. Data that one stream's reader
 * leaves lying holds up the connection, as in Kubernetes' own server.
 */
import { Duplex } from 'node:stream';
import {
  controlFrame,
  dataFrame,
  FLAG_FIN,
  FrameError,
  FrameReader,
  FrameType,
  goAway,
  rstStream,
  RstStatus,
  synReply,
  type ControlFrame,
} from './spdy-frames.js';
import { HeaderBlockError, HeaderReader, HeaderWriter } from './spdy-headers.js';

/** Streams that one connection may have open. */
const MAX_STREAMS = 1000;

/** Longest data frame that is sent. */
const DATA_FRAME_BYTES = 32 * 1024;

export class SpdyStream extends Duplex {
  readonly id: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  private readonly session: StreamHost;
  private isLocalEnd = false;
  private isRemoteEnd = false;
  private isReset = false;

  constructor(session: StreamHost, id: number, headers: ReadonlyMap<string, string>) {
    super();
    this.session = session;
    this.id = id;
    this.headers = headers;
    // A reset stream is an everyday event of a connection, not an error of the process.
    this.on('error', () => undefined);
  }

  /** From the session: bytes of the client. Returns false when the reader does not keep up. */
  receive(piece: Buffer): boolean {
    return this.push(piece);
  }

  receiveEnd(): void {
    this.isRemoteEnd = true;
    this.push(null);
    this.forgetWhenDone();
  }

  get hasEndedRemotely(): boolean {
    return this.isRemoteEnd;
  }

  receiveReset(): void {
    this.isReset = true;
    this.destroy();
  }

  override _read(): void {
    this.session.resume(this);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    let at = 0;
    for (; at + DATA_FRAME_BYTES < chunk.length; at += DATA_FRAME_BYTES)
      this.session.send(dataFrame(this.id, chunk.subarray(at, at + DATA_FRAME_BYTES), false));
    this.session.send(dataFrame(this.id, chunk.subarray(at), false), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.isLocalEnd = true;
    this.session.send(dataFrame(this.id, Buffer.alloc(0), true), done);
    this.forgetWhenDone();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const isOpen = !this.isLocalEnd || !this.isRemoteEnd;
    if (isOpen && !this.isReset) this.session.send(rstStream(this.id, RstStatus.cancel));
    this.session.forget(this);
    done(error);
  }

  private forgetWhenDone(): void {
    if (this.isLocalEnd && this.isRemoteEnd) this.session.forget(this);
  }
}

/** Part of its session that a stream needs. */
interface StreamHost {
  send(frame: Buffer, done?: (error?: Error | null) => void): void;
  resume(stream: SpdyStream): void;
  forget(stream: SpdyStream): void;
}

export class SpdySession implements StreamHost {
  private readonly transport: Duplex;
  private readonly onStream: (stream: SpdyStream) => void;
  private readonly streams = new Map<number, SpdyStream>();
  /** Streams whose readers do not keep up; the transport is paused while there are any. */
  private readonly full = new Set<SpdyStream>();
  private readonly headerReader = new HeaderReader();
  private readonly headerWriter = new HeaderWriter();
  private lastStreamId = 0;
  private isClosed = false;

  /** `onStream` is told of each stream before any byte of it; the stream has been replied to. */
  constructor(transport: Duplex, onStream: (stream: SpdyStream) => void) {
    this.transport = transport;
    this.onStream = onStream;
    const reader = new FrameReader({
      onControl: (frame) => this.onControl(frame),
      onData: (id, piece, isLast) => this.onData(id, piece, isLast),
    });
    transport.on('data', (bytes: Buffer) => {
      try {
        reader.push(bytes);
      } catch (error) {
        if (!(error instanceof FrameError || error instanceof HeaderBlockError)) throw error;
        // Nothing after it can be understood.
        this.end(goAway(this.lastStreamId, 1));
      }
    });
    transport.on('error', () => this.close());
    transport.on('end', () => this.close());
    transport.on('close', () => this.close());
  }

  /** Ends the connection and its streams. Harmless when repeated. */
  close(): void {
    this.end(goAway(this.lastStreamId, 0));
  }

  send(frame: Buffer, done?: (error?: Error | null) => void): void {
    if (this.isClosed || !this.transport.writable) done?.(new Error('the connection is closed'));
    else this.transport.write(frame, done);
  }

  resume(stream: SpdyStream): void {
    if (this.full.delete(stream) && this.full.size === 0) this.transport.resume();
  }

  forget(stream: SpdyStream): void {
    this.streams.delete(stream.id);
    this.resume(stream);
  }

  private end(lastFrame: Buffer): void {
    if (this.isClosed) return;
    this.send(lastFrame);
    this.isClosed = true;
    for (const stream of [...this.streams.values()]) stream.receiveReset();
    this.transport.end();
  }

  private onControl({ type, flags, payload }: ControlFrame): void {
    switch (type) {
      case FrameType.synStream:
        this.onSynStream(flags, payload);
        return;
      case FrameType.rstStream:
        if (payload.length >= 4) this.streams.get(streamIdOf(payload))?.receiveReset();
        return;
      case FrameType.ping:
        // Odd ids are the client's; even ones would answer pings of ours, which there are none of.
        if (payload.length >= 4 && payload.readUInt32BE(0) % 2 === 1)
          this.send(controlFrame(FrameType.ping, 0, payload.subarray(0, 4)));
        return;
      case FrameType.headers:
      case FrameType.synReply:
        // Its content is of no use, but the zlib stream goes through it.
        this.headerReader.read(payload.subarray(4));
        return;
      default:
        return;
    }
  }

  private onSynStream(flags: number, payload: Buffer): void {
    if (payload.length < 10) {
      this.end(goAway(this.lastStreamId, 1));
      return;
    }
    const id = streamIdOf(payload);
    const headers = this.headerReader.read(payload.subarray(10));
    if (this.isClosed) return;
    if (id % 2 === 0 || id <= this.lastStreamId) {
      this.end(goAway(this.lastStreamId, 1));
      return;
    }
    this.lastStreamId = id;
    if (this.streams.size >= MAX_STREAMS) {
      this.send(rstStream(id, RstStatus.refusedStream));
      return;
    }
    const stream = new SpdyStream(this, id, headers);
    this.streams.set(id, stream);
    this.send(synReply(id, this.headerWriter.write(new Map())));
    this.onStream(stream);
    if ((flags & FLAG_FIN) !== 0) stream.receiveEnd();
  }

  private onData(id: number, piece: Buffer, isLast: boolean): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      // Data under way when a stream ends is dropped; a stream that never was is an error.
      if (id > this.lastStreamId) this.send(rstStream(id, RstStatus.invalidStream));
      return;
    }
    if (stream.hasEndedRemotely) {
      this.send(rstStream(id, RstStatus.streamAlreadyClosed));
      stream.receiveReset();
      return;
    }
    if (piece.length > 0 && !stream.receive(piece)) {
      this.full.add(stream);
      this.transport.pause();
    }
    if (isLast) stream.receiveEnd();
  }
}

/** Without the reserved bit. */
function streamIdOf(payload: Buffer): number {
  return payload.readUInt32BE(0) & 0x7fffffff;
}
