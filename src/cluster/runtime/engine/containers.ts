/**
 * Containers of the engine, from creation to removal. What is true of a container is in its files
 * and in the kernel; memory only follows them.
 */
import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../../base/observe/logger.js';
import { sleep, type ClusterEnv } from '../../env.js';
import { ContainerEntry, type ContainerRecord, type Exit } from '../container-record.js';
import type { Events } from '../events.js';
import type { Facilities } from '../facilities.js';
import { newId } from '../ids.js';
import { mountOverlay, mountsBelow, unmountBelow } from '../mounts.js';
import { isAlive, markOf, signal, signalNumber } from '../processes.js';
import { RuntimeError, type ContainerConfig, type ContainerResources } from '../runtime.js';
import { Serial } from '../serial.js';
import { namesIn } from '../state-files.js';
import { capabilitiesOf } from './capabilities.js';
import { ContainerFiles } from './container-files.js';
import { ExitWatch, removeExitFiles } from './exit-files.js';
import { resolveUser } from './image-user.js';
import type { ImageStore, StoredImage } from './images/image-store.js';
import type { Layout } from './layout.js';
import { createMonitored } from './monitor.js';
import { ociResources, ociSpec } from './oci-spec.js';
import type { Runc } from './runc.js';
import { hostnameOf } from './sandbox-files.js';
import { namespacePaths, shmPathOf } from './sandbox-namespaces.js';
import type { SandboxRecord } from './sandbox-record.js';
import type { Sandboxes } from './sandboxes.js';

const SIGKILL = 9;
const MS_PER_S = 1000;
/** A killed process that is not gone by then waits for a device. */
const KILLED_WITHIN_MS = 10_000;
const MONITOR_ENDS_WITHIN_MS = 5000;
const POLL_MS = 10;

export interface ContainersOptions {
  readonly layout: Layout;
  readonly conmon: string;
  readonly runc: Runc;
  readonly images: ImageStore;
  readonly sandboxes: Sandboxes;
  readonly facilities: Facilities;
  readonly events: Events;
  readonly env: ClusterEnv;
  readonly log: Logger;
}

export class Containers {
  private readonly options: ContainersOptions;
  private readonly entries = new Map<string, ContainerEntry>();
  private readonly serial = new Serial();
  private watch: ExitWatch | undefined;

  constructor(options: ContainersOptions) {
    this.options = options;
  }

  /** Finds what an earlier process left, and removes what a crash left in part. */
  async open(): Promise<void> {
    const { layout, env, runc } = this.options;
    for (const dir of [layout.containers(), layout.exits(), layout.runc()]) {
      await mkdir(dir, { recursive: true });
    }
    this.watch = new ExitWatch(
      layout.exits(),
      env,
      (name) => this.noticeExit(name),
      () => this.checkMonitors(),
    );
    for (const id of namesIn(layout.containers())) {
      const entry = await this.files(id).load();
      if (entry === undefined) await this.destroy(id);
      else this.entries.set(id, entry);
    }
    for (const entry of this.entries.values()) await this.reconcile(entry);
    const pauses = new Set(this.options.sandboxes.list().map(({ id }) => id));
    for (const id of await runc.list()) {
      if (!this.entries.has(id) && !pauses.has(id)) await runc.remove(id);
    }
  }

  close(): void {
    this.watch?.close();
  }

  list(): ContainerEntry[] {
    return [...this.entries.values()].filter(({ isWhole }) => isWhole);
  }

  /** Throws: RuntimeError NotFound. */
  get(id: string): ContainerEntry {
    const entry = this.entries.get(id);
    if (entry !== undefined) return entry;
    throw new RuntimeError('NotFound', `could not find container "${id}"`);
  }

  /** Throws: RuntimeError InvalidArgument when it does not run. */
  running(id: string): ContainerEntry {
    const entry = this.get(id);
    if (entry.state === 'running') return entry;
    throw new RuntimeError('InvalidArgument', `container "${id}" is not running: ${entry.state}`);
  }

  usedLayers(): Set<string> {
    return new Set([...this.entries.values()].flatMap(({ record }) => record.layers));
  }

  bundle(id: string): string {
    return this.options.layout.container(id);
  }

  cgroupOf(entry: ContainerEntry): string {
    const { sandboxId, id } = entry.record;
    return join('/', this.options.sandboxes.get(sandboxId).config.cgroupParent, id);
  }

  async create(sandboxId: string, config: ContainerConfig): Promise<string> {
    const { env, images, sandboxes } = this.options;
    const sandbox = sandboxes.get(sandboxId);
    const image = images.find(config.imageId);
    if (image === undefined) {
      throw new RuntimeError('ImageNotFound', `image "${config.imageId}" is not on this node`);
    }
    this.refuse(sandbox, config);
    const id = newId(env);
    const name = config.stopSignal === '' ? image.config.stopSignal : config.stopSignal;
    const entry = new ContainerEntry({
      ...{ id, sandboxId, config },
      createdAtMs: env.wallMs(),
      logPath: join(sandbox.config.logDirectory, config.logPath),
      stopSignal: signalNumber(name === '' ? 'SIGTERM' : name),
      layers: image.layers,
    });
    // Known from here, so that its layers stay.
    this.entries.set(id, entry);
    try {
      await this.prepare(entry, sandbox, image);
    } catch (error) {
      await this.destroy(id);
      throw error;
    }
    entry.isWhole = true;
    this.emit('created', entry);
    return id;
  }

  start(id: string): Promise<void> {
    return this.serial.run(id, async () => {
      const entry = this.get(id);
      if (entry.state !== 'created') {
        throw new RuntimeError('InvalidArgument', `container "${id}" is ${entry.state}`);
      }
      try {
        await this.startNow(entry);
      } catch (error) {
        const { env, runc } = this.options;
        const message = error instanceof Error ? error.message : String(error);
        const exit = await this.files(id).writeCannotRun(env.wallMs(), message);
        await runc.remove(id);
        this.finish(entry, exit);
        throw error;
      }
      this.emit('started', entry);
      // It may have ended before it was known to run.
      this.noticeExit(id);
    });
  }

  async stop(id: string, graceSeconds: number): Promise<void> {
    const entry = this.entries.get(id);
    if (entry?.start === undefined || entry.exit !== undefined) return;
    if (graceSeconds > 0) {
      signal(entry.start.process, entry.record.stopSignal);
      await this.endedWithin(entry, graceSeconds * MS_PER_S);
    }
    await this.kill(entry);
  }

  remove(id: string): Promise<void> {
    return this.serial.run(id, async () => {
      const entry = this.entries.get(id);
      if (entry === undefined) return;
      await this.kill(entry);
      await this.destroy(id);
      this.emit('deleted', entry);
      await this.options.images.collect(() => this.usedLayers());
    });
  }

  async update(id: string, resources: ContainerResources): Promise<void> {
    await this.options.runc.update(this.running(id).record.id, ociResources(resources));
  }

  private refuse(sandbox: SandboxRecord, config: ContainerConfig): void {
    if (sandbox.phase !== 'ready') {
      throw new RuntimeError('InvalidArgument', `sandbox "${sandbox.id}" is not ready`);
    }
    for (const { record } of this.entries.values()) {
      const { name, attempt } = record.config;
      if (record.sandboxId !== sandbox.id || name !== config.name) continue;
      if (attempt !== config.attempt) continue;
      throw new RuntimeError('AlreadyExists', `container ${name}, attempt ${attempt}, exists`);
    }
  }

  /** Everything but the process: the root file system, the description for runc, the log's directory. */
  private async prepare(
    entry: ContainerEntry,
    sandbox: SandboxRecord,
    image: StoredImage,
  ): Promise<void> {
    const { record } = entry;
    const files = this.files(record.id);
    await mkdir(files.bundle, { mode: 0o700 });
    for (const name of ['rootfs', 'upper', 'work']) await mkdir(join(files.bundle, name));
    // The merged root looks like this directory, whatever mask this process has.
    await chmod(join(files.bundle, 'upper'), 0o755);
    await this.mountRoot(record);
    await files.writeSpec(this.specOf(record, sandbox, image));
    await mkdir(dirname(record.logPath), { recursive: true });
    await files.writeRecord(record);
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
    const { layout, facilities, sandboxes } = this.options;
    const { config } = record;
    const namespaces = layout.namespacesOf(sandbox.id);
    return ociSpec({
      config,
      image: image.config,
      user: resolveUser(layout.rootfs(record.id), image.config.user, config.security),
      capabilities: capabilitiesOf(config.security, facilities.capabilities),
      hostname: hostnameOf(sandbox.config),
      namespacePaths: namespacePaths(sandbox.config, namespaces),
      pidMode: sandbox.config.namespaces.pid,
      cgroupsPath: join('/', sandbox.config.cgroupParent, record.id),
      shmPath: shmPathOf(sandbox.config, namespaces),
      sandboxMounts: sandboxes.mounts(sandbox),
      minOomScoreAdj: facilities.canRaiseLimits ? -1000 : facilities.oomScoreAdj,
    });
  }

  private async startNow(entry: ContainerEntry): Promise<void> {
    const { record } = entry;
    const { config, id } = record;
    const { env, layout, conmon, runc, sandboxes } = this.options;
    if (sandboxes.get(record.sandboxId).phase !== 'ready') {
      throw new RuntimeError('InvalidArgument', `sandbox "${record.sandboxId}" is not ready`);
    }
    await this.mountRoot(record);
    const pid = await createMonitored({
      ...{ conmon, runc, id },
      bundle: layout.container(id),
      exitDir: layout.exits(),
      logPath: record.logPath,
      hasTty: config.hasTty,
      hasStdin: config.hasStdin,
      isStdinOnce: config.isStdinOnce,
    });
    const start = { startedAtMs: env.wallMs(), process: markOf(pid) };
    await this.files(id).writeStart(start);
    await runc.start(id);
    entry.begin(start);
  }

  /** After a crash. */
  private async reconcile(entry: ContainerEntry): Promise<void> {
    if (entry.state === 'exited') return;
    const { runc, env } = this.options;
    const files = this.files(entry.record.id);
    const status = await runc.status(entry.record.id);
    const isRunning = entry.state === 'running' && (status === 'running' || status === 'paused');
    if (isRunning) return;
    const wasStarted = entry.state === 'running' && status !== 'created';
    if (wasStarted) {
      // Its exit file may be about to come.
      await this.monitorEnded(files);
      this.finish(entry, (await files.readExit(entry)) ?? (await files.writeUnknown(env.wallMs())));
      return;
    }
    // Made but not started: taken back, so that it can be started.
    await runc.remove(entry.record.id);
    await this.monitorEnded(files);
    await removeExitFiles(this.options.layout.exit(entry.record.id), files.bundle);
    await files.removeStart();
    const fresh = await files.load();
    if (fresh !== undefined) this.entries.set(entry.record.id, fresh);
  }

  private async kill(entry: ContainerEntry): Promise<void> {
    if (entry.state !== 'running' || entry.start === undefined) return;
    signal(entry.start.process, SIGKILL);
    await this.endedWithin(entry, KILLED_WITHIN_MS);
    if (entry.exit === undefined) {
      throw new RuntimeError('DeadlineExceeded', `container "${entry.record.id}" does not end`);
    }
  }

  private async endedWithin(entry: ContainerEntry, limitMs: number): Promise<void> {
    const over = new AbortController();
    await Promise.race([entry.whenEnded(), sleep(this.options.env, limitMs, over.signal)]);
    over.abort();
  }

  private noticeExit(id: string): void {
    const entry = this.entries.get(id);
    if (entry === undefined || entry.state !== 'running') return;
    void this.files(id)
      .readExit(entry)
      .then((exit) => {
        if (exit !== undefined) this.finish(entry, exit);
      })
      .catch((error: unknown) => this.options.log.error('exit cannot be read', { id, error }));
  }

  /** Finds containers that ended with nobody to tell of it. */
  private checkMonitors(): void {
    for (const entry of this.list()) {
      const { start, state, record } = entry;
      if (state !== 'running' || start === undefined || isAlive(start.process)) continue;
      void this.finishUnwatched(entry).catch((error: unknown) =>
        this.options.log.error('end of a container is unknown', { id: record.id, error }),
      );
    }
  }

  private async finishUnwatched(entry: ContainerEntry): Promise<void> {
    const files = this.files(entry.record.id);
    if (await files.hasMonitor()) return;
    // Read after the monitor was seen to be gone: it may have written until then.
    const exit = await files.readExit(entry);
    this.finish(entry, exit ?? (await files.writeUnknown(this.options.env.wallMs())));
  }

  private finish(entry: ContainerEntry, exit: Exit): void {
    if (!entry.end(exit)) return;
    this.emit('stopped', entry);
    const { sandboxes, runc } = this.options;
    const { sandboxId, id } = entry.record;
    // With a process namespace of its own the kernel has killed the rest.
    if (sandboxes.find(sandboxId)?.config.namespaces.pid === 'container') return;
    void runc.killAll(id, SIGKILL);
  }

  private async monitorEnded(files: ContainerFiles): Promise<void> {
    const { env } = this.options;
    const limitMs = env.monoMs() + MONITOR_ENDS_WITHIN_MS;
    while ((await files.hasMonitor()) && env.monoMs() < limitMs) await sleep(env, POLL_MS);
  }

  private async destroy(id: string): Promise<void> {
    const { runc, layout } = this.options;
    const files = this.files(id);
    await files.removeRecord();
    await runc.remove(id);
    await this.monitorEnded(files);
    await unmountBelow(layout.rootfs(id));
    await rm(files.bundle, { recursive: true, force: true });
    await rm(layout.exit(id), { force: true });
    this.entries.delete(id);
  }

  private emit(type: 'created' | 'started' | 'stopped' | 'deleted', entry: ContainerEntry): void {
    const { id, sandboxId } = entry.record;
    this.options.events.emit({ type, containerId: id, sandboxId });
  }

  private files(id: string): ContainerFiles {
    return new ContainerFiles(this.options.layout, id);
  }
}
