import { encodePutRequest } from '../../src/gen/rpc.js';
import { busiest, BusyMeter } from '../busy.js';
import { MILLISECONDS, RATE, type Bench, type CaseGroup, type Metered } from '../case.js';
import { Histogram } from '../histogram.js';
import { PATH, valueOf } from '../operations.js';
import { sharedClockUs, type StreamReport, type WatchTask } from '../stream-worker.js';
import { startStreams, type StreamRun } from '../streams.js';
import { Connection } from '../wire/connection.js';

/**
 * One writer and many watchers: events delivered per second when pushed, and delivery latency at an easy pace.
 *
 * Each is measured after a first part that does not count: a server's first second with new watchers is not how it
 * goes on.
 */

const STREAMS = 20;
const VALUE_BYTES = 256;
const MAX_MS = 180_000;
/** Puts of the one writer that are under way at once when it pushes. */
const IN_FLIGHT = 16;
/** At an easy pace, one response in so many is looked at for its delay where every put has a thousand. */
const SAMPLE_PACED = 16;

interface FanOut {
  readonly label: string;
  readonly watchers: readonly (readonly [string, string])[];
  /** Keys the writer goes through. */
  readonly keys: readonly string[];
  /** Events that one put causes. */
  readonly eventsPerPut: number;
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
  return [
    {
      label: '1,000 watchers on one key',
      watchers: repeat(many, 'watch/one', ''),
      keys: ['watch/one'],
      eventsPerPut: many,
      pacedPerSecond: 100,
      target: 2,
    },
    {
      label: '1,000 watchers on one prefix',
      watchers: repeat(many, 'watch/', 'watch0'),
      keys: keys(1000),
      eventsPerPut: many,
      pacedPerSecond: 100,
      target: 2,
    },
    {
      label: `${different.toLocaleString('en')} watchers on different keys`,
      watchers: keys(different).map((key) => [key, ''] as const),
      keys: keys(different),
      eventsPerPut: 1,
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
  minutes: 3.5,
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
async function pushed(bench: Bench, fanOut: FanOut): Promise<Metered> {
  const run = await startStreams(taskFor(bench, fanOut, 0), MAX_MS);
  try {
    await phase(bench, fanOut, run, { ms: bench.warmupMs, perSecond: 0 });
    const meter = new BusyMeter();
    meter.start();
    const { events, beganUs, report } = await phase(bench, fanOut, run, {
      ms: bench.durationMs,
      perSecond: 0,
    });
    const busy = busiest([report.busy, meter.shares()]);
    return { value: events / ((report.lastUs - beganUs) / 1e6), busy };
  } finally {
    run.close();
  }
}

async function pacedLatency(bench: Bench, fanOut: FanOut): Promise<void> {
  const perSecond = fanOut.pacedPerSecond;
  const sampleEvery = fanOut.eventsPerPut === 1 ? 1 : SAMPLE_PACED;
  let latency: Histogram | Error;
  try {
    const run = await startStreams(taskFor(bench, fanOut, sampleEvery), MAX_MS);
    try {
      await phase(bench, fanOut, run, { ms: bench.warmupMs, perSecond });
      const { report } = await phase(bench, fanOut, run, { ms: 2 * bench.durationMs, perSecond });
      latency = new Histogram();
      latency.merge(report.latency);
    } finally {
      run.close();
    }
  } catch (error) {
    latency = error instanceof Error ? error : new Error(String(error));
  }
  const seen = latency;
  for (const percentile of [50, 99]) {
    const label = `put to event at ${String(perSecond)} puts/s, ${fanOut.label}, p${String(percentile)}`;
    await bench.measure(label, MILLISECONDS, () =>
      seen instanceof Error
        ? Promise.reject(seen)
        : Promise.resolve(seen.percentileUs(percentile) / 1000),
    );
  }
}

/** Writes for a time, and waits until every event of it was seen. */
async function phase(
  bench: Bench,
  fanOut: FanOut,
  run: StreamRun,
  pace: Pace,
): Promise<{ events: number; beganUs: number; report: StreamReport }> {
  const beganUs = sharedClockUs();
  const events = (await write(bench, fanOut, pace)) * fanOut.eventsPerPut;
  return { events, beganUs, report: await run.expect(events) };
}

function taskFor(bench: Bench, fanOut: FanOut, sampleEvery: number): WatchTask {
  return {
    kind: 'watch',
    port: bench.cluster.ports[0] ?? 0,
    connections: STREAMS,
    watchers: fanOut.watchers,
    sampleEvery,
  };
}

interface Pace {
  readonly ms: number;
  /** 0 for as fast as IN_FLIGHT puts at once allow. */
  readonly perSecond: number;
}

/** Puts time-stamped values; resolves with their number when all are answered. */
async function write(bench: Bench, fanOut: FanOut, pace: Pace): Promise<number> {
  const connection = await Connection.open('127.0.0.1', bench.cluster.ports[0] ?? 0);
  const value = valueOf(VALUE_BYTES);
  const stamp = new DataView(value.buffer);
  const keys = fanOut.keys.map((key) => Buffer.from(key, 'latin1'));
  const began = performance.now();
  let sent = 0;
  let answered = 0;
  let isOver = false;
  try {
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
          answered++;
          if (status !== 0) reject(new Error(`a put failed: ${String(status)} ${text}`));
          else if (pace.perSecond === 0 && performance.now() - began < pace.ms) send();
          else if (pace.perSecond === 0 || isOver) {
            if (answered === sent) resolve();
          }
        },
      };
      if (pace.perSecond === 0) {
        while (sent < IN_FLIGHT) send();
        return;
      }
      const tick = (): void => {
        const elapsedMs = performance.now() - began;
        const due = (Math.min(elapsedMs, pace.ms) * pace.perSecond) / 1000;
        while (sent < due) send();
        isOver = elapsedMs >= pace.ms;
        if (!isOver) setTimeout(tick, 1);
        else if (answered === sent) resolve();
      };
      tick();
    });
  } finally {
    connection.close();
  }
  return sent;
}
