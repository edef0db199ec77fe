/**
 * Leases of the store for objects that vanish by themselves. Objects written within a minute share
 * a lease, so that thousands of events need few leases; each lives a little longer than asked.
 */
import type { EtcdClient } from '../../../client/client.js';
import type { ClusterEnv } from '../../env.js';

/** Writes within this time share a lease. */
const SHARED_MS = 60_000;
/** Longest use of one lease: revoking it is one step of the store. */
const OBJECTS_MAX = 1000;

interface SharedLease {
  readonly id: Promise<bigint>;
  readonly untilMs: number;
  objects: number;
}

export class EventLeases {
  private readonly client: EtcdClient;
  private readonly env: ClusterEnv;
  private readonly shared = new Map<number, SharedLease>();

  constructor(client: EtcdClient, env: ClusterEnv) {
    this.client = client;
    this.env = env;
  }

  /** A lease that lives for at least `ttlSeconds`. Throws: ClientError. */
  async leaseFor(ttlSeconds: number): Promise<bigint> {
    const nowMs = this.env.monoMs();
    let lease = this.shared.get(ttlSeconds);
    if (lease === undefined || lease.untilMs < nowMs || lease.objects >= OBJECTS_MAX) {
      lease = { id: this.grant(ttlSeconds), untilMs: nowMs + SHARED_MS, objects: 0 };
      this.shared.set(ttlSeconds, lease);
    }
    lease.objects++;
    return lease.id;
  }

  private async grant(ttlSeconds: number): Promise<bigint> {
    try {
      const reply = await this.client.lease.grant({ TTL: ttlSeconds + SHARED_MS / 1000 });
      return reply.ID;
    } catch (error) {
      this.shared.delete(ttlSeconds);
      throw error;
    }
  }
}
