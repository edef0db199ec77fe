import { encodePutRequest } from '../../src/gen/rpc.js';
import { MILLISECONDS, RATE, type Bench, type CaseGroup } from '../case.js';
import { Histogram } from '../histogram.js';
import { PATH, valueOf } from '../operations.js';
import { sharedClockUs, type WatchTask } from '../stream-worker.js';
import { startStreams } from '../streams.js';
import { Connection } from '../wire/connection.js';

/** One writer and many watchers: events delivered per second when pushed, and delivery latency at an easy pace. */

const STREAMS = 20;
const VALUE_BYTES = 256;
const MAX_MS = 180_000;

interface FanOut {
  readonly label: string;
  readonly watchers: readonly (readonly [string, string])[];
  /** Keys the writer goes through. */
  readonly keys: readonly string[];
  /** Events that one put causes. */
  readonly eventsPerPut: number;
  /** Puts of the push; the paced part makes a tenth of it, at `pacedPerSecond`. */
  readonly puts: number;
  readonly pacedPerSecond: number;
  readonly target?: number;
}

function fanOuts(quick: boolean): FanOut[] {
  const many = 1000;
  const different = quick ? 2000 : 10_000;
  const keys = (n: number): string[] =>
    Array.from({ length: n }, (_, i) => `watch/${String(i).padStart(6, '0')}`);
  const repeat = (n: number, key: string, end: string): (readonly [string, string])[] =>
    Array.from({ length: n }, () => [key, end] as const);
  const puts = quick ? 300 : 2000;
  return [
    {
      label: '1,000 watchers on one key',
      watchers: repeat(many, 'watch/one', ''),
      keys: ['watch/one'],
      eventsPerPut: many,
      puts,
      pacedPerSecond: 20,
      target: 2,
    },
    {
      label: '1,000 watchers on one prefix',
      watchers: repeat(many, 'watch/', 'watch0'),
      keys: keys(1000),
      eventsPerPut: many,
      puts,
      pacedPerSecond: 20,
      target: 2,
    },
    {
      label: `${different.toLocaleString('en')} watchers on different keys`,
      watchers: keys(different).map((key) => [key, ''] as const),
      keys: keys(different),
      eventsPerPut: 1,
      puts: quick ? 20_000 : 200_000,
      pacedPerSecond: 1000,
    },
  ];
}

export const watch: CaseGroup = {
  name: 'watch',
  title: 'Watch fan-out, one node, one writer',
  members: 1,
  quick: true,
  rounds: 3,
  run: async (bench) => {
    await bench.warmUp();
    for (const fanOut of fanOuts(bench.quick)) {
      const what = fanOut.target === undefined ? RATE : { ...RATE, target: fanOut.target };
      await bench.measure(`events delivered, ${fanOut.label}`, what, () => pushed(bench, fanOut));
      await pacedLatency(bench, fanOut);
    }
  },
};

/** Events per second from the first put to the last delivery. */
async function pushed(bench: Bench, fanOut: FanOut): Promise<number> {
  const events = fanOut.puts * fanOut.eventsPerPut;
  const run = await startStreams(taskFor(bench, fanOut, events), MAX_MS);
  try {
    const began = sharedClockUs();
    await write(bench, fanOut, fanOut.puts, { inFlight: 16, perSecond: 0 });
    const report = await run.report;
    return events / ((report.lastUs - began) / 1e6);
  } finally {
    run.close();
  }
}

async function pacedLatency(bench: Bench, fanOut: FanOut): Promise<void> {
  const puts = fanOut.pacedPerSecond * (bench.quick ? 2 : 10);
  let latency: Histogram | Error;
  try {
    const run = await startStreams(taskFor(bench, fanOut, puts * fanOut.eventsPerPut), MAX_MS);
    try {
      await write(bench, fanOut, puts, { inFlight: 16, perSecond: fanOut.pacedPerSecond });
      latency = new Histogram();
      latency.merge((await run.report).latency);
    } finally {
      run.close();
    }
  } catch (error) {
    latency = error instanceof Error ? error : new Error(String(error));
  }
  const seen = latency;
  for (const percentile of [50, 99]) {
    const label = `put to event at ${String(fanOut.pacedPerSecond)} puts/s, ${fanOut.label}, p${String(percentile)}`;
    await bench.measure(label, MILLISECONDS, () =>
      seen instanceof Error
        ? Promise.reject(seen)
        : Promise.resolve(seen.percentileUs(percentile) / 1000),
    );
  }
}

function taskFor(bench: Bench, fanOut: FanOut, expectedEvents: number): WatchTask {
  return {
    kind: 'watch',
    port: bench.cluster.ports[0] ?? 0,
    connections: STREAMS,
    watchers: fanOut.watchers,
    expectedEvents,
  };
}

/** Puts time-stamped values; at `perSecond` when it is not 0, else as fast as `inFlight` allows. */
async function write(
  bench: Bench,
  fanOut: FanOut,
  puts: number,
  pace: { inFlight: number; perSecond: number },
): Promise<void> {
  const connection = await Connection.open('127.0.0.1', bench.cluster.ports[0] ?? 0);
  const value = valueOf(VALUE_BYTES);
  const stamp = new DataView(value.buffer);
  const keys = fanOut.keys.map((key) => Buffer.from(key, 'latin1'));
  let sent = 0;
  let answered = 0;
  await new Promise<void>((resolve, reject) => {
    const send = (): void => {
      const key = keys[sent++ % keys.length] ?? Buffer.alloc(0);
      stamp.setFloat64(0, sharedClockUs());
      connection.request(PATH.put, encodePutRequest({ key, value }), sink);
    };
    const sink = {
      discard: true,
      message: () => undefined,
      ended: (status: number, text: string): void => {
        if (status !== 0) reject(new Error(`a put failed: ${String(status)} ${text}`));
        else if (++answered === puts) resolve();
        else if (pace.perSecond === 0 && sent < puts) send();
      },
    };
    if (pace.perSecond === 0) {
      while (sent < Math.min(pace.inFlight, puts)) send();
      return;
    }
    const began = performance.now();
    const tick = (): void => {
      while (sent < puts && sent < ((performance.now() - began) * pace.perSecond) / 1000) send();
      if (sent < puts) setTimeout(tick, 1);
    };
    tick();
  }).finally(() => {
    connection.close();
  });
}
