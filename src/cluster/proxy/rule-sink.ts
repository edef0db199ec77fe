import type { PortEntry } from './service-table.js';

/** Leader of packets to endpoints: the kernel's rules, or forwarders of this process. */
export interface RuleSink {
  /**
   * Brings each owner's ports from one state to the next; those of other owners stay. An owner is
   * one service or pod. When it rejects, the same changes are given again, perhaps with later ones.
   */
  apply(changes: ReadonlyMap<string, PortChange>): Promise<void>;
  /** Ends what runs in this process. Rules of the kernel stay, for the next process. */
  stop(): Promise<void>;
}

export interface PortChange {
  readonly before: readonly PortEntry[];
  readonly now: readonly PortEntry[];
}
