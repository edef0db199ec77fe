import type { Busy } from './busy.js';
import { runH2load } from './h2load.js';
import { runLoad, type LoadPlan, type LoadResult } from './load.js';
import type { Cluster, Kind } from './peers.js';

/** The parts of a benchmark case, and the few measurements that nearly all of them make. */

export interface CaseGroup {
  readonly name: string;
  readonly title: string;
  readonly members: 1 | 3;
  /** Part of `--quick`. */
  readonly quick: boolean;
  /** Rounds in a full run; long groups take fewer. */
  readonly rounds: number;
  /** Time of a full run of this group with both servers, as measured on two cores. */
  readonly minutes: number;
  /** For both servers, beside those that every cluster gets. */
  readonly flags?: readonly string[];
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
  /** Absent when it could not be measured; `reason` then gives the cause. */
  readonly value?: number;
  readonly reason?: string;
  /** Share of a core that the load generator used; absent where no load was meant to reach a limit. */
  readonly clientBusy?: number;
}

/** A number together with how busy the load generator was while it was taken. */
export interface Metered {
  readonly value: number;
  readonly busy: Busy;
}

interface What {
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly target?: number;
}

/** A load generator that used more of its core than this may have been slower than the server. */
export const BUSY = 0.9;

export const RATE: What = { unit: '/s', better: 'higher' };
export const MILLISECONDS: What = { unit: 'ms', better: 'lower' };
export const SECONDS: What = { unit: 's', better: 'lower' };
export const MEGABYTES: What = { unit: 'MB', better: 'lower' };

/** Connections and requests in flight on each. */
export type Shape = readonly [number, number];
export const SHAPES = {
  '50 x 20': [50, 20],
  '100 x 1': [100, 1],
  '1000 x 1': [1000, 1],
  '1 x 1': [1, 1],
} as const satisfies Readonly<Record<string, Shape>>;

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

  /** Milliseconds of one load, and those before it that do not count. */
  get durationMs(): number {
    return this.quick ? 1000 : 2500;
  }

  get warmupMs(): number {
    return this.quick ? 250 : 750;
  }

  /** Takes a number, or notes why there is none; a case that fails does not end the others. */
  async measure(label: string, what: What, look: () => Promise<number | Metered>): Promise<void> {
    const { unit, better, target } = what;
    const common = {
      group: this.group,
      label,
      unit,
      better,
      ...(target === undefined ? {} : { target }),
    };
    try {
      const seen = await look();
      const { value, busy } = typeof seen === 'number' ? { value: seen, busy: undefined } : seen;
      const clientBusy = busy === undefined ? {} : { clientBusy: busy.used };
      this.measurements.push({ ...common, value, ...clientBusy });
      console.log(
        `  ${this.kind.padEnd(9)}${label.padEnd(72)}${`${formatValue(value)} ${unit}`.padEnd(16)}${busyText(busy)}`.trimEnd(),
      );
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.measurements.push({ ...common, reason });
      console.log(`  ${this.kind.padEnd(9)}${label.padEnd(72)}failed: ${reason}`);
    }
  }

  /** A load of ours at one port or several; latencies come with it. */
  load(plan: LoadPlan): Promise<LoadResult> {
    return runLoad({ durationMs: this.durationMs, warmupMs: this.warmupMs, ...plan });
  }

  async measureLoad(
    label: string,
    plan: Omit<LoadPlan, 'durationMs'>,
    target?: number,
  ): Promise<void> {
    const what = target === undefined ? RATE : { ...RATE, target };
    await this.measure(label, what, async () => rateOf(await this.load(plan)));
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
    await this.measure(label, what, async () =>
      rateOf(
        await runH2load({
          ...request,
          connections,
          inFlight,
          durationMs: this.durationMs,
          // It has nothing of its own to warm up, and the server has been at work.
          warmupMs: Math.min(this.warmupMs, 500),
          dir: this.cluster.dir,
        }),
      ),
    );
  }

  /** Percentiles of a load as rows of their own, with targets for those named. */
  async measureLatency(
    label: string,
    plan: Omit<LoadPlan, 'durationMs'>,
    targets: { readonly p50?: number; readonly p99?: number } = {},
  ): Promise<void> {
    // At a fixed rate few requests are seen; the high percentiles need more of them.
    const durationMs = (plan.rate ?? 0) > 0 ? 2 * this.durationMs : this.durationMs;
    const result = await this.load({ ...plan, durationMs }).catch((error: unknown) =>
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
  fill(keys: number, valueBytes: number, ports = this.cluster.ports): Promise<LoadResult> {
    return runLoad({
      ports,
      connections: 50,
      inFlight: 20,
      operation: { kind: 'put', keys, valueBytes, sequential: true },
      requests: keys,
    });
  }
}

/** A load's rate as a number to note. */
export function rateOf(result: { readonly perSecond: number; readonly busy: Busy }): Metered {
  return { value: result.perSecond, busy: result.busy };
}

function busyText(busy: Busy | undefined): string {
  if (busy === undefined) return '';
  const text = `client ${busy.used.toFixed(2)} of a core, waited ${busy.waited.toFixed(2)}`;
  return busy.used > BUSY ? `${text}: may be its own limit` : text;
}

/** Three significant digits, with separators. */
export function formatValue(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
