import { decodeWatchRequest } from '../../gen/rpc.js';
import type { WatchCreateRequest } from '../../gen/rpc.js';
import type { Interval } from '../../base/collections/interval.js';
import type { WatchCreate, WatchStream, WatchStreamOptions } from '../../watch/stream.js';
import type { Method, RpcError, StreamCall } from '../../rpc/service.js';
import { intervalOf } from '../contract/interval.js';
import { errors } from '../contract/errors.js';
import type { Roles } from '../contract/roles.js';
import { refusingMalformed } from './decode.js';
import { LeaderRequired } from './leader-required.js';

export type WatchRoles = Pick<Roles, 'env' | 'headers' | 'hub' | 'leadership'>;

export interface WatchServiceOptions {
  readonly progressIntervalMs: number;
  readonly maxRequestBytes: number;
}

/** Room a transport leaves above the greatest request; a response may be as large as a message received. */
const MESSAGE_OVERHEAD_BYTES = 512 * 1024;
const MIN_PROGRESS_INTERVAL_MS = 100;
/** The key that stands for an empty one: the smallest there is. */
const SMALLEST_KEY = Uint8Array.of(0);

const Filter = { noPut: 0, noDelete: 1 } as const;

/**
 * etcdserverpb.Watch: one stream carries any number of watchers. What the client's requests mean is said here; the
 * watchers themselves live in the hub (src/watch/hub.ts).
 *
 * While the client does not read, its requests are not read either: each has an answer that would have to be kept.
 */
export function watchService(roles: WatchRoles, options: WatchServiceOptions): [string, Method][] {
  const leaderRequired = new LeaderRequired(roles);
  const streamOptions: WatchStreamOptions = {
    progressIntervalMs: Math.max(options.progressIntervalMs, MIN_PROGRESS_INTERVAL_MS),
    fragmentBytes: options.maxRequestBytes + MESSAGE_OVERHEAD_BYTES,
  };
  const handle = (call: StreamCall): void => {
    serveStream(roles, call, streamOptions, leaderRequired);
  };
  return [['/etcdserverpb.Watch/Watch', { kind: 'stream', streamType: 'bidi_stream', handle }]];
}

function serveStream(
  roles: WatchRoles,
  call: StreamCall,
  options: WatchStreamOptions,
  leaderRequired: LeaderRequired,
): void {
  const stream = roles.hub.openStream(
    {
      headerField: (revision) => roles.headers.field(revision),
      write: (front, body) => {
        const hasRoom = call.write(front, body);
        if (!hasRoom) call.pause();
        return hasRoom;
      },
      stopped: () => end(errors.stopped),
    },
    options,
  );
  const end = (error: RpcError): void => {
    release();
    call.fail(error);
  };
  const release = (): void => {
    stopGuarding();
    stream.close();
  };
  const stopGuarding = leaderRequired.guard(call, end);
  call.onCancel(release);
  call.onDrain(() => {
    call.resume();
    stream.drained();
  });
  // A client that will ask for nothing more still wants its events: half-closing ends nothing.
  call.onHalfClose(() => undefined);
  call.onMessage((message) => {
    refusingMalformed(() => handleRequest(stream, message), end);
  });
}

function handleRequest(stream: WatchStream, message: Uint8Array): void {
  const request = decodeWatchRequest(message);
  if (request.createRequest !== undefined) stream.create(createOf(request.createRequest));
  else if (request.cancelRequest !== undefined) stream.cancel(request.cancelRequest.watchId);
  else if (request.progressRequest !== undefined) stream.requestProgress();
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
