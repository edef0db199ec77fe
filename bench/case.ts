import { runH2load } from './h2load.js';
import { runLoad, type LoadPlan, type LoadResult } from './load.js';
import type { Cluster, Kind } from './peers.js';

/** What a benchmark case is, and the few measurements that nearly all of them make. */

export interface CaseGroup {
  readonly name: string;
  readonly title: string;
  readonly members: 1 | 3;
  /** Part of `--quick`. */
  readonly quick: boolean;
  /** Rounds in a full run; long groups take fewer. */
  readonly rounds: number;
  readonly run: (bench: Bench) => Promise<void>;
}

/** One number of one run of one server. */
export interface Measurement {
  readonly group: string;
  readonly label: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** Bound for mainstay's value divided by etcd's: at least when higher is better, at most when lower is. */
  readonly target?: number;
  /** Absent when it could not be measured; `reason` then says why. */
  readonly value?: number;
  readonly reason?: string;
}

interface What {
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly target?: number;
}

export const RATE: What = { unit: '/s', better: 'higher' };
export const MILLISECONDS: What = { unit: 'ms', better: 'lower' };
export const MEGABYTES: What = { unit: 'MB', better: 'lower' };

/** Connections and requests in flight on each. */
export type Shape = readonly [number, number];
export const SHAPES: Readonly<Record<string, Shape>> = {
  '50 x 20': [50, 20],
  '100 x 1': [100, 1],
  '1000 x 1': [1000, 1],
  '1 x 1': [1, 1],
};

/** A load process that used more of its core than this may have been slower than the server. */
const BUSY = 0.9;

/** One group's run against one server. */
export class Bench {
  readonly kind: Kind;
  readonly cluster: Cluster;
  readonly quick: boolean;
  readonly measurements: Measurement[] = [];
  private readonly group: string;

  constructor(group: string, cluster: Cluster, quick: boolean) {
    this.group = group;
    this.kind = cluster.kind;
    this.cluster = cluster;
    this.quick = quick;
  }

  /** Milliseconds of one load. */
  get durationMs(): number {
    return this.quick ? 1000 : 5000;
  }

  private get warmupMs(): number {
    return this.quick ? 250 : 1000;
  }

  /** Takes a number, or notes why there is none; a case that fails does not end the others. */
  async measure(label: string, what: What, look: () => Promise<number>): Promise<void> {
    const { unit, better, target } = what;
    const common = {
      group: this.group,
      label,
      unit,
      better,
      ...(target === undefined ? {} : { target }),
    };
    try {
      const value = await look();
      this.measurements.push({ ...common, value });
      console.log(`  ${this.kind.padEnd(9)}${label.padEnd(72)}${formatValue(value)} ${unit}`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.measurements.push({ ...common, reason });
      console.log(`  ${this.kind.padEnd(9)}${label.padEnd(72)}failed: ${reason}`);
    }
  }

  /** A load of ours at one port or several; latencies come with it. */
  async load(plan: Omit<LoadPlan, 'durationMs'>): Promise<LoadResult> {
    const result = await runLoad({ durationMs: this.durationMs, warmupMs: this.warmupMs, ...plan });
    if (result.busy > BUSY) {
      console.log(
        `  the load generator was busy ${(result.busy * 100).toFixed(0)} % of the time: the next number may be its own limit`,
      );
    }
    return result;
  }

  async measureLoad(
    label: string,
    plan: Omit<LoadPlan, 'durationMs'>,
    target?: number,
  ): Promise<void> {
    const what = target === undefined ? RATE : { ...RATE, target };
    await this.measure(label, what, async () => (await this.load(plan)).perSecond);
  }

  /** The same request from h2load. */
  async measureH2load(
    label: string,
    request: { port: number; path: string; body: Uint8Array },
    shape: Shape,
    target?: number,
  ): Promise<void> {
    const [connections, inFlight] = shape;
    const what = target === undefined ? RATE : { ...RATE, target };
    await this.measure(label, what, () =>
      runH2load({
        ...request,
        connections,
        inFlight,
        durationMs: this.durationMs,
        warmupMs: this.warmupMs,
        dir: this.cluster.dir,
      }),
    );
  }

  /** Percentiles of a load as rows of their own, with targets for those named. */
  async measureLatency(
    label: string,
    plan: Omit<LoadPlan, 'durationMs'>,
    targets: { readonly p50?: number; readonly p99?: number } = {},
  ): Promise<void> {
    const result = await this.load(plan).catch((error: unknown) =>
      error instanceof Error ? error : new Error(String(error)),
    );
    for (const percentile of [50, 99]) {
      const target = percentile === 50 ? targets.p50 : targets.p99;
      const what = target === undefined ? MILLISECONDS : { ...MILLISECONDS, target };
      await this.measure(`${label}, p${String(percentile)}`, what, () =>
        result instanceof Error
          ? Promise.reject(result)
          : Promise.resolve(result.latency.percentileUs(percentile) / 1000),
      );
    }
  }

  /** Lets a fresh process reach its speed before anything is measured, and creates the small key space. */
  async warmUp(keys = 1000, valueBytes = 256): Promise<void> {
    const ports = this.cluster.ports;
    await this.fill(keys, valueBytes);
    const durationMs = this.quick ? 1000 : 3000;
    await runLoad({
      ports,
      connections: 50,
      inFlight: 20,
      operation: { kind: 'mixed', keys, valueBytes, readShare: 0.5 },
      durationMs,
      warmupMs: 0,
    });
  }

  /** Puts every key from 0 to `keys` once. */
  fill(keys: number, valueBytes: number): Promise<LoadResult> {
    return runLoad({
      ports: this.cluster.ports,
      connections: 50,
      inFlight: 20,
      operation: { kind: 'put', keys, valueBytes, sequential: true },
      requests: keys,
    });
  }
}

/** Three significant digits, with separators. */
export function formatValue(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
