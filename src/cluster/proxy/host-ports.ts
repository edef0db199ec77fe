/** Ports of this node that lead to one of its pods. */
import type { Pod } from '../../gen/kube-core-v1.js';
import type { Protocol, Target } from './service-table.js';

export interface HostPortEntry {
  readonly protocol: Protocol;
  /** Empty: every address of the node. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly target: Target;
}

const PROTOCOLS: Readonly<Record<string, Protocol>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };

/** Of pods that have an address of their own. */
export function hostPortEntries(pods: Iterable<Pod>): HostPortEntry[] {
  const entries: HostPortEntry[] = [];
  for (const { spec, status } of pods) {
    const ip = status?.podIP ?? '';
    if (ip === '' || spec.hostNetwork === true) continue;
    for (const { ports = [] } of [...spec.containers, ...(spec.initContainers ?? [])]) {
      for (const { hostPort = 0, hostIP = '', containerPort, protocol = 'TCP' } of ports) {
        if (hostPort === 0) continue;
        const hostIp = hostIP === '0.0.0.0' ? '' : hostIP;
        const target = { ip, port: containerPort };
        entries.push({ protocol: PROTOCOLS[protocol] ?? 'tcp', hostIp, hostPort, target });
      }
    }
  }
  return entries;
}
