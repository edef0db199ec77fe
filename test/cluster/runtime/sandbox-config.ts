import type { PodSandboxConfig } from '../../../src/cluster/runtime/runtime.js';

/** A pod with a network of its own. */
export function sandboxConfig(change: Partial<PodSandboxConfig>): PodSandboxConfig {
  return {
    name: 'web',
    namespace: 'default',
    uid: 'uid',
    attempt: 0,
    hostname: 'web',
    logDirectory: '/nowhere',
    dns: { servers: ['10.96.0.10'], searches: ['svc.cluster.local'], options: ['ndots:5'] },
    portMappings: [],
    labels: { app: 'web' },
    annotations: { note: 'kept' },
    cgroupParent: '',
    sysctls: {},
    namespaces: { network: 'pod', pid: 'container', ipc: 'pod' },
    ...change,
  };
}
