/** Identity and resources of the machine, from /proc, /sys and /etc. */
import { readFile, statfs } from 'node:fs/promises';
import os from 'node:os';

export interface HostFacts {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** As Go names it: `amd64`. */
  readonly architecture: string;
}

/** Memory, disk and threads that are left now, for the pressure conditions. */
export interface HostPressure {
  readonly memoryAvailableBytes: number;
  readonly diskAvailableFraction: number;
  readonly threadsAvailableFraction: number;
}

/** Resources that all processes of the machine use together. */
export interface HostUsage {
  /** Nanoseconds of CPU time since it started. */
  readonly cpuNs: number;
  readonly memoryWorkingSetBytes: number;
  readonly diskUsedBytes: number;
  readonly diskAvailableBytes: number;
}

/** Asked instead of the machine itself in tests. */
export interface Host {
  facts(): Promise<HostFacts>;
  pressure(): Promise<HostPressure>;
  usage(): Promise<HostUsage>;
}

const GO_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
};

/** `rootDirectory` is on the disk whose space counts; it exists. */
export function localHost(rootDirectory: string): Host {
  return {
    facts: () => factsOf(rootDirectory),
    pressure: () => pressureOf(rootDirectory),
    usage: () => usageOf(rootDirectory),
  };
}

async function factsOf(rootDirectory: string): Promise<HostFacts> {
  const disk = await statfs(rootDirectory);
  const machineId = await firstText(['/etc/machine-id', '/var/lib/dbus/machine-id']);
  const bootId = await firstText(['/proc/sys/kernel/random/boot_id']);
  const uuid = await firstText(['/sys/class/dmi/id/product_uuid']);
  const release = await firstText(['/etc/os-release', '/usr/lib/os-release']);
  const pretty = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1];
  return {
    cpus: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    diskBytes: disk.blocks * disk.bsize,
    machineId,
    systemUuid: uuid === '' ? machineId : uuid,
    bootId,
    kernelVersion: os.release(),
    osImage: pretty ?? `${os.type()} ${os.release()}`,
    architecture: GO_ARCHITECTURES[os.arch()] ?? os.arch(),
  };
}

async function pressureOf(rootDirectory: string): Promise<HostPressure> {
  const disk = await statfs(rootDirectory);
  const memory = await firstText(['/proc/meminfo']);
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(memory)?.[1] ?? NaN) * 1024;
  const load = await firstText(['/proc/loadavg']);
  const threads = Number(/\/(\d+) /.exec(load)?.[1] ?? 0);
  const limit = Number(await firstText(['/proc/sys/kernel/threads-max']));
  return {
    memoryAvailableBytes: Number.isNaN(available) ? os.freemem() : available,
    diskAvailableFraction: disk.blocks === 0 ? 1 : disk.bavail / disk.blocks,
    threadsAvailableFraction: limit > 0 ? 1 - threads / limit : 1,
  };
}

async function usageOf(rootDirectory: string): Promise<HostUsage> {
  const disk = await statfs(rootDirectory);
  const { memoryAvailableBytes } = await pressureOf(rootDirectory);
  const total = os.cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys, 0);
  return {
    cpuNs: total * 1e6,
    memoryWorkingSetBytes: os.totalmem() - memoryAvailableBytes,
    diskUsedBytes: (disk.blocks - disk.bfree) * disk.bsize,
    diskAvailableBytes: disk.bavail * disk.bsize,
  };
}

/** Of the first file that can be read, without the line's end; empty if there is none. */
async function firstText(paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    try {
      return (await readFile(path, 'utf8')).trim();
    } catch {
      // Not every system has it, and some only for root.
    }
  }
  return '';
}
