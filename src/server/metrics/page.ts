/**
 * The text behind /metrics, with etcd's metric names, so that its dashboards and alerts work unchanged.
 * Numbers are read when a scrape asks for them; between scrapes nothing here runs.
 */
import { exposition } from '../../base/observe/exposition.js';
import { PROCESS_FAMILIES } from '../../base/observe/process-families.js';
import { ProcessMetrics } from '../../base/observe/process-metrics.js';
import { networkFamilies } from './families-network.js';
import { SERVER_FAMILIES } from './families-server.js';
import { STORE_FAMILIES } from './families-store.js';
import type { MemberMetrics } from './metrics.js';
import type { MemberSample } from './sample.js';
import type { MemberFamily } from './scrape.js';

export class MetricsPage {
  private readonly metrics: MemberMetrics;
  private readonly sample: () => MemberSample;
  private readonly process = new ProcessMetrics();
  /** In the order of their names, as client_golang writes them. */
  private readonly families: readonly MemberFamily[];

  /** `sample` is called once for every scrape. */
  constructor(metrics: MemberMetrics, sample: () => MemberSample) {
    this.metrics = metrics;
    this.sample = sample;
    this.families = [
      ...SERVER_FAMILIES,
      ...STORE_FAMILIES,
      ...networkFamilies(metrics.isExtensive),
      ...PROCESS_FAMILIES,
    ].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The page as a scraper gets it. */
  async text(): Promise<string> {
    const process = await this.process.sample();
    return exposition(this.families, { metrics: this.metrics, member: this.sample(), process });
  }

  /** Ends the observation of the process. */
  close(): void {
    this.process.close();
  }
}
