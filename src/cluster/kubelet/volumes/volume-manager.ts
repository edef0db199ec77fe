/** Volumes of pods in directories of the node. */
import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../../base/observe/logger.js';
import type { EmptyDirVolumeSource, Pod, Volume, VolumeMount } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../../env.js';
import type { PodAddresses } from '../downward.js';
import type { PodPaths } from '../pods/pod-paths.js';
import { uidOf } from '../pods/pod-spec.js';
import { messageOf } from '../pods/start-error.js';
import { quantityValue } from '../quantity-value.js';
import type { Payload } from './atomic-writer.js';
import { hasPayload, writeAtomically } from './atomic-writer.js';
import { prepareHostPath } from './host-path.js';
import type { Mounter } from './mounter.js';
import type { PayloadSources } from './payload.js';
import { payloadOf } from './payload.js';
import type { MountedVolume, MountedVolumes, PodVolumes, VolumeFailure } from './pod-volumes.js';
import { VolumesError } from './pod-volumes.js';
import { resolveSubPath } from './sub-path.js';

export interface VolumeManagerOptions extends PayloadSources {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly paths: PodPaths;
  readonly mounter: Mounter;
}

const PLUGINS = {
  configMap: 'kubernetes.io~configmap',
  secret: 'kubernetes.io~secret',
  downwardAPI: 'kubernetes.io~downward-api',
  projected: 'kubernetes.io~projected',
} as const;
const EMPTY_DIR = 'kubernetes.io~empty-dir';

export class VolumeManager implements PodVolumes {
  readonly #options: VolumeManagerOptions;
  /** Digest of what was last written, by directory. */
  readonly #written = new Map<string, string>();

  constructor(options: VolumeManagerOptions) {
    this.#options = options;
  }

  async mount(pod: Pod, addresses: PodAddresses): Promise<MountedVolumes> {
    const mounted = new Map<string, MountedVolume>();
    const failures: VolumeFailure[] = [];
    for (const volume of pod.spec.volumes ?? []) {
      try {
        mounted.set(volume.name, await this.#mount(pod, volume, addresses));
      } catch (error) {
        failures.push({ volume: volume.name, message: messageOf(error) });
      }
    }
    if (failures.length > 0) throw new VolumesError(failures);
    return mounted;
  }

  async resolve(mounted: MountedVolumes, mount: VolumeMount, subPath: string): Promise<string> {
    const volume = mounted.get(mount.name);
    if (volume === undefined) throw new Error(`volume ${mount.name} is not mounted`);
    return subPath === '' ? volume.hostPath : resolveSubPath(volume.hostPath, subPath);
  }

  async unmount(uid: string): Promise<void> {
    const { mounter, paths, tokens } = this.#options;
    const directory = paths.volumes(uid);
    for (const point of await mounter.mountsBelow(directory)) await mounter.unmount(point);
    await rm(directory, { recursive: true, force: true });
    for (const path of this.#written.keys()) {
      if (path.startsWith(`${directory}/`)) this.#written.delete(path);
    }
    tokens.forget(uid);
  }

  async #mount(pod: Pod, volume: Volume, addresses: PodAddresses): Promise<MountedVolume> {
    const { emptyDir, hostPath } = volume;
    if (emptyDir !== undefined) return this.#emptyDir(pod, volume.name, emptyDir);
    if (hostPath !== undefined) {
      await prepareHostPath(hostPath);
      return { hostPath: hostPath.path, isReadOnly: false };
    }
    return this.#fromObjects(pod, volume, addresses);
  }

  async #emptyDir(
    pod: Pod,
    name: string,
    { medium = '', sizeLimit }: EmptyDirVolumeSource,
  ): Promise<MountedVolume> {
    const { paths, mounter } = this.#options;
    const path = paths.volume(uidOf(pod), EMPTY_DIR, name);
    const volume = { hostPath: path, isReadOnly: false };
    const isNew = (await lstat(path).catch(() => undefined)) === undefined;
    if (!isNew && medium === '') return volume;
    if (medium !== '' && medium !== 'Memory') {
      throw new Error(`emptyDir medium ${medium} is not supported by this kubelet`);
    }
    await mkdir(path, { recursive: true });
    const isTmpfs = medium === 'Memory';
    if (isTmpfs && (await mounter.mountsBelow(path)).length > 0) return volume;
    if (isTmpfs) await mounter.mountTmpfs(path, Math.ceil(quantityValue(sizeLimit ?? '0')));
    await chmod(path, 0o777);
    const group = groupOf(pod);
    if (group !== undefined) await giveToGroup(path, group);
    return volume;
  }

  async #fromObjects(pod: Pod, volume: Volume, addresses: PodAddresses): Promise<MountedVolume> {
    const plugin = pluginOf(volume);
    const { env, log, paths } = this.#options;
    const path = paths.volume(uidOf(pod), plugin, volume.name);
    const mounted = { hostPath: path, isReadOnly: true };
    try {
      const payload = await payloadOf(this.#options, pod, volume, addresses);
      const digest = payload === undefined ? '' : digestOf(payload);
      if (payload === undefined || this.#written.get(path) === digest) return mounted;
      await writeAtomically(env, path, payload, groupOf(pod));
      this.#written.set(path, digest);
    } catch (error) {
      // Containers keep what they have when its source goes away.
      if (!(await hasPayload(path))) throw error;
      log.warn('volume not refreshed', { volume: volume.name, why: messageOf(error) });
    }
    return mounted;
  }
}

function pluginOf(volume: Volume): string {
  for (const [source, plugin] of Object.entries(PLUGINS)) {
    if (volume[source as keyof typeof PLUGINS] !== undefined) return plugin;
  }
  const [source = 'nothing'] = Object.keys(volume).filter((key) => key !== 'name');
  throw new Error(`volumes of type ${source} are not supported by this kubelet`);
}

function groupOf(pod: Pod): number | undefined {
  return pod.spec.securityContext?.fsGroup;
}

/** Everything below belongs to the group, which may write; what is made later, too. */
async function giveToGroup(path: string, group: number): Promise<void> {
  const { mode } = await lstat(path);
  await chown(path, -1, group);
  await chmod(path, (mode & 0o7777) | 0o2770);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) await giveToGroup(inner, group);
  }
}

function digestOf(payload: Payload): string {
  const hash = createHash('sha256');
  for (const [path, { data, mode }] of payload) {
    hash.update(JSON.stringify([path, mode, data.length]));
    hash.update(data);
  }
  return hash.digest('hex');
}
