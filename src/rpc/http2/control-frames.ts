/**
 * The frames that are about the connection rather than one call: SETTINGS, PING, WINDOW_UPDATE,
 * PRIORITY, GOAWAY and unknown ones.
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
import type { FrameCursor } from './frame-cursor.js';
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
const PING_BYTES = 8;
const WINDOW_UPDATE_BYTES = 4;

/** Contents of the server's pings. */
export const PING_KEEPALIVE = 1;
export const PING_DRAIN = 2;

/** The connection, as these frames act on it. */
export interface ControlOwner {
  readonly nowMs: number;
  onFault(code: ErrorCode, reason: string): void;
  resetStream(stream: Http2Stream, code: ErrorCode): void;
  /** The same for a stream that may have ended. */
  resetStreamId(streamId: number, code: ErrorCode): void;
  /** The client confirmed that the connection is to end. */
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
  /** Initial window as the SETTINGS frame at hand sets it. */
  private initialWindow = 0;

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
  onFrame(frame: FrameCursor): void {
    switch (frame.type) {
      case FrameType.windowUpdate:
        this.onWindowUpdate(frame);
        break;
      case FrameType.ping:
        this.onPing(frame);
        break;
      case FrameType.settings:
        this.onSettings(frame);
        break;
      case FrameType.priority:
        this.onPriority(frame);
        break;
      case FrameType.goaway:
        if (frame.streamId !== 0) this.fault(ErrorCode.protocolError, 'GOAWAY on a stream');
        else if (frame.length < GOAWAY_BYTES) this.fault(ErrorCode.frameSizeError, 'short GOAWAY');
        break;
      case FrameType.pushPromise:
        this.fault(ErrorCode.protocolError, 'PUSH_PROMISE from a client');
        break;
      default:
        this.countIdleFrame();
    }
  }

  private onPing(frame: FrameCursor): void {
    const { buffer, start } = frame;
    if (frame.streamId !== 0) {
      this.fault(ErrorCode.protocolError, 'PING on a stream');
      return;
    }
    if (frame.length !== PING_BYTES) {
      this.fault(ErrorCode.frameSizeError, 'PING of wrong size');
      return;
    }
    if (frame.has(Flag.ack)) {
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

  private onSettings(frame: FrameCursor): void {
    const { buffer, start, end } = frame;
    if (frame.streamId !== 0) {
      this.fault(ErrorCode.protocolError, 'SETTINGS on a stream');
      return;
    }
    const isAck = frame.has(Flag.ack);
    if (isAck ? end !== start : frame.length % SETTING_BYTES !== 0) {
      this.fault(ErrorCode.frameSizeError, 'SETTINGS of wrong size');
      return;
    }
    this.settingsSeen = true;
    if (isAck || !this.countIdleFrame()) return;
    this.initialWindow = this.streams.initialSendWindow;
    for (let at = start; at < end; at += SETTING_BYTES) {
      if (!this.applySetting(buffer.readUInt16BE(at), buffer.readUInt32BE(at + 2))) return;
    }
    if (!this.changeInitialWindow()) return;
    this.sender.writeSettingsAck();
  }

  private applySetting(id: number, value: number): boolean {
    switch (id) {
      case Setting.initialWindowSize:
        if (value > MAX_WINDOW) {
          this.fault(ErrorCode.flowControlError, 'initial window out of range');
          return false;
        }
        this.initialWindow = value;
        return true;
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

  /** Once a frame, however often it names the window: every open stream is concerned. */
  private changeInitialWindow(): boolean {
    const change = this.initialWindow - this.streams.initialSendWindow;
    if (change === 0) return true;
    this.streams.initialSendWindow = this.initialWindow;
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

  private onPriority(frame: FrameCursor): void {
    const { streamId } = frame;
    if (streamId === 0) this.fault(ErrorCode.protocolError, 'PRIORITY without a stream');
    else if (frame.length !== PRIORITY_BYTES)
      this.fault(ErrorCode.frameSizeError, 'PRIORITY of wrong size');
    else if (readStreamId(frame.buffer, frame.start) === streamId)
      this.fault(ErrorCode.protocolError, 'stream depends on itself');
    else this.countIdleFrame();
  }

  /** Counts a frame that asks for nothing; false when there were too many. */
  countIdleFrame(): boolean {
    if (this.idleFrames.take(this.owner.nowMs)) return true;
    this.fault(ErrorCode.enhanceYourCalm, 'too many frames without effect');
    return false;
  }

  private onWindowUpdate(frame: FrameCursor): void {
    const { streamId } = frame;
    if (frame.length !== WINDOW_UPDATE_BYTES) {
      this.fault(ErrorCode.frameSizeError, 'WINDOW_UPDATE of wrong size');
      return;
    }
    const increment = frame.buffer.readUInt32BE(frame.start) & MAX_WINDOW;
    if (streamId !== 0) this.openStreamWindow(streamId, increment);
    else if (increment === 0) this.fault(ErrorCode.protocolError, 'window increment of zero');
    else if (!this.sender.openWindow(increment)) {
      this.fault(ErrorCode.flowControlError, 'window overflow');
    }
  }

  private openStreamWindow(streamId: number, increment: number): void {
    if (streamId > this.streams.lastId) {
      this.fault(ErrorCode.protocolError, 'WINDOW_UPDATE on an idle stream');
    } else if (increment === 0) {
      // An error of the stream in every state (RFC 9113, 6.9).
      this.owner.resetStreamId(streamId, ErrorCode.protocolError);
    } else {
      const stream = this.streams.get(streamId);
      if (stream !== undefined && !this.sender.openStreamWindow(stream, increment)) {
        this.owner.resetStream(stream, ErrorCode.flowControlError);
      }
    }
  }

  private fault(code: ErrorCode, reason: string): void {
    this.owner.onFault(code, reason);
  }
}
