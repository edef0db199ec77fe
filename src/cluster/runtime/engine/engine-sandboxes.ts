/** Sandboxes of the engine: namespaces, an address with its link, and the files of the pod. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from '../layout.js';
import type { Mount, PodSandboxConfig } from '../runtime.js';
import type { SandboxRecord } from '../sandbox-record.js';
import type { SandboxDriver } from '../sandboxes.js';
import { namesIn } from '../state-files.js';
import { removeEmptyGroup } from './cgroups.js';
import type { Addresses } from './network/addresses.js';
import type { PodNetwork } from './network/pod-network.js';
import type { Runc } from './runc.js';
import { SANDBOX_FILES, writeSandboxFiles } from './sandbox-files.js';
import {
  createNamespaces,
  createProcessNamespace,
  namespacesExist,
  removeNamespaces,
} from './sandbox-namespaces.js';

export interface EngineSandboxOptions {
  readonly layout: Layout;
  readonly addresses: Addresses;
  readonly runc: Runc;
  readonly busybox: string | undefined;
  readonly podNetwork: PodNetwork;
}

export class EngineSandboxes implements SandboxDriver {
  private readonly options: EngineSandboxOptions;

  constructor(options: EngineSandboxOptions) {
    this.options = options;
  }

  takeAddress(id: string, config: PodSandboxConfig): Promise<string> {
    if (config.namespaces.network === 'node') return Promise.resolve('');
    return this.options.addresses.take(id);
  }

  async build(record: SandboxRecord): Promise<void> {
    const { id, config, address } = record;
    const { layout, runc, busybox, podNetwork } = this.options;
    const namespaces = layout.namespacesOf(id);
    await createNamespaces(id, config, address, namespaces, podNetwork);
    if (address !== '') await podNetwork.connect(id, address);
    if (config.namespaces.pid === 'pod') {
      const bundle = join(layout.sandbox(id), 'pause');
      await createProcessNamespace(id, config, { namespaces, bundle }, { runc, busybox });
    }
    await writeSandboxFiles(this.filesDir(id), config, address);
  }

  exists(record: SandboxRecord): boolean {
    return namespacesExist(record.config, this.options.layout.namespacesOf(record.id));
  }

  async takeDown(record: SandboxRecord): Promise<void> {
    const { layout, runc, addresses, podNetwork } = this.options;
    if (record.config.namespaces.pid === 'pod') await runc.remove(record.id);
    if (record.address !== '') await podNetwork.disconnect(record.id);
    await removeNamespaces(layout.namespacesOf(record.id));
    if (record.address !== '') await addresses.release(record.address, record.id);
  }

  remove(record: SandboxRecord): Promise<void> {
    removeEmptyGroup(record.config.cgroupParent);
    return Promise.resolve();
  }

  async sweep(isReady: (id: string) => boolean): Promise<void> {
    const { layout, addresses } = this.options;
    await mkdir(layout.namespaces(), { recursive: true });
    for (const id of namesIn(layout.namespaces())) {
      if (!isReady(id)) await removeNamespaces(layout.namespacesOf(id));
    }
    await addresses.keepOnly(isReady);
  }

  /** Files that every container of the sandbox sees. */
  mounts(sandboxId: string): Mount[] {
    return Object.entries(SANDBOX_FILES).map(([name, containerPath]) => ({
      containerPath,
      hostPath: join(this.filesDir(sandboxId), name),
      isReadOnly: false,
      propagation: 'private',
    }));
  }

  private filesDir(id: string): string {
    return join(this.options.layout.sandbox(id), 'etc');
  }
}
