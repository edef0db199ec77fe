/** Counts and durations of the API server's requests, with the labels of Kubernetes' metrics. */
import { labelText } from '../../../base/observe/exposition.js';
import { Histogram } from '../../../base/observe/histogram.js';
import type { RequestInfo } from '../pipeline/exchange.js';

/** Seconds (k8s.io/apiserver, request_duration_seconds). */
const DURATION_BOUNDS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
  60,
];

const VERBS: Readonly<Record<string, string>> = {
  get: 'GET',
  list: 'LIST',
  watch: 'WATCH',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETECOLLECTION',
};

const CONNECTED: ReadonlySet<string> = new Set(['attach', 'exec', 'portforward', 'proxy']);

export class RequestMetrics {
  /** Label text -> number of answers. */
  readonly totals = new Map<string, number>();
  /** Label text -> seconds. */
  readonly durations = new Map<string, Histogram>();
  /** Label text -> number of requests that run now. */
  readonly longRunningNow = new Map<string, number>();
  private readonly isServed: (info: RequestInfo) => boolean;

  /**
   * `isServed` tells resources from texts that somebody made up; the latter are counted together, so
   * that nobody fills the memory with them.
   */
  constructor(isServed: (info: RequestInfo) => boolean) {
    this.isServed = isServed;
  }

  answered(info: RequestInfo, status: number, seconds: number): void {
    const labels = this.labelsOf(info);
    const text = labelText({ ...labels, code: String(status) });
    this.totals.set(text, (this.totals.get(text) ?? 0) + 1);
    // A watch takes as long as its client likes.
    if (labels['verb'] === 'WATCH') return;
    const key = labelText(labels);
    let histogram = this.durations.get(key);
    if (histogram === undefined) {
      histogram = new Histogram(DURATION_BOUNDS);
      this.durations.set(key, histogram);
    }
    histogram.observe(seconds);
  }

  /** Returns a function to call at the request's end. */
  longRunning(info: RequestInfo): () => void {
    const text = labelText(this.labelsOf(info));
    const change = (by: number): void => {
      this.longRunningNow.set(text, (this.longRunningNow.get(text) ?? 0) + by);
    };
    change(1);
    return () => change(-1);
  }

  private labelsOf(info: RequestInfo): Record<string, string> {
    const isKnown = info.isResource && this.isServed(info);
    const { group, version, resource, subresource } = isKnown
      ? info
      : { group: '', version: '', resource: '', subresource: '' };
    return {
      component: 'apiserver',
      group,
      version,
      resource,
      subresource,
      scope: isKnown ? scopeOf(info) : '',
      verb: isKnown ? verbOf(info) : 'OTHER',
    };
  }
}

function verbOf({ verb, subresource }: RequestInfo): string {
  return CONNECTED.has(subresource) ? 'CONNECT' : (VERBS[verb] ?? 'OTHER');
}

function scopeOf({ name, namespace }: RequestInfo): string {
  if (name !== '') return 'resource';
  return namespace === '' ? 'cluster' : 'namespace';
}
