/**
 * Containers of a node, from creation to removal. The truth about a container is in its files
 * and in the kernel; memory only follows them.
 */
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../base/observe/logger.js';
import { sleep, type ClusterEnv } from '../env.js';
import { ContainerFiles } from './container-files.js';
import { ContainerEntry, type ContainerRecord, type Exit } from './container-record.js';
import type { Events } from './events.js';
import { ExitWatch, removeExitFiles } from './exit-files.js';
import { newId } from './ids.js';
import type { ImageStore, StoredImage } from './images/image-store.js';
import type { Layout } from './layout.js';
import { isAlive, signalNumber, type ProcessMark } from './processes.js';
import { RuntimeError, type ContainerConfig } from './runtime.js';
import type { SandboxRecord } from './sandbox-record.js';
import type { Sandboxes } from './sandboxes.js';
import { Serial } from './serial.js';
import { namesIn } from './state-files.js';

const MS_PER_S = 1000;
/** A killed process that is not gone by then waits for a device. */
const KILLED_WITHIN_MS = 10_000;
const MONITOR_ENDS_WITHIN_MS = 5000;
const POLL_MS = 10;

/** `created`: made, but its program does not run yet. */
export type ProcessState = 'created' | 'running' | 'gone';

/**
 * Makes what a container is in one kind of runtime. A monitor of its own writes the container's log,
 * its number (`monitor.pid` in the container's directory), and its exit code (a file in the
 * directory of exits). Every method may be called again after a crash.
 */
export interface ContainerDriver {
  /** Everything but the process, in the container's directory. */
  prepare(record: ContainerRecord, sandbox: SandboxRecord, image: StoredImage): Promise<void>;
  /** Starts the monitor and makes the process. */
  create(record: ContainerRecord): Promise<ProcessMark>;
  /** Lets the made process run its program. */
  release(id: string): Promise<void>;
  find(record: ContainerRecord): Promise<ProcessState>;
  signal(process: ProcessMark, number: number): void;
  kill(entry: ContainerEntry): Promise<void>;
  /** After the first process ended: others of the container. */
  killRest(record: ContainerRecord, sandbox: SandboxRecord | undefined): Promise<void>;
  /** Kills what is left, and takes back what `prepare` and `create` made outside of the directory. */
  remove(id: string): Promise<void>;
  /** Ids of containers, and of sandboxes, of which it has something. */
  known(): Promise<string[]>;
}

export interface ContainersOptions {
  readonly layout: Layout;
  readonly driver: ContainerDriver;
  readonly images: ImageStore;
  readonly sandboxes: Sandboxes;
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
    const { layout, env, driver } = this.options;
    for (const dir of [layout.containers(), layout.exits()]) {
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
    for (const id of await driver.known()) {
      const isKnown = this.entries.has(id) || this.options.sandboxes.find(id) !== undefined;
      if (!isKnown) await driver.remove(id);
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

  async create(sandboxId: string, config: ContainerConfig): Promise<string> {
    const { env, images, sandboxes } = this.options;
    const sandbox = sandboxes.ready(sandboxId);
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
        const { env, driver } = this.options;
        const message = error instanceof Error ? error.message : String(error);
        const exit = await this.files(id).writeCannotRun(env.wallMs(), message);
        await driver.remove(id);
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
      this.options.driver.signal(entry.start.process, entry.record.stopSignal);
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

  private refuse(sandbox: SandboxRecord, config: ContainerConfig): void {
    for (const { record } of this.entries.values()) {
      const { name, attempt } = record.config;
      if (record.sandboxId !== sandbox.id || name !== config.name) continue;
      if (attempt !== config.attempt) continue;
      throw new RuntimeError('AlreadyExists', `container ${name}, attempt ${attempt}, exists`);
    }
  }

  private async prepare(
    entry: ContainerEntry,
    sandbox: SandboxRecord,
    image: StoredImage,
  ): Promise<void> {
    const { record } = entry;
    const files = this.files(record.id);
    await mkdir(files.bundle, { mode: 0o700 });
    await this.options.driver.prepare(record, sandbox, image);
    await mkdir(dirname(record.logPath), { recursive: true });
    await files.writeRecord(record);
  }

  private async startNow(entry: ContainerEntry): Promise<void> {
    const { env, driver, sandboxes } = this.options;
    const { record } = entry;
    sandboxes.ready(record.sandboxId);
    const process = await driver.create(record);
    const start = { startedAtMs: env.wallMs(), process };
    await this.files(record.id).writeStart(start);
    await driver.release(record.id);
    entry.begin(start);
  }

  /** After a crash. */
  private async reconcile(entry: ContainerEntry): Promise<void> {
    if (entry.state === 'exited') return;
    const { driver, env, layout } = this.options;
    const { record } = entry;
    const files = this.files(record.id);
    const found = await driver.find(record);
    if (entry.state === 'running' && found === 'running') return;
    const wasStarted = entry.state === 'running' && found === 'gone';
    if (wasStarted) {
      // Its exit file may be about to come.
      await this.monitorEnded(files);
      this.finish(entry, (await files.readExit(entry)) ?? (await files.writeUnknown(env.wallMs())));
      return;
    }
    // Made but not started: taken back, so that it can be started.
    await driver.remove(record.id);
    await this.monitorEnded(files);
    await removeExitFiles(layout.exit(record.id), files.bundle);
    await files.removeStart();
    const fresh = await files.load();
    if (fresh !== undefined) this.entries.set(record.id, fresh);
  }

  private async kill(entry: ContainerEntry): Promise<void> {
    if (entry.state !== 'running') return;
    await this.options.driver.kill(entry);
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
    const { sandboxes, driver, log } = this.options;
    const { record } = entry;
    driver
      .killRest(record, sandboxes.find(record.sandboxId))
      .catch((error: unknown) =>
        log.warn('processes of a container are left', { id: record.id, error }),
      );
  }

  private async monitorEnded(files: ContainerFiles): Promise<void> {
    const { env } = this.options;
    const limitMs = env.monoMs() + MONITOR_ENDS_WITHIN_MS;
    while ((await files.hasMonitor()) && env.monoMs() < limitMs) await sleep(env, POLL_MS);
  }

  private async destroy(id: string): Promise<void> {
    const { driver, layout } = this.options;
    const files = this.files(id);
    await files.removeRecord();
    await driver.remove(id);
    await this.monitorEnded(files);
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
