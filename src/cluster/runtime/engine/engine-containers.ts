/** Containers of the engine: an overlay of the image's layers, a process below runc and conmon. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerDriver, ProcessState } from '../containers.js';
import type { ContainerEntry, ContainerRecord } from '../container-record.js';
import type { Facilities } from '../facilities.js';
import type { ImageStore, StoredImage } from '../images/image-store.js';
import type { Layout } from '../layout.js';
import { mountOverlay, mountsBelow, unmountBelow } from '../mounts.js';
import { markOf, signal, type ProcessMark } from '../processes.js';
import type { SandboxRecord } from '../sandbox-record.js';
import { writeState } from '../state-files.js';
import { capabilitiesOf } from './capabilities.js';
import type { EngineSandboxes } from './engine-sandboxes.js';
import { resolveUser } from './image-user.js';
import { createMonitored } from './monitor.js';
import { ociSpec } from './oci-spec.js';
import type { Runc } from './runc.js';
import { hostnameOf } from './sandbox-files.js';
import { namespacePaths, shmPathOf } from './sandbox-namespaces.js';

const SIGKILL = 9;
const LOWEST_OOM_SCORE = -1000;

export interface EngineContainerOptions {
  readonly layout: Layout;
  readonly conmon: string;
  readonly runc: Runc;
  readonly images: ImageStore;
  readonly sandboxes: EngineSandboxes;
  readonly facilities: Facilities;
  /** Undefined: the one this process is in. */
  readonly nodeNamespace: string | undefined;
}

/** Below the sandbox's, in every hierarchy. */
export function cgroupOf(sandbox: SandboxRecord, id: string): string {
  return join('/', sandbox.config.cgroupParent, id);
}

export class EngineContainers implements ContainerDriver {
  private readonly options: EngineContainerOptions;

  constructor(options: EngineContainerOptions) {
    this.options = options;
  }

  async prepare(
    record: ContainerRecord,
    sandbox: SandboxRecord,
    image: StoredImage,
  ): Promise<void> {
    const bundle = this.options.layout.container(record.id);
    for (const name of ['rootfs', 'upper', 'work']) await mkdir(join(bundle, name));
    // The merged root looks like this directory, whatever mask this process has.
    await chmod(join(bundle, 'upper'), 0o755);
    await this.mountRoot(record);
    await writeState(join(bundle, 'config.json'), this.specOf(record, sandbox, image));
  }

  async create(record: ContainerRecord): Promise<ProcessMark> {
    const { layout, conmon, runc } = this.options;
    const { id, config, logPath } = record;
    await this.mountRoot(record);
    const pid = await createMonitored({
      ...{ conmon, runc, id, logPath },
      bundle: layout.container(id),
      exitDir: layout.exits(),
      hasTty: config.hasTty,
      hasStdin: config.hasStdin,
      isStdinOnce: config.isStdinOnce,
    });
    return markOf(pid);
  }

  async release(id: string): Promise<void> {
    await this.options.runc.start(id);
  }

  async find(record: ContainerRecord): Promise<ProcessState> {
    const status = await this.options.runc.status(record.id);
    if (status === 'running' || status === 'paused') return 'running';
    return status === 'created' || status === 'creating' ? 'created' : 'gone';
  }

  signal(process: ProcessMark, number: number): void {
    signal(process, number);
  }

  kill(entry: ContainerEntry): Promise<void> {
    if (entry.start !== undefined) signal(entry.start.process, SIGKILL);
    return Promise.resolve();
  }

  async killRest(record: ContainerRecord, sandbox: SandboxRecord | undefined): Promise<void> {
    // With a process namespace of its own the kernel has killed the rest.
    if (sandbox?.config.namespaces.pid === 'container') return;
    await this.options.runc.killAll(record.id, SIGKILL);
  }

  async remove(id: string): Promise<void> {
    await this.options.runc.remove(id);
    await unmountBelow(this.options.layout.rootfs(id));
  }

  known(): Promise<string[]> {
    return this.options.runc.list();
  }

  private async mountRoot({ id, layers }: ContainerRecord): Promise<void> {
    const { layout, images } = this.options;
    if (mountsBelow(layout.rootfs(id)).length > 0) return;
    await mountOverlay({
      base: images.layers.layersRoot(),
      lower: layers.map((key) => images.layers.treeOf(key)).reverse(),
      upper: join(layout.container(id), 'upper'),
      work: join(layout.container(id), 'work'),
      target: layout.rootfs(id),
    });
  }

  private specOf(record: ContainerRecord, sandbox: SandboxRecord, image: StoredImage): object {
    const { layout, facilities, sandboxes, nodeNamespace } = this.options;
    const { config } = record;
    const namespaces = layout.namespacesOf(sandbox.id);
    return ociSpec({
      config,
      image: image.config,
      user: resolveUser(layout.rootfs(record.id), image.config.user, config.security),
      capabilities: capabilitiesOf(config.security, facilities.capabilities),
      hostname: hostnameOf(sandbox.config),
      namespacePaths: {
        ...(nodeNamespace === undefined ? {} : { network: nodeNamespace }),
        ...namespacePaths(sandbox.config, namespaces),
      },
      pidMode: sandbox.config.namespaces.pid,
      cgroupsPath: cgroupOf(sandbox, record.id),
      shmPath: shmPathOf(sandbox.config, namespaces),
      sandboxMounts: sandboxes.mounts(sandbox.id),
      minOomScoreAdj: facilities.canRaiseLimits ? LOWEST_OOM_SCORE : facilities.oomScoreAdj,
    });
  }
}
