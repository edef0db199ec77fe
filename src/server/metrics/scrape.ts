import type { Family, MetricType } from '../../base/observe/exposition.js';
import type { Histogram } from '../../base/observe/histogram.js';
import type { ProcessSample } from '../../base/observe/process-metrics.js';
import type { MemberMetrics } from './metrics.js';
import type { MemberSample } from './sample.js';

/** Everything one scrape of the page is made from. */
export interface Scrape {
  readonly metrics: MemberMetrics;
  readonly member: MemberSample;
  readonly process: ProcessSample;
}

export type MemberFamily = Family<Scrape>;

/** A family of one sample without labels. */
function single(
  name: string,
  type: Exclude<MetricType, 'histogram'>,
  help: string,
  read: (scrape: Scrape) => number,
): MemberFamily {
  return { name, type, help, write: (out, scrape) => out.sample('', read(scrape)) };
}

export function gauge(name: string, help: string, read: (scrape: Scrape) => number): MemberFamily {
  return single(name, 'gauge', help, read);
}

export function counter(
  name: string,
  help: string,
  read: (scrape: Scrape) => number,
): MemberFamily {
  return single(name, 'counter', help, read);
}

/** A histogram without labels. */
export function histogram(
  name: string,
  help: string,
  read: (metrics: MemberMetrics) => Histogram,
): MemberFamily {
  return {
    name,
    type: 'histogram',
    help,
    write: (out, scrape) => out.histogram('', read(scrape.metrics)),
  };
}
