/** A service whose calls a test holds in its hands. */
import type { Method, StreamCall, UnaryCall } from '../../../src/rpc/service.js';

/** Answers with what it was sent. */
export const ECHO = '/test.Svc/Echo';
/** Answers when the test does. */
export const WAIT = '/test.Svc/Wait';
/** A stream in both directions that the handler ends at the half-close. */
export const STREAM = '/test.Svc/Stream';

export class CallRecorder {
  /** Calls of WAIT. */
  unary: UnaryCall[] = [];
  /** Calls of STREAM. */
  streams: StreamCall[] = [];
  /** Messages of STREAM. */
  received: Buffer[] = [];
  /** Calls of WAIT and STREAM that ended before the handler ended them. */
  cancelled = 0;
  readonly table: ReadonlyMap<string, Method>;

  /** `onMessage` acts on the messages of STREAM; they are kept unless given. */
  constructor(onMessage?: (message: Uint8Array, call: StreamCall) => void) {
    const keep = (message: Uint8Array): void => void this.received.push(Buffer.from(message));
    const take = onMessage ?? keep;
    this.table = new Map<string, Method>([
      [ECHO, { kind: 'unary', handle: (body, call) => call.reply(body.slice()) }],
      [WAIT, { kind: 'unary', handle: (_body, call) => this.hold(this.unary, call) }],
      [
        STREAM,
        {
          kind: 'stream',
          streamType: 'bidi_stream',
          handle: (call) => {
            this.hold(this.streams, call);
            call.onMessage((message) => take(message, call));
            call.onHalfClose(() => call.end());
          },
        },
      ],
    ]);
  }

  private hold<T extends UnaryCall | StreamCall>(calls: T[], call: T): void {
    calls.push(call);
    call.onCancel(() => this.cancelled++);
  }

  clear(): void {
    this.unary = [];
    this.streams = [];
    this.received = [];
    this.cancelled = 0;
  }
}
