/**
 * Namespaces of a sandbox, each held by a mount of its file: they need no process, and live until
 * the mount goes. A shared process namespace is the exception: it needs a first process.
 */
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { existsSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../command.js';
import { unmountBelow } from '../mounts.js';
import { RuntimeError, type PodSandboxConfig } from '../runtime.js';
import { quote } from '../shell-quote.js';
import { writeState } from '../state-files.js';
import type { PodNetwork } from './network/pod-network.js';
import type { Runc } from './runc.js';
import { hostnameOf } from './sandbox-files.js';

const NAMESPACE_MAGIC = 0x6e736673;
const SHM_SIZE = '64m';
/** Sysctls that belong to a namespace; all others are the whole node's. */
const OWN_SYSCTLS = /^(?:net[.]|kernel[.](?:shm|msg|sem)|fs[.]mqueue[.])/;
/** Waits for children that others left behind, and ends at once when asked to. */
const PAUSE = 'trap "exit 0" TERM INT; while :; do /busybox sleep 3600 & wait $!; done';

export type NamespaceType = 'network' | 'ipc' | 'uts' | 'pid';

const FILE_OF: Readonly<Record<NamespaceType, string>> = {
  network: 'net',
  ipc: 'ipc',
  uts: 'uts',
  pid: 'pid',
};

/** Types that the sandbox has of its own. */
function ownNamespaces(config: PodSandboxConfig): NamespaceType[] {
  const { network, ipc, pid } = config.namespaces;
  const own: NamespaceType[] = [];
  // The node's name belongs to the node's network.
  if (network !== 'node') own.push('network', 'uts');
  if (ipc !== 'node') own.push('ipc');
  if (pid === 'pod') own.push('pid');
  return own;
}

/** Files of the namespaces in `dir`, by type. */
export function namespacePaths(
  config: PodSandboxConfig,
  dir: string,
): Partial<Record<NamespaceType, string>> {
  return Object.fromEntries(ownNamespaces(config).map((type) => [type, join(dir, FILE_OF[type])]));
}

/** The directory that containers of the sandbox see as /dev/shm. */
export function shmPathOf(config: PodSandboxConfig, dir: string): string {
  return config.namespaces.ipc === 'node' ? '/dev/shm' : join(dir, 'shm');
}

/** False after a restart of the machine. */
export function namespacesExist(config: PodSandboxConfig, dir: string): boolean {
  return Object.values(namespacePaths(config, dir)).every(
    (path) => existsSync(path) && statfsSync(path).type === NAMESPACE_MAGIC,
  );
}

/** Makes the namespaces with hostname, sysctls and the pod's side of the network. Rejects with RuntimeError. */
export async function createNamespaces(
  sandboxId: string,
  config: PodSandboxConfig,
  address: string,
  dir: string,
  podNetwork: PodNetwork,
): Promise<void> {
  checkSysctls(config);
  await mkdir(dir, { recursive: true });
  const own = ownNamespaces(config).filter((type) => type !== 'pid');
  if (own.length === 0) return;
  const flags: string[] = [];
  for (const type of own) {
    const path = join(dir, FILE_OF[type]);
    await writeFile(path, '');
    flags.push(`--${FILE_OF[type]}=${path}`);
  }
  await mustRun('unshare', [...flags, 'sh', '-e'], {
    input: await script(sandboxId, config, address, dir, podNetwork),
  });
}

/** Starts the first process of the pod's process namespace, and holds the namespace. */
export async function createProcessNamespace(
  sandboxId: string,
  config: PodSandboxConfig,
  dirs: { readonly namespaces: string; readonly bundle: string },
  tools: { readonly runc: Runc; readonly busybox: string | undefined },
): Promise<void> {
  if (tools.busybox === undefined) {
    throw new RuntimeError(
      'Unimplemented',
      'shareProcessNamespace needs a static busybox on the node (Debian package busybox-static)',
    );
  }
  const rootfs = join(dirs.bundle, 'rootfs');
  for (const name of ['proc', 'dev']) await mkdir(join(rootfs, name), { recursive: true });
  await copyFile(tools.busybox, join(rootfs, 'busybox'));
  const shared = Object.entries(namespacePaths(config, dirs.namespaces))
    .filter(([type]) => type !== 'pid')
    .map(([type, path]) => ({ type, path }));
  await writeState(join(dirs.bundle, 'config.json'), {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: ['/busybox', 'sh', '-c', PAUSE],
      env: [],
      cwd: '/',
      capabilities: {},
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    mounts: [
      {
        destination: '/proc',
        type: 'proc',
        source: 'proc',
        options: ['nosuid', 'noexec', 'nodev'],
      },
    ],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'mount' }, ...shared],
      cgroupsPath: join('/', config.cgroupParent, sandboxId),
      resources: { devices: [{ allow: false, access: 'rwm' }] },
    },
  });
  const { pid } = await tools.runc.runDetached(sandboxId, dirs.bundle);
  const path = join(dirs.namespaces, FILE_OF.pid);
  await writeFile(path, '');
  await mustRun('mount', ['--bind', `/proc/${pid}/ns/pid`, path]);
}

/** Lets the namespaces go; harmless when they have gone. */
export async function removeNamespaces(dir: string): Promise<void> {
  await unmountBelow(dir);
  await rm(dir, { recursive: true, force: true });
}

/** Runs in the new namespaces, in the node's file system. */
async function script(
  sandboxId: string,
  config: PodSandboxConfig,
  address: string,
  dir: string,
  podNetwork: PodNetwork,
): Promise<string> {
  const lines: string[] = [];
  const write = (path: string, value: string): void => {
    lines.push(`printf %s ${quote(value)} > ${quote(path)}`);
  };
  const { network, ipc } = config.namespaces;
  if (ipc !== 'node') {
    const shm = shmPathOf(config, dir);
    await mkdir(shm);
    lines.push(
      `mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=${SHM_SIZE} shm ${quote(shm)}`,
    );
  }
  if (network !== 'node') {
    write('/proc/sys/kernel/hostname', hostnameOf(config));
    lines.push("ip -batch - <<'END'", ...podNetwork.podSide(sandboxId, address), 'END');
  }
  for (const [name, value] of Object.entries(config.sysctls)) {
    write(`/proc/sys/${name.replaceAll('.', '/')}`, value);
  }
  return `${lines.join('\n')}\n`;
}

function checkSysctls(config: PodSandboxConfig): void {
  const { network, ipc } = config.namespaces;
  for (const name of Object.keys(config.sysctls)) {
    const isOwn = name.startsWith('net.') ? network !== 'node' : ipc !== 'node';
    if (isOwn && OWN_SYSCTLS.test(name) && /^[\w.-]+$/.test(name) && !name.includes('..')) continue;
    throw new RuntimeError('InvalidArgument', `sysctl "${name}" is not one of this pod alone`);
  }
}
