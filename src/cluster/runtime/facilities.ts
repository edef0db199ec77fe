/**
 * Facilities of this machine for containers, found out by trying. Those that work are used; those
 * that are missing are named before a pod fails of it.
 */
import {
  existsSync,
  readFileSync,
  statfsSync,
  writeFileSync,
  accessSync,
  constants,
} from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram } from '../../base/programs.js';
import { mountOverlay, unmountBelow } from './mounts.js';

const CGROUP_ROOT = '/sys/fs/cgroup';
const CGROUP2_MAGIC = 0x63677270;
const SYSTEM_FOLDERS = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

/** Programs the engine runs, and the Debian package of each. */
const PROGRAMS = {
  runc: 'runc',
  conmon: 'conmon',
  ip: 'iproute2',
  mount: 'mount',
  umount: 'mount',
  unshare: 'util-linux',
  nsenter: 'util-linux',
} as const;
/** Programs of single features: exec with a terminal, standard input of attach, port-forward, packet rules, base image. */
const OPTIONAL = {
  script: 'bsdutils',
  stty: 'coreutils',
  socat: 'socat',
  nft: 'nftables',
  busybox: 'busybox-static',
} as const;

export type ProgramName = keyof typeof PROGRAMS | keyof typeof OPTIONAL;

export interface Facilities {
  readonly isRoot: boolean;
  /** 0 when there are none. A machine with both, where version 1 has the controllers, counts as 1. */
  readonly cgroupVersion: 0 | 1 | 2;
  /** Those in which this process may create groups. */
  readonly controllers: readonly string[];
  readonly hasOverlay: boolean;
  /** Absolute paths of the programs that are there. */
  readonly programs: Readonly<Partial<Record<ProgramName, string>>>;
  /** CAP_SYS_RESOURCE: processes can be protected more from the OOM killer than this one, and get higher limits. */
  readonly canRaiseLimits: boolean;
  /** Of this process; containers get no lower one without `canRaiseLimits`. */
  readonly oomScoreAdj: number;
  /** Bit n is capability n of this process. */
  readonly capabilities: bigint;
}

/** `rootDir` is where containers will be: overlayfs is tried there. */
export async function probeFacilities(rootDir: string): Promise<Facilities> {
  const isRoot = process.geteuid?.() === 0;
  const programs = findPrograms();
  const { version, controllers } = probeCgroups();
  return {
    isRoot,
    cgroupVersion: version,
    controllers,
    hasOverlay: isRoot && programs.mount !== undefined && (await canMountOverlay(rootDir)),
    programs,
    canRaiseLimits: mayRaiseLimits(),
    oomScoreAdj: Number(readOr('/proc/self/oom_score_adj', '0')),
    capabilities: effectiveCapabilities(),
  };
}

/** Names, for people, of the things the built-in engine lacks here; none when it can run. */
export function missingForEngine(facilities: Facilities): string[] {
  const missing: string[] = [];
  if (!facilities.isRoot) missing.push('root');
  for (const [name, debianPackage] of Object.entries(PROGRAMS)) {
    if (facilities.programs[name as ProgramName] !== undefined) continue;
    missing.push(`${name} (Debian package ${debianPackage})`);
  }
  if (facilities.cgroupVersion === 0) missing.push('writable cgroups');
  if (facilities.isRoot && !facilities.hasOverlay) missing.push('overlayfs');
  return missing;
}

/** One line: `runc and conmon, cgroup v1 (cpu memory pids), overlayfs; without ...`. */
export function describeFacilities(facilities: Facilities): string {
  const { cgroupVersion, controllers, hasOverlay, programs, canRaiseLimits } = facilities;
  const have = [
    facilities.isRoot ? 'root' : 'no root',
    ...(programs.runc === undefined ? [] : ['runc']),
    ...(programs.conmon === undefined ? [] : ['conmon']),
    cgroupVersion === 0 ? 'no cgroups' : `cgroup v${cgroupVersion} (${controllers.join(' ')})`,
    ...(hasOverlay ? ['overlayfs'] : []),
  ];
  const lacks = Object.keys(OPTIONAL).filter((name) => programs[name as ProgramName] === undefined);
  if (!canRaiseLimits) lacks.push('CAP_SYS_RESOURCE (oom_score_adj and limits are not raised)');
  const without = lacks.length === 0 ? '' : `; without ${lacks.join(', ')}`;
  return `${have.join(', ')}${without}`;
}

function findPrograms(): Partial<Record<ProgramName, string>> {
  const found: Partial<Record<ProgramName, string>> = {};
  for (const name of [...Object.keys(PROGRAMS), ...Object.keys(OPTIONAL)] as ProgramName[]) {
    const path = findProgram(name, SYSTEM_FOLDERS);
    if (path !== undefined) found[name] = path;
  }
  return found;
}

function probeCgroups(): { version: 0 | 1 | 2; controllers: string[] } {
  if (!existsSync(CGROUP_ROOT)) return { version: 0, controllers: [] };
  if (statfsSync(CGROUP_ROOT).type === CGROUP2_MAGIC) {
    const names = readOr(`${CGROUP_ROOT}/cgroup.controllers`, '').trim().split(' ');
    const controllers = isWritable(CGROUP_ROOT) ? names.filter((name) => name !== '') : [];
    return { version: controllers.length === 0 ? 0 : 2, controllers };
  }
  const names = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'devices', 'freezer'];
  const controllers = names.filter((name) => isWritable(join(CGROUP_ROOT, name)));
  return { version: controllers.length === 0 ? 0 : 1, controllers };
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function canMountOverlay(rootDir: string): Promise<boolean> {
  await mkdir(rootDir, { recursive: true });
  const scratch = await mkdtemp(join(rootDir, 'overlay-'));
  try {
    for (const name of ['lower', 'upper', 'work', 'merged']) await mkdir(join(scratch, name));
    const target = join(scratch, 'merged');
    await mountOverlay({ base: scratch, lower: ['lower'], upper: 'upper', work: 'work', target });
    return true;
  } catch {
    return false;
  } finally {
    await unmountBelow(scratch);
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Lowers its own score by one and restores it: the kernel allows only the capable to go below where they began. */
function mayRaiseLimits(): boolean {
  const file = '/proc/self/oom_score_adj';
  const before = readOr(file, '');
  if (before === '') return false;
  try {
    writeFileSync(file, String(Number(before) - 1));
    writeFileSync(file, before.trim());
    return true;
  } catch {
    return false;
  }
}

function effectiveCapabilities(): bigint {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(readOr('/proc/self/status', ''))?.[1];
  return hex === undefined ? 0n : BigInt(`0x${hex}`);
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}
