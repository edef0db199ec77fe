import type { Logger } from '../../../base/observe/logger.js';
import type { PortChange, RuleSink } from '../rule-sink.js';
import { rulesOf } from './ruleset.js';
import type { NftTable } from './table.js';
import { forgetUdpFlows } from './udp-flows.js';

/** Ports of services as rules of the kernel. They stay when the process ends. */
export class NftSink implements RuleSink {
  private readonly table: NftTable;
  private readonly log: Logger;

  constructor(table: NftTable, log: Logger) {
    this.table = table;
    this.log = log;
  }

  async apply(changes: ReadonlyMap<string, PortChange>): Promise<void> {
    const rules = [...changes].map(
      ([owner, { now }]) => [owner, now.length === 0 ? undefined : rulesOf(now)] as const,
    );
    await this.table.apply(new Map(rules));
    try {
      await forgetUdpFlows(changes.values());
    } catch (error) {
      this.log.warn('UDP flows to endpoints that are gone were not deleted', { error });
    }
  }

  async stop(): Promise<void> {
    // Packets go on without this process.
  }
}
