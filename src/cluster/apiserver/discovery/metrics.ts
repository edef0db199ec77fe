/** /metrics: counts and durations, under the names that dashboards of Kubernetes know. */
import {
  EXPOSITION_TYPE,
  exposition,
  labelText,
  type Family,
  type Samples,
} from '../../../base/observe/exposition.js';
import type { Histogram } from '../../../base/observe/histogram.js';
import type { InFlight } from '../http/in-flight.js';
import type { RequestMetrics } from '../http/request-metrics.js';
import type { Step } from '../pipeline/exchange.js';

export interface MetricsSource {
  readonly requests: RequestMetrics;
  /** Undefined for a server without HTTP. */
  readonly inFlight: InFlight | undefined;
  /** Resource, as `deployments.apps`, and how many objects of it there are. */
  readonly storedObjects: () => Iterable<readonly [string, number]>;
  /** Seconds that the store took, by operation (`get`, `list`, `create` ...) and resource. */
  readonly storeDurations: () => Iterable<{
    readonly operation: string;
    readonly type: string;
    readonly seconds: Histogram;
  }>;
}

/** Writes one sample for each text of labels. */
function perLabels(countsOf: (source: MetricsSource) => Iterable<readonly [string, number]>) {
  return (out: Samples, source: MetricsSource): void => {
    for (const [labels, count] of countsOf(source)) out.sample(labels, count);
  };
}

const FAMILIES: readonly Family<MetricsSource>[] = [
  {
    name: 'apiserver_request_total',
    type: 'counter',
    help: 'Requests answered, by verb, resource and code.',
    write: perLabels(({ requests }) => requests.totals),
  },
  {
    name: 'apiserver_request_duration_seconds',
    type: 'histogram',
    help: 'Time from the request to the head of its answer; watches are left out.',
    write: (out, { requests }) => {
      for (const [labels, histogram] of requests.durations) out.histogram(labels, histogram);
    },
  },
  {
    name: 'apiserver_current_inflight_requests',
    type: 'gauge',
    help: 'Requests being worked on, those that run for long aside.',
    write: (out, { inFlight }) => {
      for (const [kind, count] of Object.entries(inFlight?.counts ?? {}))
        out.sample(labelText({ request_kind: kind }), count);
    },
  },
  {
    name: 'apiserver_longrunning_requests',
    type: 'gauge',
    help: 'Watches, logs, exec, attach and port-forward that run now.',
    write: perLabels(({ requests }) => requests.longRunningNow),
  },
  {
    name: 'apiserver_storage_objects',
    type: 'gauge',
    help: 'Objects stored, by resource.',
    write: (out, { storedObjects }) => {
      for (const [resource, count] of storedObjects()) out.sample(labelText({ resource }), count);
    },
  },
  {
    name: 'etcd_request_duration_seconds',
    type: 'histogram',
    help: 'Time the store took to answer, by operation and type.',
    write: (out, { storeDurations }) => {
      for (const { operation, type, seconds } of storeDurations())
        out.histogram(labelText({ operation, type }), seconds);
    },
  },
];

/** `more` gives the text of further families, as those of the process. */
export function metricsStep(source: MetricsSource, more: () => string): Step {
  return ({ info }) => {
    if (info.isResource || info.path !== '/metrics') return undefined;
    const text = exposition(FAMILIES, source) + more();
    return { type: 'text', status: 200, contentType: EXPOSITION_TYPE, text };
  };
}
