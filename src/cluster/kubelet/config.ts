/**
 * Settings of one kubelet. Names and defaults are those of the kubelet's flags and of
 * KubeletConfiguration (kubelet.config.k8s.io/v1beta1) where these have them.
 */

export interface KubeletConfig {
  readonly nodeName: string;
  /** Addresses of the node, the primary one first. Never empty. */
  readonly nodeIps: readonly string[];
  /** As in `v1.36.3`. */
  readonly version: string;
  /** Holds `pods/<uid>/` with volumes and container files. Created when missing. */
  readonly rootDirectory: string;
  /** Holds `<namespace>_<name>_<uid>/<container>/<restart>.log`. Created when missing. */
  readonly podLogsDirectory: string;
  /** Written into the Node when it registers; empty for none. */
  readonly podCidrs: readonly string[];
  /** Besides those that every node has. */
  readonly nodeLabels: Readonly<Record<string, string>>;
  readonly maxPods: number;
  /** Subtracted from capacity, as in `{ cpu: '100m', memory: '200Mi' }`. */
  readonly reserved: Readonly<Record<string, string>>;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The node's own, whose servers and search list pods inherit. Empty: pods inherit nothing. */
  readonly resolverFile: string;
  /** Cgroup above all pods, relative to the root of each hierarchy: `kubepods`. */
  readonly cgroupRoot: string;
  /** Size at which a container's log is rotated, and how many files of it are kept. */
  readonly containerLogMaxBytes: number;
  readonly containerLogMaxFiles: number;
  /** Lowest oom_score_adj that may be set here; engines without CAP_SYS_RESOURCE get 0. */
  readonly minOomScoreAdj: number;
  readonly server: KubeletServerConfig | undefined;
}

export interface KubeletServerConfig {
  readonly address: string;
  /** 10250 in most clusters; 0 takes any free port. */
  readonly port: number;
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  /** PEM of the authority whose client certificates are looked at. */
  readonly clientCa: string;
  /** Common names that may use the API: those of the API server's kubelet client. */
  readonly allowedClients: readonly string[];
}

/** Settings that most nodes share. */
export const KUBELET_DEFAULTS = {
  podCidrs: [],
  nodeLabels: {},
  maxPods: 110,
  reserved: {},
  clusterDns: [],
  clusterDomain: 'cluster.local',
  resolverFile: '/etc/resolv.conf',
  cgroupRoot: 'kubepods',
  containerLogMaxBytes: 10 * 1024 * 1024,
  containerLogMaxFiles: 5,
  minOomScoreAdj: -997,
  server: undefined,
} satisfies Partial<KubeletConfig>;
