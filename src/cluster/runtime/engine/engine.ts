/**
 * The built-in container engine: images from files, overlayfs, runc, conmon, routed pod network.
 * Neither sandboxes nor containers need this process; another that opens the same directories goes
 * on with them. It uses the network namespace that it was started in, and the machine's mounts.
 */
import { mkdir } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { mainstayVersion } from '../../../base/flags/version.js';
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv } from '../../env.js';
import { Events } from '../events.js';
import { describeFacilities, type Facilities } from '../facilities.js';
import {
  RuntimeError,
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
} from '../runtime.js';
import { attach } from './attach.js';
import { readUsage } from './cgroups.js';
import { Containers } from './containers.js';
import { Execs } from './exec.js';
import { baseImage } from './images/base-image.js';
import { describe, ImageStore, pullImpossible } from './images/image-store.js';
import { Layout } from './layout.js';
import { reopenLog } from './monitor.js';
import { Addresses } from './network/addresses.js';
import { enableForwarding } from './network/pod-network.js';
import { forwardPort } from './port-forward.js';
import { Runc } from './runc.js';
import { namespacePaths } from './sandbox-namespaces.js';
import { sandboxStatus } from './sandbox-record.js';
import { Sandboxes } from './sandboxes.js';

export interface EngineOptions {
  /** Images, containers, addresses. */
  readonly rootDir: string;
  /** What ends with the machine: namespaces, runc's records. */
  readonly stateDir: string;
  /** IPv4. */
  readonly podCidr: string;
  readonly facilities: Facilities;
  readonly env: ClusterEnv;
  readonly log: Logger;
}

export class Engine implements ContainerRuntime {
  private readonly options: EngineOptions;
  private readonly layout: Layout;
  private readonly images: ImageStore;
  private readonly sandboxes: Sandboxes;
  private readonly containers: Containers;
  private readonly execs: Execs;
  private readonly events = new Events();
  private networkProblem: string | undefined;

  /** Finds what is there, and removes what a crash left in part. Rejects with RuntimeError. */
  static async open(options: EngineOptions): Promise<Engine> {
    for (const dir of [options.rootDir, options.stateDir]) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
    }
    const engine = new Engine(options);
    await engine.openParts();
    return engine;
  }

  private constructor(options: EngineOptions) {
    const { rootDir, stateDir, podCidr, facilities, env, log } = options;
    const { programs } = facilities;
    const { conmon, runc: runcProgram, busybox } = programs;
    if (conmon === undefined || runcProgram === undefined) {
      throw new RuntimeError('Unimplemented', 'the container engine needs runc and conmon');
    }
    this.options = options;
    const layout = new Layout(rootDir, stateDir);
    this.layout = layout;
    const runc = new Runc(runcProgram, layout.runc());
    const images = new ImageStore({ dir: layout.images(), usesOverlay: true, keepsOwners: true });
    this.images = images;
    const addresses = new Addresses(layout.addresses(), podCidr);
    const sandboxes = new Sandboxes({ layout, addresses, runc, busybox, env, log });
    this.sandboxes = sandboxes;
    const { events } = this;
    const shared = { layout, conmon, runc, images, sandboxes, facilities, events, env, log };
    this.containers = new Containers(shared);
    this.execs = new Execs({ runc, script: programs.script, env });
  }

  /** Stops watching; sandboxes and containers go on. */
  close(): void {
    this.containers.close();
  }

  version(): RuntimeVersion {
    return { name: 'mainstay', version: mainstayVersion() };
  }

  status(): Promise<RuntimeStatus> {
    const problem = this.networkProblem;
    return Promise.resolve({
      conditions: [
        { type: 'RuntimeReady', isTrue: true, reason: 'RuntimeIsReady', message: '' },
        {
          type: 'NetworkReady',
          isTrue: problem === undefined,
          reason: problem === undefined ? 'NetworkIsReady' : 'ForwardingDisabled',
          message: problem ?? '',
        },
      ],
      description: `${describeFacilities(this.options.facilities)}; no seccomp filter, no AppArmor`,
    });
  }

  /** Its port mappings are not made here: node ports and host ports are the proxy's. */
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

  updateResources(id: string, resources: ContainerResources): Promise<void> {
    return this.containers.update(id, resources);
  }

  async reopenContainerLog(id: string): Promise<void> {
    const { logPath } = this.containers.running(id).record;
    await reopenLog(this.layout.container(id), logPath, this.options.env);
  }

  async execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    this.containers.running(id);
    return this.execs.sync(id, this.layout.container(id), command, timeoutMs);
  }

  async exec(id: string, command: readonly string[], options: SessionOptions): Promise<Session> {
    this.containers.running(id);
    return Promise.resolve(this.execs.open(id, this.layout.container(id), command, options));
  }

  async attach(id: string, options: SessionOptions): Promise<Session> {
    const { env, log, facilities } = this.options;
    const tools = { socat: facilities.programs.socat, env, log };
    return attach(this.containers.running(id), this.layout.container(id), options, tools);
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const { config, phase } = this.sandboxes.get(sandboxId);
    if (phase !== 'ready') {
      throw new RuntimeError('InvalidArgument', `sandbox "${sandboxId}" is not ready`);
    }
    const { socat, nsenter = 'nsenter' } = this.options.facilities.programs;
    const { network } = namespacePaths(config, this.layout.namespacesOf(sandboxId));
    return forwardPort(network, port, { socat, nsenter });
  }

  containerStats(): Promise<ContainerStats[]> {
    const { env, facilities } = this.options;
    const found: ContainerStats[] = [];
    for (const entry of this.containers.list()) {
      if (entry.state !== 'running') continue;
      const usage = readUsage(facilities.cgroupVersion, this.containers.cgroupOf(entry));
      if (usage === undefined) continue;
      found.push({ containerId: entry.record.id, timestampMs: env.wallMs(), ...usage });
    }
    return Promise.resolve(found);
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

  /** Makes the image `busybox` from the node's own program, when there is none yet. Returns its tags. */
  async addBaseImage(): Promise<readonly string[]> {
    const { busybox } = this.options.facilities.programs;
    if (busybox === undefined) {
      throw new RuntimeError('Unimplemented', 'no busybox on the node (Debian package busybox-static)');
    }
    return (await this.images.add(await baseImage(busybox))).tags;
  }

  removeImage(image: string): Promise<void> {
    return this.images.remove(image, () => this.containers.usedLayers());
  }

  imageFsUsage(): Promise<{ readonly usedBytes: number; readonly inodesUsed: number }> {
    return this.images.usage();
  }

  private async openParts(): Promise<void> {
    this.networkProblem = enableForwarding();
    await this.images.open();
    await this.sandboxes.open();
    await this.containers.open();
  }

  private containersOf(sandboxId: string): string[] {
    return this.containers
      .list()
      .filter(({ record }) => record.sandboxId === sandboxId)
      .map(({ record }) => record.id);
  }
}
