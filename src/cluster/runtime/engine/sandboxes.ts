/** Sandboxes of the node: what is kept of each, and how it comes and goes. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant } from '../../../base/invariant.js';
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv } from '../../env.js';
import { newId } from '../ids.js';
import { RuntimeError, type Mount, type PodSandboxConfig } from '../runtime.js';
import { namesIn, readState, writeState } from '../state-files.js';
import { removeEmptyGroup } from './cgroups.js';
import type { Layout } from './layout.js';
import type { Addresses } from './network/addresses.js';
import { connectNodeSide, disconnect } from './network/pod-network.js';
import type { Runc } from './runc.js';
import { SANDBOX_FILES, writeSandboxFiles } from './sandbox-files.js';
import {
  createNamespaces,
  createProcessNamespace,
  namespacesExist,
  removeNamespaces,
} from './sandbox-namespaces.js';
import type { SandboxRecord } from './sandbox-record.js';

export interface SandboxOptions {
  readonly layout: Layout;
  readonly addresses: Addresses;
  readonly runc: Runc;
  readonly busybox: string | undefined;
  readonly env: ClusterEnv;
  readonly log: Logger;
}

export class Sandboxes {
  private readonly options: SandboxOptions;
  private readonly records = new Map<string, SandboxRecord>();

  constructor(options: SandboxOptions) {
    this.options = options;
  }

  /** Reads what is there, and takes down what a crash left in part. */
  async open(): Promise<void> {
    const { layout, addresses } = this.options;
    for (const dir of [layout.sandboxes(), layout.namespaces()]) {
      await mkdir(dir, { recursive: true });
    }
    for (const id of namesIn(layout.sandboxes())) {
      const record = await readState<SandboxRecord>(this.recordPath(id));
      if (record !== undefined) this.records.set(id, record);
      else await rm(layout.sandbox(id), { recursive: true, force: true });
    }
    for (const record of this.list()) await this.reconcile(record);
    for (const id of namesIn(layout.namespaces())) {
      if (!this.records.has(id)) await removeNamespaces(layout.namespacesOf(id));
    }
    await addresses.keepOnly((owner) => this.records.get(owner)?.phase === 'ready');
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

  async create(config: PodSandboxConfig): Promise<SandboxRecord> {
    this.refuseSecond(config);
    const { env, addresses, layout } = this.options;
    const id = newId(env);
    const base = { id, config, createdAtMs: env.wallMs() };
    const placeholder: SandboxRecord = { ...base, phase: 'creating', address: '' };
    this.records.set(id, placeholder);
    try {
      const address = config.namespaces.network === 'node' ? '' : await addresses.take(id);
      const record: SandboxRecord = { ...placeholder, address };
      await mkdir(layout.sandbox(id), { mode: 0o700 });
      await this.write(record);
      await this.build(record);
      return await this.write({ ...record, phase: 'ready' });
    } catch (error) {
      await this.discard(this.get(id));
      throw error;
    }
  }

  /** Takes network and namespaces down; its containers must have ended. */
  async stop(id: string): Promise<void> {
    const record = this.get(id);
    if (record.phase === 'stopped') return;
    await this.takeDown(record);
    await this.write({ ...record, phase: 'stopped' });
  }

  async remove(id: string): Promise<void> {
    const record = this.records.get(id);
    if (record === undefined) return;
    invariant(record.phase === 'stopped', 'sandbox {} is removed before it is stopped', id);
    await this.forget(record);
  }

  /** Files that every container of the sandbox sees. */
  mounts(record: SandboxRecord): Mount[] {
    return Object.entries(SANDBOX_FILES).map(([name, containerPath]) => ({
      containerPath,
      hostPath: join(this.filesDir(record.id), name),
      isReadOnly: false,
      propagation: 'private',
    }));
  }

  private async build(record: SandboxRecord): Promise<void> {
    const { id, config, address } = record;
    const { layout, runc, busybox } = this.options;
    const namespaces = layout.namespacesOf(id);
    await createNamespaces(id, config, address, namespaces);
    if (address !== '') await connectNodeSide(id, address);
    if (config.namespaces.pid === 'pod') {
      const bundle = join(layout.sandbox(id), 'pause');
      await createProcessNamespace(id, config, { namespaces, bundle }, { runc, busybox });
    }
    await writeSandboxFiles(this.filesDir(id), config, address);
  }

  private async reconcile(record: SandboxRecord): Promise<void> {
    if (record.phase === 'creating') {
      await this.discard(record);
      return;
    }
    const dir = this.options.layout.namespacesOf(record.id);
    if (record.phase === 'ready' && !namespacesExist(record.config, dir)) {
      this.options.log.info('sandbox lost its namespaces', { sandbox: record.id });
      await this.stop(record.id);
    }
  }

  private async takeDown(record: SandboxRecord): Promise<void> {
    const { layout, runc, addresses, log } = this.options;
    if (record.config.namespaces.pid === 'pod') await runc.remove(record.id);
    if (record.address !== '') await disconnect(record.id, log);
    await removeNamespaces(layout.namespacesOf(record.id));
    if (record.address !== '') await addresses.release(record.address, record.id);
  }

  private async discard(record: SandboxRecord): Promise<void> {
    await this.takeDown(record);
    await this.forget(record);
  }

  private async forget(record: SandboxRecord): Promise<void> {
    removeEmptyGroup(record.config.cgroupParent);
    // First the file that makes it one: a crash then leaves a directory without meaning.
    await rm(this.recordPath(record.id), { force: true });
    await rm(this.options.layout.sandbox(record.id), { recursive: true, force: true });
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
    return join(this.options.layout.sandbox(id), 'sandbox.json');
  }

  private filesDir(id: string): string {
    return join(this.options.layout.sandbox(id), 'etc');
  }
}
