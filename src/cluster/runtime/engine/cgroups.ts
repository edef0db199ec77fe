/** Control groups of containers, in version 1 (one tree a controller) and version 2 (one tree). */
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerStats } from '../runtime.js';
import { codeOf, namesIn } from '../state-files.js';

const ROOT = '/sys/fs/cgroup';
const NS_PER_US = 1000;

type Usage = Omit<ContainerStats, 'containerId' | 'timestampMs'>;

/** Use of the group at `path` (`/kubepods/podX/ID`); undefined when it has gone. */
export function readUsage(version: 0 | 1 | 2, path: string): Usage | undefined {
  try {
    return version === 2 ? readVersion2(join(ROOT, path)) : readVersion1(path);
  } catch (error) {
    // A group disappears with its container, between two reads too.
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV') return undefined;
    throw error;
  }
}

/** Removes the group at `path` in every tree, where nothing is in it. */
export function removeEmptyGroup(path: string): void {
  if (path === '' || path === '/') return;
  for (const tree of trees()) removeDirectory(join(tree, path));
}

/** As `removeEmptyGroup`, after the groups below it. */
export function removeEmptyGroups(path: string): void {
  if (path === '' || path === '/') return;
  for (const tree of trees()) removeTree(join(tree, path));
}

function removeTree(group: string): void {
  if (!existsSync(group)) return;
  for (const entry of readdirSync(group, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(group, entry.name));
  }
  removeDirectory(group);
}

function removeDirectory(group: string): void {
  try {
    rmdirSync(group);
  } catch {
    // Not there, or in use by another.
  }
}

/** Trees in which a group's path may exist: the one of version 2, and those of version 1. */
function trees(): string[] {
  return [ROOT, ...namesIn(ROOT).map((name) => join(ROOT, name))];
}

function readVersion1(path: string): Usage {
  const memory = join(ROOT, 'memory', path);
  const usage = numberIn(join(memory, 'memory.usage_in_bytes'));
  return {
    cpuUsageNs: numberIn(join(ROOT, 'cpuacct', path, 'cpuacct.usage')),
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: working(
      usage,
      field(join(memory, 'memory.stat'), 'total_inactive_file'),
    ),
  };
}

function readVersion2(group: string): Usage {
  const usage = numberIn(join(group, 'memory.current'));
  return {
    cpuUsageNs: field(join(group, 'cpu.stat'), 'usage_usec') * NS_PER_US,
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: working(usage, field(join(group, 'memory.stat'), 'inactive_file')),
  };
}

/** Bytes that the kernel cannot simply take back: the usage less the files not used lately. */
function working(usage: number, inactiveFile: number): number {
  return Math.max(0, usage - inactiveFile);
}

function numberIn(path: string): number {
  return Number(readFileSync(path, 'utf8'));
}

function field(path: string, name: string): number {
  const value = new RegExp(`^${name} (\\d+)$`, 'm').exec(readFileSync(path, 'utf8'))?.[1];
  return Number(value ?? 0);
}
