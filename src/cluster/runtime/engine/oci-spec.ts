/**
 * The container as runc reads it (OCI runtime-spec config.md, config-linux.md). Left out: a seccomp
 * filter and AppArmor, which status() says; limits of processes (rlimits), which stay the node's.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from '../state-files.js';
import type { ContainerConfig, ContainerResources, Mount, NamespaceMode } from '../runtime.js';
import { processArgs, processEnv } from '../container-process.js';
import type { ContainerUser } from './image-user.js';
import type { ImageConfig } from '../images/image-config.js';

export interface SpecInput {
  readonly config: ContainerConfig;
  readonly image: ImageConfig;
  readonly user: ContainerUser;
  /** `CAP_KILL`. */
  readonly capabilities: readonly string[];
  readonly hostname: string;
  /** The sandbox's, by type; a type that is absent is the node's own. */
  readonly namespacePaths: Readonly<Partial<Record<'network' | 'ipc' | 'uts' | 'pid', string>>>;
  readonly pidMode: NamespaceMode;
  /** `/kubepods/podX/ID`. */
  readonly cgroupsPath: string;
  readonly shmPath: string;
  /** Of the sandbox's files: `/etc/resolv.conf` and the like; the configuration's own go first. */
  readonly sandboxMounts: readonly Mount[];
  /** Lowest score that this node can give. */
  readonly minOomScoreAdj: number;
}

interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

const OCI_VERSION = '1.0.2';
const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
const PROPAGATION = { private: 'rprivate', hostToContainer: 'rslave', bidirectional: 'rshared' };
/** Folders of /dev that every container has of its own. */
const OWN_DEVICES = new Set(['pts', 'shm', 'mqueue', 'fd', 'ptmx', 'console']);

export function ociSpec(input: SpecInput): object {
  const { config, user, capabilities } = input;
  const { security } = config;
  const isOpen = security.isPrivileged;
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: config.hasTty,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      args: processArgs(config, input.image),
      env: processEnv(config, input.image, input.hostname),
      cwd: workingDir(input),
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: security.noNewPrivileges && !isOpen,
      oomScoreAdj: Math.max(config.resources.oomScoreAdj, input.minOomScoreAdj),
    },
    root: { path: 'rootfs', readonly: security.isRootReadOnly },
    mounts: [...baseMounts(input), ...binds(input)],
    linux: {
      namespaces: namespaces(input),
      cgroupsPath: input.cgroupsPath,
      resources: {
        ...ociResources(config.resources),
        devices: [{ allow: isOpen, access: 'rwm' }],
      },
      devices: isOpen ? nodeDevices() : [],
      maskedPaths: isOpen ? [] : MASKED,
      readonlyPaths: isOpen ? [] : READ_ONLY,
      // A bind that takes part in its source's mounts is cut off by a private root.
      rootfsPropagation: config.mounts.some(({ propagation }) => propagation === 'bidirectional')
        ? 'rshared'
        : 'rslave',
    },
  };
}

/** Also the input of `runc update`. */
export function ociResources(resources: ContainerResources): object {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes } = resources;
  return {
    cpu: {
      ...(cpuShares > 0 ? { shares: cpuShares } : {}),
      ...(cpuQuotaUs > 0 ? { quota: cpuQuotaUs } : { quota: -1 }),
      ...(cpuPeriodUs > 0 ? { period: cpuPeriodUs } : {}),
    },
    memory: { limit: memoryLimitBytes > 0 ? memoryLimitBytes : -1 },
  };
}

function workingDir({ config, image }: SpecInput): string {
  if (config.workingDir !== '') return config.workingDir;
  return image.workingDir === '' ? '/' : image.workingDir;
}

function namespaces(input: SpecInput): object[] {
  const shared = Object.entries(input.namespacePaths).map(([type, path]) => ({ type, path }));
  const ownPid = input.pidMode === 'container' ? [{ type: 'pid' }] : [];
  return [{ type: 'mount' }, { type: 'cgroup' }, ...ownPid, ...shared];
}

function baseMounts(input: SpecInput): SpecMount[] {
  const access = input.config.security.isPrivileged ? 'rw' : 'ro';
  const strict = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: strict },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: strict },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...strict, access] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...strict, 'relatime', access],
    },
    {
      destination: '/dev/shm',
      type: 'bind',
      source: input.shmPath,
      options: ['rbind', 'nosuid', 'noexec', 'nodev', 'rw'],
    },
  ];
}

function binds(input: SpecInput): SpecMount[] {
  const own = new Set(input.config.mounts.map(({ containerPath }) => containerPath));
  const mounts = [
    ...input.sandboxMounts.filter(({ containerPath }) => !own.has(containerPath)),
    ...input.config.mounts,
  ];
  // Outer paths first, else an outer mount would cover an inner one.
  const depth = (mount: Mount): number => mount.containerPath.split('/').filter(Boolean).length;
  return mounts
    .toSorted((a, b) => depth(a) - depth(b))
    .map((mount) => ({
      destination: mount.containerPath,
      type: 'bind',
      source: mount.hostPath,
      options: ['rbind', PROPAGATION[mount.propagation], mount.isReadOnly ? 'ro' : 'rw'],
    }));
}

/** The node's devices, for privileged containers. */
function nodeDevices(): object[] {
  const found: object[] = [];
  const visit = (folder: string): void => {
    for (const name of namesIn(folder)) {
      const path = join(folder, name);
      if (folder === '/dev' && OWN_DEVICES.has(name)) continue;
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      if (stat.isDirectory()) visit(path);
      else if (stat.isCharacterDevice() || stat.isBlockDevice()) found.push(device(path, stat));
    }
  };
  visit('/dev');
  return found;
}

function device(path: string, stat: NonNullable<ReturnType<typeof lstatSync>>): object {
  const rdev = BigInt(stat.rdev);
  return {
    path,
    type: stat.isCharacterDevice() ? 'c' : 'b',
    // As glibc's major(3) and minor(3) take a device number apart.
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)),
    fileMode: Number(stat.mode) & 0o777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
  };
}
