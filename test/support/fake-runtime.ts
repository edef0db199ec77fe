import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import type { ClusterEnv } from '../../src/cluster/env.js';
import { sleep } from '../../src/cluster/env.js';
import type {
  ContainerConfig,
  ContainerEvent,
  ContainerResources,
  ContainerRuntime,
  ContainerStats,
  ContainerStatus,
  ContainerSummary,
  ExecResult,
  Image,
  PodSandboxConfig,
  PodSandboxStatus,
  RuntimeStatus,
  RuntimeVersion,
  Session,
  SessionOptions,
} from '../../src/cluster/runtime/runtime.js';
import { RuntimeError } from '../../src/cluster/runtime/runtime.js';

export interface FakeSandbox {
  readonly id: string;
  readonly config: PodSandboxConfig;
  isReady: boolean;
  readonly createdAtMs: number;
  readonly ips: readonly string[];
}

export interface FakeContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  state: ContainerStatus['state'];
  readonly createdAtMs: number;
  startedAtMs: number;
  finishedAtMs: number;
  exitCode: number;
  reason: string;
  /** Milliseconds it takes to end after the stop signal; Infinity ignores the signal. */
  stopMs: number;
  /** Set while a stop waits: when it will be killed. */
  killAtMs: number | undefined;
}

/**
 * A runtime in memory. Containers run until a test ends them (`exit`) or somebody stops them.
 * Hooks let a test fail or delay what it likes; `history` tells what was asked for.
 */
export class FakeRuntime implements ContainerRuntime {
  readonly env: ClusterEnv;
  readonly sandboxes = new Map<string, FakeSandbox>();
  readonly containers = new Map<string, FakeContainer>();
  readonly images = new Map<string, Image>();
  /** Promises of the kubelet that were broken. */
  readonly violations: string[] = [];
  /** As `start app/0`, `stop app/0 30`. */
  readonly history: string[] = [];
  /** Called before the operation; may throw or wait. */
  before: (operation: string, name: string) => Promise<void> | void = () => undefined;
  /** True when a registry has the image. */
  hasRemote: (image: string) => boolean = () => false;
  onExec: (container: FakeContainer, command: readonly string[]) => Promise<ExecResult> = () =>
    Promise.resolve({ stdout: new Uint8Array(), stderr: new Uint8Array(), exitCode: 0 });
  /** Session of exec and attach. */
  onSession: (command: readonly string[] | undefined, options: SessionOptions) => Session = () => {
    throw new RuntimeError('Unimplemented', 'no session');
  };
  onForward: (port: number) => Duplex = () => new PassThrough();
  defaultStopMs = 0;
  readonly #listeners = new Set<(event: ContainerEvent) => void>();
  #nextId = 1;

  constructor(env: ClusterEnv) {
    this.env = env;
    this.addImage('busybox:latest');
  }

  addImage(tag: string, user = ''): Image {
    const id = `sha256:${Buffer.from(tag).toString('hex').padEnd(64, '0').slice(0, 64)}`;
    const image = { id, tags: [tag], digests: [], sizeBytes: 1000, user };
    this.images.set(tag, image);
    return image;
  }

  /** The newest container of that name in any pod, or in the pod of that uid. */
  container(name: string, uid?: string): FakeContainer {
    const found = [...this.containers.values()].filter(
      ({ config }) =>
        config.name === name &&
        (uid === undefined || config.labels['io.kubernetes.pod.uid'] === uid),
    );
    const newest = found.at(-1);
    if (newest === undefined) throw new Error(`no container ${name}`);
    return newest;
  }

  running(): FakeContainer[] {
    return [...this.containers.values()].filter(({ state }) => state === 'running');
  }

  exit(container: FakeContainer, exitCode: number, reason = ''): void {
    if (container.state !== 'running') return;
    container.state = 'exited';
    container.exitCode = exitCode;
    container.reason = reason === '' ? (exitCode === 0 ? 'Completed' : 'Error') : reason;
    container.finishedAtMs = this.env.wallMs();
    this.#emit('stopped', container);
  }

  version(): RuntimeVersion {
    return { name: 'fake', version: '1.0' };
  }

  status(): Promise<RuntimeStatus> {
    return Promise.resolve({
      conditions: [
        { type: 'RuntimeReady', isTrue: true, reason: '', message: '' },
        { type: 'NetworkReady', isTrue: true, reason: '', message: '' },
      ],
      description: 'in memory',
    });
  }

  async runPodSandbox(config: PodSandboxConfig): Promise<string> {
    await this.#enter('sandbox', config.name);
    const id = this.#id();
    const ips = config.namespaces.network === 'node' ? [] : [`10.88.0.${this.#nextId}`];
    const createdAtMs = this.env.wallMs();
    this.sandboxes.set(id, { id, config, isReady: true, createdAtMs, ips });
    return id;
  }

  async stopPodSandbox(id: string): Promise<void> {
    await this.#enter('stopSandbox', id);
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return;
    sandbox.isReady = false;
    for (const one of this.containers.values()) if (one.sandboxId === id) this.exit(one, 137);
  }

  async removePodSandbox(id: string): Promise<void> {
    await this.stopPodSandbox(id);
    for (const one of this.containers.values()) {
      if (one.sandboxId === id) this.containers.delete(one.id);
    }
    this.sandboxes.delete(id);
  }

  podSandboxStatus(id: string): Promise<PodSandboxStatus> {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) throw new RuntimeError('NotFound', `sandbox ${id} not found`);
    return Promise.resolve({ ...sandbox });
  }

  async listPodSandboxes(): Promise<PodSandboxStatus[]> {
    await this.#enter('list', '');
    return [...this.sandboxes.values()].map((sandbox) => ({ ...sandbox }));
  }

  async createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    await this.#enter('create', `${config.name}/${config.attempt}`);
    if (this.sandboxes.get(sandboxId)?.isReady !== true) {
      throw new RuntimeError('NotFound', `sandbox ${sandboxId} is not ready`);
    }
    const id = this.#id();
    this.containers.set(id, {
      id,
      sandboxId,
      config,
      state: 'created',
      createdAtMs: this.env.wallMs(),
      startedAtMs: 0,
      finishedAtMs: 0,
      exitCode: 0,
      reason: '',
      stopMs: this.defaultStopMs,
      killAtMs: undefined,
    });
    return id;
  }

  async startContainer(id: string): Promise<void> {
    const container = this.#get(id);
    await this.#enter('start', nameOf(container));
    const { name, labels } = container.config;
    for (const other of this.running()) {
      const isSame =
        other.config.labels['io.kubernetes.pod.uid'] === labels['io.kubernetes.pod.uid'];
      if (isSame && other.config.name === name) this.violations.push(`two of ${name} at once`);
    }
    container.state = 'running';
    container.startedAtMs = this.env.wallMs();
    this.#emit('started', container);
  }

  async stopContainer(id: string, graceSeconds: number): Promise<void> {
    const container = this.containers.get(id);
    if (container === undefined) return;
    await this.#enter('stop', `${nameOf(container)} ${graceSeconds}`);
    const { env } = this;
    const signalledMs = env.monoMs();
    const killAtMs = signalledMs + graceSeconds * 1000;
    container.killAtMs = Math.min(container.killAtMs ?? Infinity, killAtMs);
    while (container.state === 'running') {
      const endMs = Math.min(signalledMs + container.stopMs, container.killAtMs);
      if (env.monoMs() >= endMs) this.exit(container, endMs === container.killAtMs ? 137 : 143);
      else await sleep(env, Math.min(100, endMs - env.monoMs()));
    }
  }

  async removeContainer(id: string): Promise<void> {
    await this.#enter('remove', id);
    this.containers.delete(id);
  }

  containerStatus(id: string): Promise<ContainerStatus> {
    return Promise.resolve(this.#status(this.#get(id)));
  }

  async listContainers(): Promise<ContainerSummary[]> {
    await this.#enter('list', '');
    return [...this.containers.values()].map((container) => this.#status(container));
  }

  updateResources(_id: string, _resources: ContainerResources): Promise<void> {
    return Promise.resolve();
  }

  async reopenContainerLog(id: string): Promise<void> {
    await this.#enter('reopen', nameOf(this.#get(id)));
  }

  async execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const container = this.#get(id);
    if (container.state !== 'running') throw new RuntimeError('NotFound', 'container not running');
    const work = this.onExec(container, command);
    if (timeoutMs === 0) return work;
    const late = sleep(this.env, timeoutMs).then((): never => {
      throw new RuntimeError('DeadlineExceeded', 'command timed out');
    });
    return Promise.race([work, late]);
  }

  exec(_id: string, command: readonly string[], options: SessionOptions): Promise<Session> {
    return Promise.resolve(this.onSession(command, options));
  }

  attach(_id: string, options: SessionOptions): Promise<Session> {
    return Promise.resolve(this.onSession(undefined, options));
  }

  portForward(_sandboxId: string, port: number): Promise<Duplex> {
    return Promise.resolve(this.onForward(port));
  }

  containerStats(): Promise<ContainerStats[]> {
    return Promise.resolve(
      this.running().map(({ id }) => ({
        containerId: id,
        timestampMs: this.env.wallMs(),
        cpuUsageNs: 1_500_000_000,
        memoryWorkingSetBytes: 4096,
        memoryUsageBytes: 8192,
      })),
    );
  }

  onEvent(listener: (event: ContainerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  listImages(): Promise<Image[]> {
    return Promise.resolve([...this.images.values()]);
  }

  imageStatus(image: string): Promise<Image | undefined> {
    const byId = [...this.images.values()].find(({ id }) => id === image);
    return Promise.resolve(this.images.get(image) ?? byId);
  }

  async pullImage(image: string): Promise<string> {
    await this.#enter('pull', image);
    if (!this.hasRemote(image)) throw new RuntimeError('ImagePull', `no registry has ${image}`);
    return this.addImage(image).id;
  }

  loadImage(): Promise<string[]> {
    return Promise.resolve([]);
  }

  removeImage(image: string): Promise<void> {
    this.images.delete(image);
    return Promise.resolve();
  }

  imageFsUsage(): Promise<{ usedBytes: number; inodesUsed: number }> {
    return Promise.resolve({ usedBytes: 12_345, inodesUsed: 67 });
  }

  async #enter(operation: string, name: string): Promise<void> {
    if (operation !== 'list') this.history.push(`${operation} ${name}`);
    await this.before(operation, name);
  }

  #get(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (container === undefined) throw new RuntimeError('NotFound', `container ${id} not found`);
    return container;
  }

  #status(container: FakeContainer): ContainerStatus {
    const { id, sandboxId, config, state, createdAtMs, startedAtMs, finishedAtMs } = container;
    const { name, attempt, image, imageId, labels, annotations } = config;
    const { exitCode, reason } = container;
    const logDirectory = this.sandboxes.get(sandboxId)?.config.logDirectory ?? '';
    const logPath = `${logDirectory}/${config.logPath}`;
    const summary = { id, sandboxId, name, attempt, image, imageId, state, createdAtMs };
    const times = { startedAtMs, finishedAtMs };
    return { ...summary, ...times, labels, annotations, exitCode, reason, message: '', logPath };
  }

  #emit(type: ContainerEvent['type'], { id, sandboxId }: FakeContainer): void {
    for (const listener of this.#listeners) listener({ type, containerId: id, sandboxId });
  }

  #id(): string {
    return (this.#nextId++).toString(16).padStart(12, '0');
  }
}

function nameOf({ config }: FakeContainer): string {
  return `${config.name}/${config.attempt}`;
}
