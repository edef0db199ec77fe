/** Ports of this node that lead to one of its pods. */
import type { Pod } from '../../gen/kube-core-v1.js';
import { protocolOf, type PortEntry } from './service-table.js';

const ANY_ADDRESS = '0.0.0.0';
const ENDED = ['Succeeded', 'Failed'];

/** Of a pod that has an address of its own and has not ended. */
export function hostPortEntries({ metadata, spec, status }: Pod): PortEntry[] {
  const ip = status?.podIP ?? '';
  if (ip === '' || spec?.hostNetwork === true || ENDED.includes(status?.phase ?? '')) return [];
  const entries: PortEntry[] = [];
  for (const { ports } of [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])]) {
    for (const { hostPort = 0, hostIP = '', containerPort, ...port } of ports ?? []) {
      if (hostPort === 0) continue;
      const protocol = protocolOf(port.protocol);
      const targets = [{ ip, port: containerPort }];
      const isForAll = hostIP === '' || hostIP === ANY_ADDRESS;
      entries.push({
        id: `pod:${metadata.namespace ?? ''}/${metadata.name ?? ''}/${protocol}/${hostPort}/${hostIP}`,
        protocol,
        clusterIp: '',
        port: hostPort,
        nodePort: isForAll ? hostPort : 0,
        externalIps: isForAll ? [] : [hostIP],
        all: targets,
        local: targets,
        isInternalLocal: false,
        isExternalLocal: true,
        affinitySeconds: 0,
      });
    }
  }
  return entries;
}
