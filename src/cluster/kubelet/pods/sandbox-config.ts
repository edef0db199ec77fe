import type { Pod } from '../../../gen/kube-core-v1.js';
import type { NamespaceMode, PodSandboxConfig, PortMapping } from '../../runtime/runtime.js';
import type { Resolver } from '../files.js';
import { podHostname } from '../files.js';
import { podCgroup } from '../resources.js';
import type { PodPaths } from './pod-paths.js';
import { graceSecondsOf, uidOf, usesHostNetwork } from './pod-spec.js';
import { GRACE_PERIOD, POD_NAMESPACE_LABEL, POD_NAME_LABEL, POD_UID_LABEL } from './pod-view.js';

export function podLabels(pod: Pod): Record<string, string> {
  const { name = '', namespace = '' } = pod.metadata;
  return {
    [POD_NAME_LABEL]: name,
    [POD_NAMESPACE_LABEL]: namespace,
    [POD_UID_LABEL]: uidOf(pod),
  };
}

export function sandboxConfig(
  pod: Pod,
  attempt: number,
  resolver: Resolver,
  paths: PodPaths,
  cgroupRoot: string,
): PodSandboxConfig {
  const { name = '', namespace = '', labels = {}, annotations = {} } = pod.metadata;
  const isOnHost = usesHostNetwork(pod);
  const sysctls = (pod.spec.securityContext?.sysctls ?? []).map((one) => [one.name, one.value]);
  return {
    name,
    namespace,
    uid: uidOf(pod),
    attempt,
    hostname: isOnHost ? '' : podHostname(pod),
    logDirectory: paths.logsOf(pod),
    dns: resolver,
    portMappings: isOnHost ? [] : portMappings(pod),
    labels: { ...labels, ...podLabels(pod) },
    annotations: { ...annotations, [GRACE_PERIOD]: String(graceSecondsOf(pod)) },
    cgroupParent: podCgroup(cgroupRoot, pod),
    sysctls: Object.fromEntries(sysctls) as Record<string, string>,
    namespaces: {
      network: isOnHost ? 'node' : 'pod',
      pid: pidMode(pod),
      ipc: pod.spec.hostIPC === true ? 'node' : 'pod',
    },
  };
}

function pidMode({ spec }: Pod): NamespaceMode {
  if (spec.hostPID === true) return 'node';
  return spec.shareProcessNamespace === true ? 'pod' : 'container';
}

function portMappings(pod: Pod): PortMapping[] {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return containers
    .flatMap(({ ports }) => ports ?? [])
    .filter(({ hostPort = 0 }) => hostPort > 0)
    .map(({ containerPort, hostPort = 0, hostIP = '', protocol }) => ({
      protocol: protocol === 'UDP' || protocol === 'SCTP' ? protocol : 'TCP',
      containerPort,
      hostPort,
      hostIp: hostIP,
    }));
}
