import type { ClusterEnv } from '../../env.js';
import type { Protocol, Target } from '../service-table.js';

/** An address on which this process listens for a port of a service. */
export interface Door {
  readonly protocol: Protocol;
  readonly ip: string;
  readonly port: number;
}

/** Targets of packets from a door; never empty while the door is open. */
export interface Way {
  readonly targets: readonly Target[];
  readonly affinitySeconds: number;
}

/** An open door. */
export interface Forwarder {
  way: Way;
  close(): Promise<void>;
}

export interface ForwarderSetup {
  readonly env: ClusterEnv;
  readonly door: Door;
  readonly way: Way;
}
