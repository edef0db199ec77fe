import { setTimeout as sleep } from 'node:timers/promises';
import { BusyMeter, IDLE, type Busy } from './busy.js';
import { Histogram, type HistogramData } from './histogram.js';
import { makeRequests, type Operation, type RequestMaker } from './operations.js';
import { Pacer, sharedNowMs } from './pacer.js';
import { Connection, type CallSink } from './wire/connection.js';

/**
 * One process of a load: opens its connections and keeps its share of requests in flight (closed
 * loop), or sends them at a fixed rate independent of the answers (open loop). Reports counts and
 * latencies. Started by load.ts.
 */

export interface WorkerTask {
  /** Client ports; connections are spread over them. */
  readonly ports: readonly number[];
  readonly connections: number;
  /** Per connection; in an open loop, the most that may wait before requests are dropped and counted as errors. */
  readonly inFlight: number;
  readonly operation: Operation;
  /** Requests per second of this worker; 0 for a closed loop. */
  readonly rate: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** Ends a closed loop after this many requests instead of after a time; 0 for none. */
  readonly requests: number;
  readonly firstSlot: number;
  /** This worker's number and how many there are. */
  readonly index: number;
  readonly workers: number;
  readonly seed: number;
}

export interface WorkerReport {
  readonly done: number;
  readonly seconds: number;
  readonly receivedBytes: number;
  readonly latency: HistogramData;
  /** Near 1, this process was the bottleneck. */
  readonly busy: Busy;
  /** First text of each kind of error, with its count. */
  readonly errors: readonly (readonly [string, number])[];
}

/** One request after the other before an open loop, long enough for this process to compile what it runs. */
const WARMUP_MS = 2000;
/** An open loop runs this long before it counts; the server may finish what the warm-up left. */
const LEAD_MS = 1000;
/** Time for the pacer's thread to start. */
const START_MS = 200;

class Load {
  private readonly task: WorkerTask;
  private readonly slots: Slot[] = [];
  private readonly idle: Slot[] = [];
  private readonly errors = new Map<string, number>();
  private readonly latency = new Histogram();
  private connections: Connection[] = [];
  private measuring = false;
  private stopped = false;
  private done = 0;
  private issued = 0;
  private pending = 0;
  private beganMs = 0;
  private endedMs = 0;
  private readonly meter = new BusyMeter();
  private busy = IDLE;
  private finished: (() => void) | null = null;
  private pacer: Pacer | null = null;
  private isOpenLoop = false;
  /** Nothing is in flight any more. */
  private drained = (): void => {
    this.end();
  };

  constructor(task: WorkerTask) {
    this.task = task;
  }

  async prepare(): Promise<void> {
    const { ports, connections, inFlight, operation, firstSlot, index, workers, seed } = this.task;
    const sequence = { next: index, step: workers };
    const opening = Array.from({ length: connections }, (_, i) =>
      Connection.open('127.0.0.1', ports[i % ports.length] ?? 0),
    );
    this.connections = await Promise.all(opening);
    for (let n = 0; n < inFlight; n++) {
      for (const connection of this.connections) {
        const maker = makeRequests(operation, firstSlot + this.slots.length, sequence, seed);
        this.slots.push(new Slot(this, connection, maker));
      }
    }
  }

  async run(): Promise<WorkerReport> {
    const { warmupMs, durationMs, requests, rate } = this.task;
    const ended = new Promise<void>((resolve) => {
      this.finished = resolve;
    });
    if (rate > 0) await this.warmUpForOpenLoop();
    const startMs = rate > 0 ? LEAD_MS : warmupMs;
    if (rate > 0) this.openLoop(rate);
    else for (const slot of this.slots) this.next(slot);
    if (requests > 0) this.begin();
    else {
      setTimeout(() => {
        this.begin();
      }, startMs);
      setTimeout(() => {
        this.stop();
      }, startMs + durationMs);
    }
    await ended;
    for (const connection of this.connections) connection.close();
    return {
      done: this.done,
      seconds: (this.endedMs - this.beganMs) / 1000,
      receivedBytes: this.connections.reduce(
        (sum, connection) => sum + connection.receivedBytes,
        0,
      ),
      latency: this.latency.toData(),
      busy: this.busy,
      errors: [...this.errors],
    };
  }

  /** A slot got its answer. */
  answered(slot: Slot, status: number, text: string): void {
    this.pending--;
    if (status !== 0) this.error(`status ${String(status)}: ${text}`);
    else if (this.measuring) {
      this.done++;
      this.latency.record((performance.now() - slot.sentMs) * 1000);
    }
    if (this.isOpenLoop) this.idle.push(slot);
    else if (!this.stopped && slot.usable) this.next(slot);
    if (this.pending === 0) this.drained();
  }

  error(text: string): void {
    this.errors.set(text, (this.errors.get(text) ?? 0) + 1);
  }

  private next(slot: Slot): void {
    const { requests } = this.task;
    if (requests > 0 && this.issued >= requests) {
      this.stopped = true;
      return;
    }
    this.send(slot, performance.now());
  }

  private send(slot: Slot, fromMs: number): void {
    this.issued++;
    this.pending++;
    slot.send(fromMs);
  }

  /**
   * Sends one request after the other on every connection for a while. A fixed rate alone would be measured with code
   * that is still being compiled: its pauses of milliseconds would be most of every high percentile.
   */
  private async warmUpForOpenLoop(): Promise<void> {
    for (const slot of this.slots.slice(0, this.connections.length)) this.next(slot);
    this.idle.push(...this.slots.slice(this.connections.length));
    await sleep(WARMUP_MS);
    await new Promise<void>((resolve) => {
      this.isOpenLoop = true;
      this.drained = resolve;
      if (this.pending === 0) resolve();
    });
    this.drained = (): void => {
      if (this.stopped) this.end();
    };
  }

  /**
   * Sends every request when it is due, independent of the answers. Latency counts from the moment
   * it was due, so that lateness of the sender is part of it. Otherwise a machine kept busy by the
   * server would make the server look good.
   */
  private openLoop(rate: number): void {
    const intervalMs = 1000 / rate;
    const startMs = sharedNowMs() + START_MS;
    const toOwnClock = performance.now() - sharedNowMs();
    let sent = 0;
    this.pacer = new Pacer({ startMs, intervalMs }, () => {
      if (this.stopped) return;
      const due = Math.floor((sharedNowMs() - startMs) / intervalMs) + 1;
      for (; sent < due; sent++) {
        const slot = this.idle.pop();
        if (slot === undefined) this.error('too many requests were waiting to send another');
        else this.send(slot, startMs + sent * intervalMs + toOwnClock);
      }
    });
  }

  private begin(): void {
    this.measuring = true;
    this.beganMs = performance.now();
    this.meter.start();
  }

  private stop(): void {
    this.endMeasuring();
    this.measuring = false;
    this.stopped = true;
    this.pacer?.stop();
    if (this.pending === 0) this.end();
  }

  private end(): void {
    if (this.endedMs === 0) this.endMeasuring();
    this.finished?.();
  }

  private endMeasuring(): void {
    this.endedMs = performance.now();
    this.busy = this.meter.shares();
  }
}

class Slot implements CallSink {
  readonly discard: boolean;
  sentMs = 0;
  private readonly load: Load;
  private readonly connection: Connection;
  private readonly maker: RequestMaker;

  constructor(load: Load, connection: Connection, maker: RequestMaker) {
    this.load = load;
    this.connection = connection;
    this.maker = maker;
    this.discard = !maker.reads;
  }

  get usable(): boolean {
    return this.connection.open;
  }

  send(fromMs: number): void {
    const body = this.maker.next();
    this.sentMs = fromMs;
    this.connection.request(this.maker.path, body, this);
  }

  message(buf: Uint8Array, start: number, end: number): void {
    try {
      this.maker.answered(buf, start, end);
    } catch (error) {
      this.load.error(String(error));
    }
  }

  ended(status: number, text: string): void {
    this.load.answered(this, status, text);
  }
}

process.once('message', (task: WorkerTask) => {
  const load = new Load(task);
  load.prepare().then(
    () => {
      process.once('message', () => {
        void load.run().then((report) => {
          process.send?.(report, () => {
            process.exit(0);
          });
        });
      });
      process.send?.('ready');
    },
    (error: unknown) => {
      process.send?.(`failed: ${String(error)}`, () => {
        process.exit(1);
      });
    },
  );
});
