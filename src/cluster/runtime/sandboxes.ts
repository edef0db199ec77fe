/** Sandboxes of the node: what is kept of each, and how it comes and goes. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant } from '../../base/invariant.js';
import type { Logger } from '../../base/observe/logger.js';
import type { ClusterEnv } from '../env.js';
import { newId } from './ids.js';
import type { Layout } from './layout.js';
import { RuntimeError, type PodSandboxConfig } from './runtime.js';
import type { SandboxRecord } from './sandbox-record.js';
import { Serial } from './serial.js';
import { namesIn, readState, writeState } from './state-files.js';

/** Makes what a sandbox is in one kind of runtime. Every method may be called again after a crash. */
export interface SandboxDriver {
  /** The pod's address; empty without one. */
  takeAddress(id: string, config: PodSandboxConfig): Promise<string>;
  build(record: SandboxRecord): Promise<void>;
  /** False when the machine was restarted since. */
  exists(record: SandboxRecord): boolean;
  takeDown(record: SandboxRecord): Promise<void>;
  /** The last call: its containers are gone too. */
  remove(record: SandboxRecord): Promise<void>;
  /** Removes what belongs to no sandbox; `isReady` says which still have theirs. */
  sweep(isReady: (id: string) => boolean): Promise<void>;
}

export class Sandboxes {
  private readonly layout: Layout;
  private readonly driver: SandboxDriver;
  private readonly env: ClusterEnv;
  private readonly log: Logger;
  private readonly records = new Map<string, SandboxRecord>();
  /** A pod may be ended by several at once, each with its own grace. */
  private readonly ends = new Serial();

  constructor(layout: Layout, driver: SandboxDriver, env: ClusterEnv, log: Logger) {
    this.layout = layout;
    this.driver = driver;
    this.env = env;
    this.log = log;
  }

  /** Reads what is there, and takes down what a crash left in part. */
  async open(): Promise<void> {
    await mkdir(this.layout.sandboxes(), { recursive: true });
    for (const id of namesIn(this.layout.sandboxes())) {
      const record = await readState<SandboxRecord>(this.recordPath(id));
      if (record !== undefined) this.records.set(id, record);
      else await rm(this.layout.sandbox(id), { recursive: true, force: true });
    }
    for (const record of this.list()) await this.reconcile(record);
    await this.driver.sweep((id) => this.records.get(id)?.phase === 'ready');
  }

  list(): SandboxRecord[] {
    return [...this.records.values()];
  }

  find(id: string): SandboxRecord | undefined {
    return this.records.get(id);
  }

  /** Throws: RuntimeError NotFound. */
  get(id: string): SandboxRecord {
    const record = this.records.get(id);
    if (record !== undefined) return record;
    throw new RuntimeError('NotFound', `could not find sandbox "${id}"`);
  }

  /** Throws: RuntimeError NotFound, or InvalidArgument when it is stopped. */
  ready(id: string): SandboxRecord {
    const record = this.get(id);
    if (record.phase === 'ready') return record;
    throw new RuntimeError('InvalidArgument', `sandbox "${id}" is not ready`);
  }

  async create(config: PodSandboxConfig): Promise<SandboxRecord> {
    this.refuseSecond(config);
    const id = newId(this.env);
    const createdAtMs = this.env.wallMs();
    this.records.set(id, { id, config, createdAtMs, phase: 'creating', address: '' });
    try {
      const address = await this.driver.takeAddress(id, config);
      await mkdir(this.layout.sandbox(id), { mode: 0o700 });
      const record = await this.write({ ...this.get(id), address });
      await this.driver.build(record);
      return await this.write({ ...record, phase: 'ready' });
    } catch (error) {
      await this.discard(this.get(id));
      throw error;
    }
  }

  /** Takes network and namespaces down; its containers must have ended. Harmless when it is gone. */
  stop(id: string): Promise<void> {
    return this.ends.run(id, async () => {
      const record = this.records.get(id);
      if (record === undefined || record.phase === 'stopped') return;
      await this.driver.takeDown(record);
      await this.write({ ...record, phase: 'stopped' });
    });
  }

  remove(id: string): Promise<void> {
    return this.ends.run(id, async () => {
      const record = this.records.get(id);
      if (record === undefined) return;
      invariant(record.phase === 'stopped', 'sandbox {} is removed before it is stopped', id);
      await this.forget(record);
    });
  }

  private async reconcile(record: SandboxRecord): Promise<void> {
    if (record.phase === 'creating') await this.discard(record);
    if (record.phase !== 'ready' || this.driver.exists(record)) return;
    this.log.info('sandbox did not survive a restart of the machine', { sandbox: record.id });
    await this.stop(record.id);
  }

  private async discard(record: SandboxRecord): Promise<void> {
    await this.driver.takeDown(record);
    await this.forget(record);
  }

  private async forget(record: SandboxRecord): Promise<void> {
    await this.driver.remove(record);
    // First the file that makes it one: a crash then leaves a directory without meaning.
    await rm(this.recordPath(record.id), { force: true });
    await rm(this.layout.sandbox(record.id), { recursive: true, force: true });
    this.records.delete(record.id);
  }

  private refuseSecond(config: PodSandboxConfig): void {
    const same = this.list().find(
      ({ config: other }) => other.uid === config.uid && other.attempt === config.attempt,
    );
    if (same === undefined) return;
    throw new RuntimeError(
      'AlreadyExists',
      `sandbox of pod ${config.namespace}/${config.name}, attempt ${config.attempt}, exists: ${same.id}`,
    );
  }

  private async write(record: SandboxRecord): Promise<SandboxRecord> {
    await writeState(this.recordPath(record.id), record);
    this.records.set(record.id, record);
    return record;
  }

  private recordPath(id: string): string {
    return join(this.layout.sandbox(id), 'sandbox.json');
  }
}
