import type { KubeletConfig } from '../config.js';

/** Settings as KubeletConfiguration names them, without anything secret. */
export function configz(config: KubeletConfig): object {
  return {
    kubeletconfig: {
      kind: 'KubeletConfiguration',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      address: config.server?.address ?? '',
      port: config.server?.port ?? 0,
      clusterDomain: config.clusterDomain,
      clusterDNS: config.clusterDns,
      resolvConf: config.resolverFile,
      maxPods: config.maxPods,
      systemReserved: config.reserved,
      cgroupRoot: config.cgroupRoot,
      cgroupDriver: 'cgroupfs',
      containerLogMaxSize: String(config.containerLogMaxBytes),
      containerLogMaxFiles: config.containerLogMaxFiles,
      podLogsDir: config.podLogsDirectory,
      nodeStatusUpdateFrequency: '10s',
      nodeStatusReportFrequency: '5m0s',
      nodeLeaseDurationSeconds: 40,
      authentication: { anonymous: { enabled: false }, webhook: { enabled: false } },
      authorization: { mode: 'AllowedClients' },
    },
  };
}
