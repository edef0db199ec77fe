/** Ports of a node that pods take, and clashes of them (k8s.io/kubernetes pkg/scheduler/util). */
import type { PodSpec } from '../../gen/kube-core-v1.js';

const ANY_ADDRESS = '0.0.0.0';

export interface HostPort {
  readonly protocol: string;
  /** 0.0.0.0 for all addresses of the node. */
  readonly ip: string;
  readonly port: number;
}

/** Init containers that end do not count: they run alone, before the others. */
export function hostPortsOf(spec: PodSpec): HostPort[] {
  const sidecars = (spec.initContainers ?? []).filter(
    ({ restartPolicy }) => restartPolicy === 'Always',
  );
  return [...spec.containers, ...sidecars].flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort = 0, protocol = 'TCP', hostIP = '' }) =>
      hostPort === 0
        ? []
        : [{ protocol, ip: hostIP === '' ? ANY_ADDRESS : hostIP, port: hostPort }],
    ),
  );
}

/** True if only one of the two can be had on a node. */
export function portsClash(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === ANY_ADDRESS || b.ip === ANY_ADDRESS;
}
