/** Files on the node that containers see: /etc/hosts, termination message, volumes. */
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Container, Pod, VolumeMount } from '../../../gen/kube-core-v1.js';
import type { Mount } from '../../runtime/runtime.js';
import type { EnvEntry } from '../env.js';
import { expand } from '../env.js';
import { hostNetworkHostsText, hostsText } from '../files.js';
import type { MountedVolumes, PodVolumes } from '../volumes/pod-volumes.js';
import type { PodPaths } from './pod-paths.js';
import { uidOf, usesHostNetwork } from './pod-spec.js';
import { StartError, messageOf } from './start-error.js';

const DEFAULT_MESSAGE_PATH = '/dev/termination-log';

export interface MountParts {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly env: readonly EnvEntry[];
  readonly podIps: readonly string[];
  readonly clusterDomain: string;
  readonly mounted: MountedVolumes;
}

export class ContainerFiles {
  readonly #paths: PodPaths;
  readonly #volumes: PodVolumes;

  constructor(paths: PodPaths, volumes: PodVolumes) {
    this.#paths = paths;
    this.#volumes = volumes;
  }

  /** Everything that is mounted into a container; its files exist when this resolves. Rejects with StartError. */
  async mountsOf(parts: MountParts): Promise<Mount[]> {
    const { pod, container, attempt } = parts;
    const mounts: Mount[] = [];
    for (const mount of container.volumeMounts ?? []) mounts.push(await this.#volume(parts, mount));
    const isTaken = mounts.some(({ containerPath }) => containerPath === '/etc/hosts');
    if (!isTaken) mounts.push(await this.#hosts(parts));
    const messageFile = this.#paths.message(uidOf(pod), container.name, attempt);
    await writeWhole(messageFile, '', 0o666);
    const containerPath = container.terminationMessagePath ?? DEFAULT_MESSAGE_PATH;
    if (containerPath !== '') mounts.push(plainMount(messageFile, containerPath));
    return mounts;
  }

  /** Name resolution and host name are the sandbox's; /etc/hosts changes with what is known of the pod. */
  async #hosts({ pod, podIps, clusterDomain }: MountParts): Promise<Mount> {
    const text = usesHostNetwork(pod)
      ? hostNetworkHostsText(pod, await readFile('/etc/hosts', 'utf8').catch(() => ''))
      : hostsText(pod, podIps, clusterDomain);
    const path = this.#paths.hosts(uidOf(pod));
    await writeWhole(path, text, 0o644);
    return plainMount(path, '/etc/hosts');
  }

  async #volume(parts: MountParts, mount: VolumeMount): Promise<Mount> {
    const { container, env, mounted } = parts;
    const values = new Map(env.map(({ name, value }) => [name, value]));
    const subPath =
      mount.subPathExpr === undefined
        ? (mount.subPath ?? '')
        : expand(mount.subPathExpr, (name) => values.get(name));
    try {
      const hostPath = await this.#volumes.resolve(mounted, mount, subPath);
      const isReadOnly = mount.readOnly === true || mounted.get(mount.name)?.isReadOnly === true;
      const propagation = propagationOf(mount.mountPropagation);
      return { containerPath: mount.mountPath, hostPath, isReadOnly, propagation };
    } catch (error) {
      const message = `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}": ${messageOf(error)}`;
      throw new StartError('CreateContainerConfigError', message);
    }
  }
}

function propagationOf(mode: string | undefined): Mount['propagation'] {
  if (mode === 'Bidirectional') return 'bidirectional';
  return mode === 'HostToContainer' ? 'hostToContainer' : 'private';
}

function plainMount(hostPath: string, containerPath: string): Mount {
  return { containerPath, hostPath, isReadOnly: false, propagation: 'private' };
}

/** In place, because the file may be mounted into containers already. Its mode is as given. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  const file = await open(path, 'r');
  try {
    // The process's mask does not count here.
    await file.chmod(mode);
  } finally {
    await file.close();
  }
}
