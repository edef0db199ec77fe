/**
 * The frames that are about the connection rather than one call: SETTINGS, PING, WINDOW_UPDATE, PRIORITY, GOAWAY and
 * those this server does not know.
 */
import {
  ErrorCode,
  Flag,
  FrameType,
  MAX_MAX_FRAME_BYTES,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  Setting,
  readStreamId,
} from './frames.js';
import {
  Allowance,
  IDLE_FRAME_BURST,
  IDLE_FRAMES_PER_SECOND,
  IDLE_PING_INTERVAL_MS,
} from './limits.js';
import { PingPolicy } from './ping-policy.js';
import type { Sender } from './sender.js';
import type { Http2Stream } from './stream.js';
import type { StreamTable } from './stream-table.js';

const SETTING_BYTES = 6;
const PRIORITY_BYTES = 5;
const GOAWAY_BYTES = 8;

/** Contents of the server's pings. */
export const PING_KEEPALIVE = 1;
export const PING_DRAIN = 2;

/** The connection, as these frames act on it. */
export interface ControlOwner {
  readonly nowMs: number;
  onFault(code: ErrorCode, reason: string): void;
  resetStream(stream: Http2Stream, code: ErrorCode): void;
  /** The client has heard that the connection is to end. */
  onDrainAnswered(): void;
}

export class ControlFrames {
  /** False until the client's first SETTINGS. */
  settingsSeen = false;
  private readonly owner: ControlOwner;
  private readonly sender: Sender;
  private readonly streams: StreamTable;
  private readonly minPingIntervalMs: number;
  private readonly idleFrames: Allowance;
  private readonly pings = new PingPolicy();

  constructor(
    owner: ControlOwner,
    sender: Sender,
    streams: StreamTable,
    minPingIntervalMs: number,
  ) {
    this.owner = owner;
    this.sender = sender;
    this.streams = streams;
    this.minPingIntervalMs = minPingIntervalMs;
    this.idleFrames = new Allowance(IDLE_FRAME_BURST, IDLE_FRAMES_PER_SECOND, owner.nowMs);
  }

  /** Acts on a frame of any type but DATA, HEADERS, CONTINUATION and RST_STREAM. */
  onFrame(
    type: number,
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    switch (type) {
      case FrameType.windowUpdate:
        this.onWindowUpdate(streamId, buffer, start, end);
        break;
      case FrameType.ping:
        this.onPing(flags, streamId, buffer, start, end);
        break;
      case FrameType.settings:
        this.onSettings(flags, streamId, buffer, start, end);
        break;
      case FrameType.priority:
        this.onPriority(streamId, buffer, start, end);
        break;
      case FrameType.goaway:
        if (streamId !== 0) this.fault(ErrorCode.protocolError, 'GOAWAY on a stream');
        else if (end - start < GOAWAY_BYTES) this.fault(ErrorCode.frameSizeError, 'short GOAWAY');
        break;
      case FrameType.pushPromise:
        this.fault(ErrorCode.protocolError, 'PUSH_PROMISE from a client');
        break;
      default:
        this.countIdleFrame();
    }
  }

  private onPing(
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (streamId !== 0) {
      this.fault(ErrorCode.protocolError, 'PING on a stream');
      return;
    }
    if (end - start !== 8) {
      this.fault(ErrorCode.frameSizeError, 'PING of wrong size');
      return;
    }
    if ((flags & Flag.ack) !== 0) {
      const isDrain =
        buffer.readUInt32BE(start) === 0 && buffer.readUInt32BE(start + 4) === PING_DRAIN;
      if (isDrain) this.owner.onDrainAnswered();
      return;
    }
    this.sender.writePingAck(buffer, start);
    const intervalMs = this.streams.size > 0 ? this.minPingIntervalMs : IDLE_PING_INTERVAL_MS;
    if (!this.pings.allow(this.owner.nowMs, intervalMs, this.sender)) {
      this.fault(ErrorCode.enhanceYourCalm, 'too_many_pings');
    }
  }

  private onSettings(
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (streamId !== 0) {
      this.fault(ErrorCode.protocolError, 'SETTINGS on a stream');
      return;
    }
    const isAck = (flags & Flag.ack) !== 0;
    if (isAck ? end !== start : (end - start) % SETTING_BYTES !== 0) {
      this.fault(ErrorCode.frameSizeError, 'SETTINGS of wrong size');
      return;
    }
    this.settingsSeen = true;
    if (isAck || !this.countIdleFrame()) return;
    for (let at = start; at < end; at += SETTING_BYTES) {
      if (!this.applySetting(buffer.readUInt16BE(at), buffer.readUInt32BE(at + 2))) return;
    }
    this.sender.writeSettingsAck();
  }

  private applySetting(id: number, value: number): boolean {
    switch (id) {
      case Setting.initialWindowSize:
        return this.applyInitialWindow(value);
      case Setting.maxFrameSize:
        if (value < MIN_MAX_FRAME_BYTES || value > MAX_MAX_FRAME_BYTES) {
          this.fault(ErrorCode.protocolError, 'frame size out of range');
          return false;
        }
        this.sender.peerMaxFrame = value;
        return true;
      case Setting.enablePush:
        if (value > 1) {
          this.fault(ErrorCode.protocolError, 'ENABLE_PUSH out of range');
          return false;
        }
        return true;
      default:
        // The others bound what this server never does: index header fields, open streams, send long header lists.
        return true;
    }
  }

  private applyInitialWindow(value: number): boolean {
    if (value > MAX_WINDOW) {
      this.fault(ErrorCode.flowControlError, 'initial window out of range');
      return false;
    }
    const change = value - this.streams.initialSendWindow;
    this.streams.initialSendWindow = value;
    for (const stream of this.streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW) {
        this.fault(ErrorCode.flowControlError, 'window overflow');
        return false;
      }
      if (stream.sending !== undefined) this.sender.startSending(stream);
    }
    return true;
  }

  private onPriority(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (streamId === 0) this.fault(ErrorCode.protocolError, 'PRIORITY without a stream');
    else if (end - start !== PRIORITY_BYTES)
      this.fault(ErrorCode.frameSizeError, 'PRIORITY of wrong size');
    else if (readStreamId(buffer, start) === streamId)
      this.fault(ErrorCode.protocolError, 'stream depends on itself');
    else this.countIdleFrame();
  }

  /** Counts a frame that asks for nothing; false when there were too many. */
  countIdleFrame(): boolean {
    if (this.idleFrames.take(this.owner.nowMs)) return true;
    this.fault(ErrorCode.enhanceYourCalm, 'too many frames without effect');
    return false;
  }

  private onWindowUpdate(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 4) {
      this.fault(ErrorCode.frameSizeError, 'WINDOW_UPDATE of wrong size');
      return;
    }
    const increment = buffer.readUInt32BE(start) & 0x7fffffff;
    if (streamId === 0) {
      if (increment === 0) this.fault(ErrorCode.protocolError, 'window increment of zero');
      else if (!this.sender.openWindow(increment)) {
        this.fault(ErrorCode.flowControlError, 'window overflow');
      }
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (streamId > this.streams.lastId)
        this.fault(ErrorCode.protocolError, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    stream.sendWindow += increment;
    if (increment === 0) this.owner.resetStream(stream, ErrorCode.protocolError);
    else if (stream.sendWindow > MAX_WINDOW)
      this.owner.resetStream(stream, ErrorCode.flowControlError);
    else if (stream.sending !== undefined) this.sender.startSending(stream);
  }

  private fault(code: ErrorCode, reason: string): void {
    this.owner.onFault(code, reason);
  }
}
