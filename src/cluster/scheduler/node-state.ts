/** A node with what runs on it, as the scheduler counts it. */
import type { Node } from '../../gen/kube-core-v1.js';
import { portsClash, type HostPort } from '../api/host-ports.js';
import { amountOf, type PodInfo, type Resources } from './pod-info.js';

export class NodeState {
  readonly name: string;
  /** Undefined while only pods of it are known. */
  node: Node | undefined;
  allocatable: Resources = new Map();
  readonly requested: Resources = new Map();
  assumedCpu = 0;
  assumedMemory = 0;
  readonly pods = new Map<string, PodInfo>();

  constructor(name: string) {
    this.name = name;
  }

  setNode(node: Node | undefined): void {
    this.node = node;
    const entries = Object.entries(node?.status?.allocatable ?? {});
    this.allocatable = new Map(entries.map(([name, text]) => [name, amountOf(name, text)]));
  }

  add(info: PodInfo): void {
    this.remove(info.uid);
    this.pods.set(info.uid, info);
    this.count(info, 1);
  }

  remove(uid: string): void {
    const info = this.pods.get(uid);
    if (info === undefined) return;
    this.pods.delete(uid);
    this.count(info, -1);
  }

  /** True if a port is taken by a pod; an address of all zeros clashes with every address. */
  isPortTaken(wanted: HostPort): boolean {
    for (const { hostPorts } of this.pods.values()) {
      if (hostPorts.some((port) => portsClash(port, wanted))) return true;
    }
    return false;
  }

  private count(info: PodInfo, sign: 1 | -1): void {
    for (const [name, amount] of info.requests) {
      this.requested.set(name, (this.requested.get(name) ?? 0) + sign * amount);
    }
    this.assumedCpu += sign * info.assumedCpu;
    this.assumedMemory += sign * info.assumedMemory;
  }
}
