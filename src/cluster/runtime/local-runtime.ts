/**
 * Common part of this folder's runtimes: sandboxes, containers and images in directories of the
 * node. Neither sandboxes nor containers need this process; another that opens the same directories
 * goes on with them.
 */
import type { Duplex } from 'node:stream';
import { mainstayVersion } from '../../base/flags/version.js';
import type { Logger } from '../../base/observe/logger.js';
import type { ClusterEnv } from '../env.js';
import { Containers, type ContainerDriver } from './containers.js';
import { Events } from './events.js';
import type { Facilities } from './facilities.js';
import { baseImage } from './images/base-image.js';
import { describe, ImageStore, pullImpossible } from './images/image-store.js';
import { Layout } from './layout.js';
import {
  type ContainerConfig,
  type ContainerEvent,
  type ContainerResources,
  type ContainerRuntime,
  type ContainerStats,
  type ContainerStatus,
  type ContainerSummary,
  type ExecResult,
  type Image,
  type PodSandboxConfig,
  type PodSandboxStatus,
  type RuntimeStatus,
  type RuntimeVersion,
  type Session,
  type SessionOptions,
} from './runtime.js';
import { sandboxStatus } from './sandbox-record.js';
import { Sandboxes, type SandboxDriver } from './sandboxes.js';

export interface LocalRuntimeOptions {
  /** Images, containers, addresses. */
  readonly rootDir: string;
  /** Directory of state that ends with the machine: namespaces, runc's records. */
  readonly stateDir: string;
  /** IPv4 range of the node's pods. */
  readonly podCidr: string;
  /** File of the node's network namespace. Undefined: the one this process is in. */
  readonly networkNamespace?: string | undefined;
  readonly facilities: Facilities;
  readonly env: ClusterEnv;
  readonly log: Logger;
}

/** The parts by which kinds of runtimes differ. */
export interface RuntimeDrivers {
  readonly sandboxes: SandboxDriver;
  readonly containers: ContainerDriver;
}

export abstract class LocalRuntime implements ContainerRuntime {
  protected readonly options: LocalRuntimeOptions;
  protected readonly layout: Layout;
  protected readonly images: ImageStore;
  protected readonly sandboxes: Sandboxes;
  protected readonly containers: Containers;
  private readonly events = new Events();

  protected constructor(
    options: LocalRuntimeOptions,
    hasOverlay: boolean,
    drivers: (layout: Layout, images: ImageStore) => RuntimeDrivers,
  ) {
    const { env, log, facilities } = options;
    const { events } = this;
    this.options = options;
    const layout = new Layout(options.rootDir, options.stateDir);
    const images = new ImageStore({
      dir: layout.images(),
      usesOverlay: hasOverlay,
      keepsOwners: hasOverlay && facilities.isRoot,
    });
    const { sandboxes: sandboxDriver, containers: driver } = drivers(layout, images);
    const sandboxes = new Sandboxes(layout, sandboxDriver, env, log);
    this.layout = layout;
    this.images = images;
    this.sandboxes = sandboxes;
    this.containers = new Containers({ layout, driver, images, sandboxes, events, env, log });
  }

  abstract status(): Promise<RuntimeStatus>;
  abstract updateResources(id: string, resources: ContainerResources): Promise<void>;
  abstract reopenContainerLog(id: string): Promise<void>;
  abstract execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult>;
  abstract exec(id: string, command: readonly string[], options: SessionOptions): Promise<Session>;
  abstract attach(id: string, options: SessionOptions): Promise<Session>;
  abstract portForward(sandboxId: string, port: number): Promise<Duplex>;
  abstract containerStats(): Promise<ContainerStats[]>;

  /** Stops watching; sandboxes and containers go on. */
  close(): void {
    this.containers.close();
  }

  version(): RuntimeVersion {
    return { name: 'mainstay', version: mainstayVersion() };
  }

  async runPodSandbox(config: PodSandboxConfig): Promise<string> {
    return (await this.sandboxes.create(config)).id;
  }

  async stopPodSandbox(id: string): Promise<void> {
    if (this.sandboxes.find(id) === undefined) return;
    await Promise.all(this.containersOf(id).map((container) => this.containers.stop(container, 0)));
    await this.sandboxes.stop(id);
  }

  async removePodSandbox(id: string): Promise<void> {
    await this.stopPodSandbox(id);
    for (const container of this.containersOf(id)) await this.containers.remove(container);
    await this.sandboxes.remove(id);
  }

  async podSandboxStatus(id: string): Promise<PodSandboxStatus> {
    return Promise.resolve(sandboxStatus(this.sandboxes.get(id)));
  }

  listPodSandboxes(): Promise<PodSandboxStatus[]> {
    const whole = this.sandboxes.list().filter(({ phase }) => phase !== 'creating');
    return Promise.resolve(whole.map(sandboxStatus));
  }

  createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    return this.containers.create(sandboxId, config);
  }

  startContainer(id: string): Promise<void> {
    return this.containers.start(id);
  }

  stopContainer(id: string, graceSeconds: number): Promise<void> {
    return this.containers.stop(id, graceSeconds);
  }

  removeContainer(id: string): Promise<void> {
    return this.containers.remove(id);
  }

  async containerStatus(id: string): Promise<ContainerStatus> {
    return Promise.resolve(this.containers.get(id).status());
  }

  listContainers(): Promise<ContainerSummary[]> {
    return Promise.resolve(this.containers.list().map((entry) => entry.status()));
  }

  onEvent(listener: (event: ContainerEvent) => void): () => void {
    return this.events.listen(listener);
  }

  listImages(): Promise<Image[]> {
    return Promise.resolve(this.images.list());
  }

  async imageStatus(image: string): Promise<Image | undefined> {
    const found = this.images.find(image);
    return Promise.resolve(found === undefined ? undefined : describe(found));
  }

  async pullImage(image: string): Promise<string> {
    return Promise.reject(pullImpossible(image));
  }

  loadImage(path: string): Promise<string[]> {
    return this.images.load(path);
  }

  removeImage(image: string): Promise<void> {
    return this.images.remove(image, () => this.containers.usedLayers());
  }

  imageFsUsage(): Promise<{ readonly usedBytes: number; readonly inodesUsed: number }> {
    return this.images.usage();
  }

  /** Reads what is there, removes what a crash left in part, and makes the image `busybox` if it can. */
  protected async openParts(): Promise<void> {
    await this.images.open();
    await this.sandboxes.open();
    await this.containers.open();
    const { busybox } = this.options.facilities.programs;
    if (busybox === undefined || this.images.find('busybox') !== undefined) return;
    await this.images.add(await baseImage(busybox));
  }

  private containersOf(sandboxId: string): string[] {
    return this.containers
      .list()
      .filter(({ record }) => record.sandboxId === sandboxId)
      .map(({ record }) => record.id);
  }
}
