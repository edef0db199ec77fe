/**
 * Services without rules in the kernel: this process listens on their addresses and forwards. The
 * endpoints see this node as the client. Cluster IPs need addresses on the loopback link, which only
 * root may add, and then serve what runs on this node.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv } from '../../env.js';
import type { PortChange, RuleSink } from '../rule-sink.js';
import type { PortEntry, Target } from '../service-table.js';
import type { Door, Forwarder, Way } from './forwarder.js';
import { openTcpForwarder } from './tcp-forwarder.js';
import { openUdpForwarder } from './udp-forwarder.js';

const execute = promisify(execFile);

export interface UserspaceSetup {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly nodeIp: string;
  /** Cluster IPs are added to the loopback link. */
  readonly canAddAddresses: boolean;
}

export class UserspaceSink implements RuleSink {
  private readonly setup: UserspaceSetup;
  /** Owner -> its ports. */
  private readonly wanted = new Map<string, readonly PortEntry[]>();
  private readonly open = new Map<string, Forwarder>();
  private readonly addresses = new Set<string>();

  constructor(setup: UserspaceSetup) {
    this.setup = setup;
  }

  /** Opens what can be opened; rejects with all errors of what cannot. */
  async apply(changes: ReadonlyMap<string, PortChange>): Promise<void> {
    for (const [owner, { now }] of changes) {
      if (now.length === 0) this.wanted.delete(owner);
      else this.wanted.set(owner, now);
    }
    const ways = this.ways();
    for (const [key, forwarder] of this.open) {
      if (ways.has(key)) continue;
      this.open.delete(key);
      await forwarder.close();
    }
    await this.removeAddresses(new Set([...ways.values()].map(({ door }) => door.ip)));
    const errors: string[] = [];
    for (const [key, { door, way }] of ways) {
      const known = this.open.get(key);
      if (known !== undefined) {
        known.way = way;
        continue;
      }
      try {
        this.open.set(key, await this.openDoor(door, way));
      } catch (error) {
        errors.push(`${key}: ${String(error)}`);
      }
    }
    if (errors.length > 0) throw new Error(errors.join('; '));
  }

  async stop(): Promise<void> {
    for (const forwarder of this.open.values()) await forwarder.close();
    this.open.clear();
    await this.removeAddresses(new Set());
  }

  /** Of owners that want the same door the first has it. */
  private ways(): Map<string, { readonly door: Door; readonly way: Way }> {
    const ways = new Map<string, { door: Door; way: Way }>();
    for (const entries of this.wanted.values()) {
      for (const entry of entries) {
        for (const { door, targets } of this.doorsOf(entry)) {
          const key = `${door.protocol} ${door.ip}:${door.port}`;
          // A process of this node may listen there itself, as pods without isolation do.
          const usable = targets.filter(({ ip, port }) => ip !== door.ip || port !== door.port);
          if (usable.length === 0 || ways.has(key)) continue;
          const { affinitySeconds } = entry;
          ways.set(key, { door, way: { targets: usable, affinitySeconds } });
        }
      }
    }
    return ways;
  }

  private doorsOf(
    entry: PortEntry,
  ): { readonly door: Door; readonly targets: readonly Target[] }[] {
    const { protocol, clusterIp, port, nodePort, all, local } = entry;
    const doors = [];
    // Node.js has no SCTP.
    if (protocol === 'sctp') return [];
    if (clusterIp !== '' && this.setup.canAddAddresses) {
      const targets = entry.isInternalLocal ? local : all;
      doors.push({ door: { protocol, ip: clusterIp, port }, targets });
    }
    if (nodePort !== 0) {
      const targets = entry.isExternalLocal ? local : all;
      doors.push({ door: { protocol, ip: this.setup.nodeIp, port: nodePort }, targets });
    }
    return doors;
  }

  private async openDoor(door: Door, way: Way): Promise<Forwarder> {
    const { env, nodeIp } = this.setup;
    if (door.ip !== nodeIp && !this.addresses.has(door.ip)) {
      await execute('ip', ['address', 'replace', `${door.ip}/32`, 'dev', 'lo']);
      this.addresses.add(door.ip);
    }
    const open = door.protocol === 'tcp' ? openTcpForwarder : openUdpForwarder;
    return open({ env, door, way });
  }

  private async removeAddresses(kept: ReadonlySet<string>): Promise<void> {
    for (const ip of this.addresses) {
      if (kept.has(ip)) continue;
      this.addresses.delete(ip);
      await execute('ip', ['address', 'delete', `${ip}/32`, 'dev', 'lo']).catch((error: unknown) =>
        this.setup.log.warn('address of a service was not removed', { ip, error }),
      );
    }
  }
}
