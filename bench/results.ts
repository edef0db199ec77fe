import { existsSync, readFileSync } from 'node:fs';
import type { Measurement } from './case.js';
import type { Kind } from './peers.js';

/** The results file: what was measured, on what, and the ratios made of it. */

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly node: string;
  readonly fileSystem: string;
  /** Median of appending 4 KiB and syncing it. */
  readonly fdatasyncUs: number;
}

export interface Row {
  readonly group: string;
  readonly label: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly target?: number;
  /** One number per round; equal length unless a round failed. */
  readonly etcd: readonly number[];
  readonly mainstay: readonly number[];
  /** mainstay / etcd of each round in which both were measured. */
  readonly ratios: readonly number[];
  /** The largest share of a core that the load generator used in any round. */
  readonly clientBusy?: number;
  readonly reasons?: readonly string[];
}

export interface GroupResult {
  readonly name: string;
  readonly title: string;
  readonly rounds: number;
  readonly measuredAt: string;
  readonly versions: Readonly<Record<Kind, string>>;
  readonly machine: Machine;
  readonly rows: readonly Row[];
}

export interface Results {
  readonly quick: boolean;
  readonly groups: readonly GroupResult[];
}

/** A round's measurements of one server; `round` pairs the two servers' numbers. */
export interface Sample {
  readonly kind: Kind;
  readonly round: number;
  readonly measurement: Measurement;
}

export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

/** One row per label, in the order of first appearance. */
export function rowsOf(samples: readonly Sample[]): Row[] {
  const labels = [...new Set(samples.map((sample) => sample.measurement.label))];
  return labels.map((label) => {
    const own = samples.filter((sample) => sample.measurement.label === label);
    const valueAt = (kind: Kind, round: number): number | undefined =>
      own.find((sample) => sample.kind === kind && sample.round === round)?.measurement.value;
    const rounds = [...new Set(own.map((sample) => sample.round))];
    const values = (kind: Kind): number[] =>
      rounds.map((round) => valueAt(kind, round)).filter((value) => value !== undefined);
    const ratios = rounds
      .map((round) => {
        const [etcd, mainstay] = [valueAt('etcd', round), valueAt('mainstay', round)];
        return etcd === undefined || mainstay === undefined || etcd === 0
          ? undefined
          : mainstay / etcd;
      })
      .filter((ratio) => ratio !== undefined);
    const reasons = own
      .filter((sample) => sample.measurement.reason !== undefined)
      .map((sample) => `${sample.kind}: ${sample.measurement.reason ?? ''}`);
    const busy = own
      .map((sample) => sample.measurement.clientBusy)
      .filter((share) => share !== undefined);
    const { group, unit, better, target } = own[0]?.measurement ?? {
      group: '',
      unit: '',
      better: 'higher' as const,
    };
    return {
      group,
      label,
      unit,
      better,
      ...(target === undefined ? {} : { target }),
      etcd: values('etcd'),
      mainstay: values('mainstay'),
      ratios,
      ...(busy.length === 0 ? {} : { clientBusy: Math.max(...busy) }),
      ...(reasons.length === 0 ? {} : { reasons: [...new Set(reasons)] }),
    };
  });
}

/** True if mainstay met the row's target; undefined without a target or a ratio. */
export function targetMet(row: Row): boolean | undefined {
  const ratio = median(row.ratios);
  if (row.target === undefined || ratio === undefined) return undefined;
  return row.better === 'higher' ? ratio >= row.target : ratio <= row.target;
}

export function readResults(path: string): Results | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Results) : undefined;
}

/** Replaces the groups that were measured again and keeps the others, in the order of `order`. */
export function mergeGroups(
  old: Results | undefined,
  fresh: readonly GroupResult[],
  order: readonly string[],
): GroupResult[] {
  const names = new Set(fresh.map((group) => group.name));
  const kept = old?.groups.filter((group) => !names.has(group.name)) ?? [];
  return [...kept, ...fresh].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}
