import {
  decodeLeaseKeepAliveResponse,
  decodeWatchResponse,
  encodeLeaseKeepAliveRequest,
  encodeWatchRequest,
} from '../src/gen/rpc.js';
import { BusyMeter, type Busy } from './busy.js';
import { Histogram, type HistogramData } from './histogram.js';
import { PATH } from './operations.js';
import { Connection, type Call } from './wire/connection.js';

/**
 * A process that holds many streams: watchers that count events and measure their way from the writer, or lease
 * keep-alives with a fixed number in flight. Started by streams.ts.
 *
 * Watchers count in phases. The first event begins one, an order from the writer gives its number
 * of events, and the report follows the last of them. So the writer can go by time, and a first
 * phase can warm everything up.
 */

export interface WatchTask {
  readonly kind: 'watch';
  readonly port: number;
  /** One watch stream on each. */
  readonly connections: number;
  /** Latin1 key and range end of each watcher; watchers are spread over the streams. */
  readonly watchers: readonly (readonly [string, string])[];
  /** Every how many responses one is decoded whole, for its events' time stamps; 0 for none. */
  readonly sampleEvery: number;
}

/** From the writer: how many events this phase has. */
export interface WatchOrder {
  readonly expect: number;
}

export interface KeepAliveTask {
  readonly kind: 'keepalive';
  readonly port: number;
  readonly connections: number;
  readonly inFlight: number;
  /** Leases are numbered from 1. */
  readonly leases: number;
  readonly durationMs: number;
}

export interface StreamReport {
  readonly count: number;
  /** System-wide monotonic time of the last event, microseconds. */
  readonly lastUs: number;
  readonly seconds: number;
  readonly latency: HistogramData;
  readonly busy: Busy;
}

/** Field 11, length-delimited: WatchResponse.events. */
const EVENTS_TAG = 0x5a;

/** Monotonic microseconds shared by all processes of the machine. */
export function sharedClockUs(): number {
  return Number(process.hrtime.bigint()) / 1000;
}

const meter = new BusyMeter();
let latency = new Histogram();
let count = 0;

async function watch(task: WatchTask): Promise<void> {
  const streams: Call[] = [];
  let created = 0;
  let seen = 0;
  let lastUs = 0;
  let expected: number | null = null;
  let allCreated: (() => void) | null = null;
  const message = (buf: Uint8Array, start: number, end: number): void => {
    if (created < task.watchers.length) {
      const response = decodeWatchResponse(buf, start, end);
      if (response.canceled) die(`a watch was cancelled: ${response.cancelReason}`);
      if (response.created && ++created === task.watchers.length) allCreated?.();
      return;
    }
    if (count === 0) meter.start();
    count += countEvents(buf, start, end);
    lastUs = sharedClockUs();
    if (++seen % task.sampleEvery === 0) sample(buf, start, end);
    if (expected !== null) compare();
  };
  const compare = (): void => {
    if (count === expected) {
      expected = null;
      report(lastUs, 0);
    } else if (expected !== null && count > expected) {
      die('more events than puts');
    }
  };
  process.on('message', (order: WatchOrder) => {
    expected = order.expect;
    compare();
  });
  for (let i = 0; i < task.connections; i++) {
    const connection = await Connection.open('127.0.0.1', task.port);
    const ended = (status: number, text: string): void => {
      die(`a watch stream ended: ${String(status)} ${text}`);
    };
    streams.push(connection.stream(PATH.watch, { discard: false, message, ended }));
  }
  task.watchers.forEach(([key, rangeEnd], i) => {
    const createRequest = {
      key: Buffer.from(key, 'latin1'),
      rangeEnd: Buffer.from(rangeEnd, 'latin1'),
    };
    streams[i % streams.length]?.send(encodeWatchRequest({ createRequest }));
  });
  await new Promise<void>((resolve) => {
    allCreated = resolve;
  });
  process.send?.('ready');
}

/** Counts the events of a response without decoding them. */
function countEvents(buf: Uint8Array, start: number, end: number): number {
  let events = 0;
  let pos = start;
  while (pos < end) {
    const tag = buf[pos++] ?? 0;
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = buf[pos++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    if ((tag & 7) === 2) pos += value;
    if (tag === EVENTS_TAG) events++;
  }
  return events;
}

/** A value begins with the writer's time stamp. */
function sample(buf: Uint8Array, start: number, end: number): void {
  const now = sharedClockUs();
  for (const event of decodeWatchResponse(buf, start, end).events) {
    const value = event.kv?.value;
    if (value === undefined || value.length < 8) continue;
    const delayUs = now - new DataView(value.buffer, value.byteOffset).getFloat64(0);
    if (delayUs < 0) die('an event came before its put: the clocks differ');
    latency.record(delayUs);
  }
}

async function keepAlive(task: KeepAliveTask): Promise<void> {
  const total = task.connections * task.inFlight;
  let measuring = false;
  let stopped = false;
  let turn = 0;
  const send = (stream: Call): void => {
    stream.send(encodeLeaseKeepAliveRequest({ ID: BigInt(1 + (turn++ % task.leases)) }));
  };
  const streams: Call[] = [];
  for (let i = 0; i < task.connections; i++) {
    const connection = await Connection.open('127.0.0.1', task.port);
    const stream: Call = connection.stream(PATH.leaseKeepAlive, {
      discard: false,
      message: (buf, start, end) => {
        if (decodeLeaseKeepAliveResponse(buf, start, end).TTL <= 0) die('a lease was gone');
        if (measuring) count++;
        if (!stopped) send(stream);
      },
      ended: (status, text) => {
        die(`a keep-alive stream ended: ${String(status)} ${text}`);
      },
    });
    streams.push(stream);
  }
  process.send?.('ready');
  for (let i = 0; i < total; i++) {
    const stream = streams[i % streams.length];
    if (stream !== undefined) send(stream);
  }
  setTimeout(() => {
    measuring = true;
    meter.start();
    const began = performance.now();
    setTimeout(() => {
      stopped = true;
      report(sharedClockUs(), (performance.now() - began) / 1000);
    }, task.durationMs);
  }, 500);
}

function report(lastUs: number, seconds: number): void {
  const busy = meter.shares();
  const message: StreamReport = { count, lastUs, seconds, latency: latency.toData(), busy };
  process.send?.(message);
  count = 0;
  latency = new Histogram();
}

function die(reason: string): never {
  process.send?.(`failed: ${reason} (${String(count)} counted so far)`, () => {
    process.exit(1);
  });
  throw new Error(reason);
}

process.once('message', (task: WatchTask | KeepAliveTask) => {
  const work = task.kind === 'watch' ? watch(task) : keepAlive(task);
  work.catch((error: unknown) => {
    process.send?.(`failed: ${String(error)}`);
  });
});
process.on('disconnect', () => {
  process.exit(0);
});
