/**
 * Interface of a container engine for a node. The shape is that of the Container Runtime Interface
 * (k8s.io/cri-api runtime.v1), so that a CRI socket fits behind it as well as the built-in engine
 * (engine/) and plain processes (process/).
 *
 * A runtime keeps its state where it survives its own process and the kubelet's: whoever opens the
 * same root directory finds the same sandboxes and containers. Ids are opaque. Every method may
 * reject with RuntimeError; repeating a stop or remove is harmless.
 */
import type { Duplex, Readable, Writable } from 'node:stream';

export class RuntimeError extends Error {
  override name = 'RuntimeError';
  readonly reason: RuntimeErrorReason;

  constructor(reason: RuntimeErrorReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

export type RuntimeErrorReason =
  | 'NotFound'
  | 'AlreadyExists'
  | 'InvalidArgument'
  /** The image is not there. */
  | 'ImageNotFound'
  | 'ImagePull'
  | 'InvalidImageName'
  | 'DeadlineExceeded'
  | 'Unimplemented'
  | 'Internal';

export interface RuntimeVersion {
  /** As in `mainstay://0.3.0`: scheme of container ids and of the node's containerRuntimeVersion. */
  readonly name: string;
  readonly version: string;
}

export interface RuntimeCondition {
  readonly type: 'RuntimeReady' | 'NetworkReady';
  readonly isTrue: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface RuntimeStatus {
  readonly conditions: readonly RuntimeCondition[];
  /** One line for people: what isolates containers here, and what is missing. */
  readonly description: string;
}

export type NamespaceMode = 'pod' | 'container' | 'node';

export interface PodSandboxConfig {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Number of sandboxes that this pod had before. */
  readonly attempt: number;
  /** Empty: the node's (host network). */
  readonly hostname: string;
  /** Directory below which container logs are written. */
  readonly logDirectory: string;
  readonly dns: {
    readonly servers: string[];
    readonly searches: string[];
    readonly options: string[];
  };
  readonly portMappings: readonly PortMapping[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Cgroup below which the pod's containers are, relative to the root of each hierarchy. */
  readonly cgroupParent: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly namespaces: {
    readonly network: NamespaceMode;
    readonly pid: NamespaceMode;
    readonly ipc: NamespaceMode;
  };
}

export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

export interface PodSandboxStatus {
  readonly id: string;
  readonly config: Pick<
    PodSandboxConfig,
    'name' | 'namespace' | 'uid' | 'attempt' | 'labels' | 'annotations'
  >;
  readonly isReady: boolean;
  /** Wall milliseconds. */
  readonly createdAtMs: number;
  /** Empty for host network and once it is stopped. The first is the pod's primary address. */
  readonly ips: readonly string[];
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly isReadOnly: boolean;
  readonly propagation: 'private' | 'hostToContainer' | 'bidirectional';
}

export interface ContainerResources {
  readonly cpuShares: number;
  /** Microseconds of CPU per period; 0 means no limit. */
  readonly cpuQuotaUs: number;
  readonly cpuPeriodUs: number;
  /** 0 means no limit. */
  readonly memoryLimitBytes: number;
  readonly oomScoreAdj: number;
}

export interface ContainerSecurity {
  readonly isPrivileged: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  /** Undefined: the image's. */
  readonly runAsUser: number | undefined;
  readonly runAsGroup: number | undefined;
  readonly supplementalGroups: readonly number[];
  readonly isRootReadOnly: boolean;
  readonly noNewPrivileges: boolean;
}

export interface ContainerConfig {
  readonly name: string;
  /** Number of containers of this name that the pod had before. */
  readonly attempt: number;
  /** Id of an image, as `imageStatus` names it. */
  readonly imageId: string;
  /** As the user wrote it. */
  readonly image: string;
  /** Replaces the image's entrypoint when not empty. */
  readonly command: readonly string[];
  /** Replaces the image's arguments when not empty, or when `command` is not. */
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Below the sandbox's log directory: `app/0.log`. Lines are in CRI format. */
  readonly logPath: string;
  readonly hasStdin: boolean;
  /** Standard input ends with the first client that attached to it. */
  readonly isStdinOnce: boolean;
  readonly hasTty: boolean;
  readonly resources: ContainerResources;
  readonly security: ContainerSecurity;
  /** Empty: the image's, else SIGTERM. */
  readonly stopSignal: string;
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

export interface ContainerSummary {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly imageId: string;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerStatus extends ContainerSummary {
  /** 0 before it started. */
  readonly startedAtMs: number;
  /** 0 before it finished. */
  readonly finishedAtMs: number;
  readonly exitCode: number;
  /** `Completed`, `Error`, `OOMKilled`, `StartError`; empty while it runs. */
  readonly reason: string;
  readonly message: string;
  /** Absolute. */
  readonly logPath: string;
}

export interface Image {
  /** sha256 of its configuration, with `sha256:` before it. */
  readonly id: string;
  /** `docker.io/library/busybox:latest`. */
  readonly tags: readonly string[];
  readonly digests: readonly string[];
  readonly sizeBytes: number;
  /** User of its configuration: a number, a name, or empty. */
  readonly user: string;
}

export interface ExecResult {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly exitCode: number;
}

/** A process or container with its streams attached. */
export interface Session {
  /** Undefined unless asked for. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  /** Undefined with a terminal, which has one stream. */
  readonly stderr: Readable | undefined;
  resize(size: { readonly width: number; readonly height: number }): void;
  /** Of an exec: its exit code. Of an attach: resolves with undefined when the container ended or detached. */
  readonly ended: Promise<number | undefined>;
  /** Ends the session: kills an exec's process, detaches from a container. */
  close(): void;
}

export interface SessionOptions {
  readonly stdin: boolean;
  readonly tty: boolean;
}

export interface ContainerStats {
  readonly containerId: string;
  readonly timestampMs: number;
  /** Total CPU time used, in nanoseconds. */
  readonly cpuUsageNs: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryUsageBytes: number;
}

export interface ContainerEvent {
  readonly type: 'created' | 'started' | 'stopped' | 'deleted';
  readonly containerId: string;
  readonly sandboxId: string;
}

export interface ContainerRuntime {
  version(): RuntimeVersion;
  status(): Promise<RuntimeStatus>;

  /** Creates and starts a sandbox: its network is up and its address known when this resolves. Returns its id. */
  runPodSandbox(config: PodSandboxConfig): Promise<string>;
  /** Kills what runs in it and takes its network down. */
  stopPodSandbox(id: string): Promise<void>;
  /** Stops it if need be, and removes it with its containers. */
  removePodSandbox(id: string): Promise<void>;
  /** Rejects with NotFound. */
  podSandboxStatus(id: string): Promise<PodSandboxStatus>;
  listPodSandboxes(): Promise<PodSandboxStatus[]>;

  /** Returns the container's id. */
  createContainer(sandboxId: string, config: ContainerConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** Sends the stop signal, and SIGKILL after `graceSeconds`; resolves when it ended. */
  stopContainer(id: string, graceSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  containerStatus(id: string): Promise<ContainerStatus>;
  listContainers(): Promise<ContainerSummary[]>;
  updateResources(id: string, resources: ContainerResources): Promise<void>;
  /** After its log file was renamed: writes to a new one. */
  reopenContainerLog(id: string): Promise<void>;

  /** Runs a command to its end. Rejects with DeadlineExceeded; `timeoutMs` 0 means none. */
  execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult>;
  exec(id: string, command: readonly string[], options: SessionOptions): Promise<Session>;
  attach(id: string, options: SessionOptions): Promise<Session>;
  /** Connects to a port on the sandbox's loopback. */
  portForward(sandboxId: string, port: number): Promise<Duplex>;

  containerStats(): Promise<ContainerStats[]>;
  /** Calls back for what happens from now on; returns a function that ends it. Events may be lost: callers list too. */
  onEvent(listener: (event: ContainerEvent) => void): () => void;

  listImages(): Promise<Image[]>;
  /** By reference or id; undefined when it is not there. */
  imageStatus(image: string): Promise<Image | undefined>;
  /** Returns the image's id. Rejects with ImagePull when no registry can be reached or it has no such image. */
  pullImage(image: string): Promise<string>;
  /** Adds the images of an OCI layout (a directory, or a tar of one) or a docker archive. Returns their tags. */
  loadImage(path: string): Promise<string[]>;
  removeImage(image: string): Promise<void>;
  imageFsUsage(): Promise<{ readonly usedBytes: number; readonly inodesUsed: number }>;
}
