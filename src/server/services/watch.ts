import { decodeWatchRequest } from '../../gen/rpc.js';
import type { WatchCreateRequest } from '../../gen/rpc.js';
import type { Job } from '../../base/slices/sliced-work.js';
import type { Interval } from '../../base/collections/interval.js';
import type { WatchCreate, WatchStream, WatchStreamOptions } from '../../watch/stream.js';
import type { Method, RpcError, StreamCall } from '../../rpc/service.js';
import { intervalOf } from '../contract/interval.js';
import { errors } from '../contract/errors.js';
import type { Roles } from '../contract/roles.js';
import { refusingMalformed } from './decode.js';
import { LeaderRequired } from './leader-required.js';
import { RequestFlow } from './request-flow.js';
import {
  MESSAGE_OVERHEAD_BYTES,
  MIN_PROGRESS_INTERVAL_MS,
  WATCH_REQUESTS_PER_LOOK,
  WATCH_REQUESTS_WAITING,
} from './limits.js';

export type WatchRoles = Pick<Roles, 'env' | 'headers' | 'hub' | 'leadership' | 'reads'>;

export interface WatchServiceOptions {
  readonly progressIntervalMs: number;
  readonly maxRequestBytes: number;
}

/** The key that stands for an empty one: the smallest there is. */
const SMALLEST_KEY = Uint8Array.of(0);

const Filter = { noPut: 0, noDelete: 1 } as const;

/**
 * etcdserverpb.Watch: one stream carries any number of watchers. This file reads the client's requests; the
 * watchers themselves live in the hub (src/watch/hub.ts).
 *
 * Requests are handled in their order, in the time that long work has in a turn. A client that
 * creates watchers by the thousand delays no other client. While many of them wait, or while the
 * client does not read, no more are read: each has an answer that would have to be kept.
 */
export function watchService(roles: WatchRoles, options: WatchServiceOptions): [string, Method][] {
  const leaderRequired = new LeaderRequired(roles);
  const streamOptions: WatchStreamOptions = {
    progressIntervalMs: Math.max(options.progressIntervalMs, MIN_PROGRESS_INTERVAL_MS),
    fragmentBytes: options.maxRequestBytes + MESSAGE_OVERHEAD_BYTES,
  };
  const handle = (call: StreamCall): void => {
    new WatchCall(roles, call, streamOptions, leaderRequired);
  };
  return [['/etcdserverpb.Watch/Watch', { kind: 'stream', streamType: 'bidi_stream', handle }]];
}

/** A request of the client, decoded: its bytes belong to the transport. */
type Request = (stream: WatchStream) => void;

class WatchCall implements Job {
  private readonly roles: WatchRoles;
  private readonly call: StreamCall;
  private readonly stream: WatchStream;
  private readonly flow: RequestFlow;
  private readonly stopGuarding: () => void;
  private waiting: Request[] = [];
  private isWorking = false;
  private isFull = false;
  private hasEnded = false;

  constructor(
    roles: WatchRoles,
    call: StreamCall,
    options: WatchStreamOptions,
    leaderRequired: LeaderRequired,
  ) {
    this.roles = roles;
    this.call = call;
    this.flow = new RequestFlow(call, WATCH_REQUESTS_WAITING);
    this.stream = roles.hub.openStream(
      {
        headerField: (revision) => roles.headers.field(revision),
        write: (front, body) => this.write(front, body),
        stopped: () => this.fail(errors.stopped),
      },
      options,
    );
    this.stopGuarding = leaderRequired.guard(call, (error) => this.fail(error));
    call.onCancel(() => this.release());
    call.onDrain(() => {
      this.isFull = false;
      this.flowControl();
      this.stream.drained();
    });
    // A client that will ask for nothing more still wants its events: half-closing ends nothing.
    call.onHalfClose(() => undefined);
    call.onMessage((message) => {
      refusingMalformed(
        () => this.take(message),
        (error) => this.fail(error),
      );
    });
  }

  get isOver(): boolean {
    return this.hasEnded;
  }

  onOver(): void {
    this.waiting = [];
  }

  private take(message: Uint8Array): void {
    if (this.hasEnded) return;
    const request = requestOf(message);
    if (request === null) return;
    this.waiting.push(request);
    if (!this.isWorking) this.work();
    this.flowControl();
  }

  private work(): void {
    this.isWorking = true;
    let next = 0;
    const step = (): boolean => {
      for (let i = 0; i < WATCH_REQUESTS_PER_LOOK && !this.hasEnded; i++) {
        this.waiting[next++]?.(this.stream);
      }
      return this.hasEnded || next >= this.waiting.length;
    };
    this.roles.reads.slices.run(this, step, () => {
      this.waiting = [];
      this.isWorking = false;
      this.flowControl();
    });
  }

  private write(front: Uint8Array, body: Uint8Array): boolean {
    const hasRoom = this.call.write(front, body);
    if (!hasRoom) {
      this.isFull = true;
      this.flowControl();
    }
    return hasRoom;
  }

  private flowControl(): void {
    if (!this.hasEnded) this.flow.update(this.isFull, this.waiting.length);
  }

  private fail(error: RpcError): void {
    this.release();
    this.call.fail(error);
  }

  private release(): void {
    this.hasEnded = true;
    this.stopGuarding();
    this.stream.close();
  }
}

/** Null for a request without a known field. */
function requestOf(message: Uint8Array): Request | null {
  const { createRequest, cancelRequest, progressRequest } = decodeWatchRequest(message);
  if (createRequest !== undefined) {
    const create = createOf(createRequest);
    return (stream) => stream.create(create);
  }
  if (cancelRequest !== undefined) {
    const { watchId } = cancelRequest;
    return (stream) => stream.cancel(watchId);
  }
  return progressRequest === undefined ? null : (stream) => stream.requestProgress();
}

function createOf(request: WatchCreateRequest): WatchCreate {
  const { filters } = request;
  return {
    interval: watchedInterval(request.key, request.rangeEnd),
    startRevision: request.startRevision,
    watchId: request.watchId,
    prevKv: request.prevKv,
    noPut: filters.includes(Filter.noPut),
    noDelete: filters.includes(Filter.noDelete),
    progressNotify: request.progressNotify,
    fragment: request.fragment,
  };
}

/** Null when the interval contains no key. */
function watchedInterval(key: Uint8Array, rangeEnd: Uint8Array): Interval | null {
  const interval = intervalOf(key.length === 0 ? SMALLEST_KEY : key, rangeEnd);
  return interval.end === null || interval.end > interval.start ? interval : null;
}
