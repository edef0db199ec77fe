/**
 * Deadlines of one connection: for whole frames, room in the socket, signs of life, and the
 * client's end of a refused connection. The transport sweeps each connection once in a while;
 * nothing here has a timer.
 */
import type { TransportOptions } from '../service.js';
import {
  CLOSE_LINGER_MS,
  FRAME_DEADLINE_MS,
  MAX_BACKLOG_BYTES,
  REQUEST_STALL_MS,
  SEND_STALL_MS,
} from './limits.js';
import type { Http2Stream } from './stream.js';

/** Action due on the connection. */
export const Verdict = {
  none: 0,
  /** A frame or header block was begun and not completed in time. */
  frameStalled: 1,
  /** The socket is to be closed without a further word. */
  gone: 2,
  /** The client has been silent: it is asked for a sign of life. */
  ping: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export class ConnectionTimeouts {
  private readonly options: TransportOptions;
  private lastReadMs: number;
  private midFrameSinceMs: number;
  private congestedSinceMs = 0;
  private pingSentMs = 0;
  private endingSinceMs = 0;

  constructor(options: TransportOptions, nowMs: number) {
    this.options = options;
    this.lastReadMs = nowMs;
    this.midFrameSinceMs = nowMs;
  }

  get isEnding(): boolean {
    return this.endingSinceMs > 0;
  }

  /** Bytes were read; `madeProgress`: they completed a frame, or nothing was incomplete before. */
  onRead(nowMs: number, madeProgress: boolean): void {
    this.lastReadMs = nowMs;
    if (madeProgress) this.midFrameSinceMs = nowMs;
  }

  /** The connection waits from now on for the client to close its side. */
  onEnding(nowMs: number): void {
    this.endingSinceMs = nowMs;
  }

  /** True if the client has left so much unread that the connection is given up. */
  onFlushed(nowMs: number, isCongested: boolean, unsentBytes: number): boolean {
    if (!isCongested) {
      this.congestedSinceMs = 0;
      return false;
    }
    if (this.congestedSinceMs === 0) this.congestedSinceMs = nowMs;
    return unsentBytes > MAX_BACKLOG_BYTES;
  }

  sweep(nowMs: number, isMidFrame: boolean): Verdict {
    if (this.isEnding) {
      return nowMs - this.endingSinceMs > CLOSE_LINGER_MS ? Verdict.gone : Verdict.none;
    }
    if (isMidFrame && nowMs - this.midFrameSinceMs > FRAME_DEADLINE_MS) return Verdict.frameStalled;
    if (this.congestedSinceMs > 0 && nowMs - this.congestedSinceMs > SEND_STALL_MS) {
      return Verdict.gone;
    }
    return this.keepAlive(nowMs);
  }

  private keepAlive(nowMs: number): Verdict {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.options;
    if (this.pingSentMs > this.lastReadMs) {
      return nowMs - this.pingSentMs > keepaliveTimeoutMs ? Verdict.gone : Verdict.none;
    }
    if (keepaliveIntervalMs <= 0 || nowMs - this.lastReadMs <= keepaliveIntervalMs) {
      return Verdict.none;
    }
    this.pingSentMs = nowMs;
    return Verdict.ping;
  }
}

/** Queued data of the stream has not got on for too long. */
export function isSendStalled({ sending }: Http2Stream, nowMs: number): boolean {
  if (sending === undefined || sending.queuedBytes === 0) return false;
  return nowMs - sending.lastProgressMs > SEND_STALL_MS;
}

/** The rest of a request message has not come for too long. */
export function isRequestStalled(stream: Http2Stream, nowMs: number): boolean {
  return stream.awaitsRequest && nowMs - stream.lastReceivedMs > REQUEST_STALL_MS;
}
