import type { ContainerConfig } from '../../../src/cluster/runtime/runtime.js';

/** A container that asks for nothing in particular. */
export function containerConfig(change: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    name: 'app',
    attempt: 0,
    imageId: '',
    image: 'busybox',
    command: [],
    args: [],
    workingDir: '',
    env: [],
    mounts: [],
    labels: {},
    annotations: {},
    logPath: `${change.name ?? 'app'}/0.log`,
    hasStdin: false,
    isStdinOnce: false,
    hasTty: false,
    resources: {
      cpuShares: 2,
      cpuQuotaUs: 0,
      cpuPeriodUs: 0,
      memoryLimitBytes: 0,
      oomScoreAdj: 1000,
    },
    security: {
      isPrivileged: false,
      addCapabilities: [],
      dropCapabilities: [],
      runAsUser: undefined,
      runAsGroup: undefined,
      supplementalGroups: [],
      isRootReadOnly: false,
      noNewPrivileges: false,
    },
    stopSignal: '',
    ...change,
  };
}
