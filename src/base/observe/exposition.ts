/**
 * Tables of metrics and the text a scraper gets from them: the Prometheus text exposition format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * A family is a row of a table: name, type, help text, and how its samples are read from a source. Nothing is kept
 * between two scrapes.
 */
import type { Histogram } from './histogram.js';

export type MetricType = 'counter' | 'gauge' | 'histogram';

export interface Family<Source> {
  readonly name: string;
  readonly type: MetricType;
  /** One line. */
  readonly help: string;
  readonly write: (out: Samples, source: Source) => void;
}

/** Receiver of a family's samples. `labels` is a text of `labelText`, or empty. */
export interface Samples {
  sample(labels: string, value: number): void;
  histogram(labels: string, source: Histogram): void;
}

/** Header field of the text, as etcd's exporter spells it. */
export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8; escaping=underscores';

/** Labels in the order of their names, as client_golang writes them, without the braces. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.keys(labels)
    .sort()
    .map((name) => `${name}="${escapeLabel(labels[name] ?? '')}"`)
    .join(',');
}

/** The text of all families, in the order given. */
export function exposition<Source>(families: readonly Family<Source>[], source: Source): string {
  const out = new SampleLines();
  for (const family of families) {
    out.begin(family.name, family.type, family.help);
    family.write(out, source);
  }
  return out.text();
}

class SampleLines implements Samples {
  private readonly lines: string[] = [];
  private name = '';

  begin(name: string, type: MetricType, help: string): void {
    this.name = name;
    this.lines.push(`# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}`);
  }

  sample(labels: string, value: number): void {
    this.line(this.name, labels, value);
  }

  histogram(labels: string, source: Histogram): void {
    const { bounds, counts } = source;
    const before = labels === '' ? '' : `${labels},`;
    let cumulative = 0;
    for (let i = 0; i <= bounds.length; i++) {
      cumulative += counts[i] ?? 0;
      const le = numberText(bounds[i] ?? Infinity);
      this.line(`${this.name}_bucket`, `${before}le="${le}"`, cumulative);
    }
    this.line(`${this.name}_sum`, labels, source.sum);
    this.line(`${this.name}_count`, labels, source.total);
  }

  text(): string {
    return `${this.lines.join('\n')}\n`;
  }

  private line(name: string, labels: string, value: number): void {
    const braces = labels === '' ? '' : `{${labels}}`;
    this.lines.push(`${name}${braces} ${numberText(value)}`);
  }
}

/** As Go's strconv.ParseFloat reads it. */
function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

function escapeLabel(value: string): string {
  return /["\\\n]/.test(value) ? escapeHelp(value).replaceAll('"', '\\"') : value;
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
