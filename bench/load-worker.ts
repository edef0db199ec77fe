import { BusyMeter, IDLE, type Busy } from './busy.js';
import { Histogram, type HistogramData } from './histogram.js';
import { makeRequests, type Operation, type RequestMaker } from './operations.js';
import { Connection, type CallSink } from './wire/connection.js';

/**
 * One process of a load: opens its connections, keeps its share of requests in flight (closed loop) or sends them at
 * a fixed rate whatever the answers do (open loop), and reports counts and latencies. Started by load.ts.
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

/** A sender later than this has its lateness counted as latency (otherwise a stalled server would look good). */
const LATE_MS = 2;

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
    if (rate > 0) this.idle.push(...this.slots);
    else for (const slot of this.slots) this.next(slot);
    if (rate > 0) this.openLoop(rate, performance.now(), 0);
    if (requests > 0) this.begin();
    else {
      setTimeout(() => {
        this.begin();
      }, warmupMs);
      setTimeout(() => {
        this.stop();
      }, warmupMs + durationMs);
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
    if (this.task.rate > 0) this.idle.push(slot);
    else if (!this.stopped && slot.usable) this.next(slot);
    if (this.pending === 0 && (this.stopped || this.task.rate === 0)) this.end();
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

  /** Sends what is due every millisecond. */
  private openLoop(rate: number, startMs: number, sentBefore: number): void {
    let sent = sentBefore;
    const tick = (): void => {
      if (this.stopped) return;
      const now = performance.now();
      const due = Math.floor(((now - startMs) * rate) / 1000);
      for (; sent < due; sent++) {
        const dueMs = startMs + (sent * 1000) / rate;
        const slot = this.idle.pop();
        if (slot === undefined) this.error('too many requests were waiting to send another');
        else this.send(slot, now - dueMs > LATE_MS ? dueMs : now);
      }
      setTimeout(tick, 1);
    };
    tick();
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
