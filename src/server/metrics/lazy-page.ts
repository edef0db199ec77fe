import type { MemberMetrics } from './metrics.js';
import type { MetricsPage } from './page.js';
import type { MemberSample } from './sample.js';

/** The metrics page, loaded at the first scrape: a member starts without it. */
export class LazyMetricsPage {
  private readonly metrics: MemberMetrics;
  private readonly sample: () => MemberSample;
  private page: Promise<MetricsPage> | undefined;

  constructor(metrics: MemberMetrics, sample: () => MemberSample) {
    this.metrics = metrics;
    this.sample = sample;
  }

  async text(): Promise<string> {
    this.page ??= import('./page.js').then(
      ({ MetricsPage }) => new MetricsPage(this.metrics, this.sample),
    );
    return (await this.page).text();
  }

  /** Ends the observation of the process, if it began. */
  async close(): Promise<void> {
    if (this.page !== undefined) (await this.page).close();
  }
}
