import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { median, type Machine } from './results.js';

/** Describes the machine, and the disk that holds `dir`. */
export function describeMachine(dir: string): Machine {
  mkdirSync(dir, { recursive: true });
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.versions.node,
    fileSystem: fileSystemOf(dir),
    fdatasyncUs: fdatasyncUs(dir),
  };
}

function fdatasyncUs(dir: string): number {
  const path = join(dir, 'fdatasync-probe');
  const file = openSync(path, 'w');
  const block = Buffer.alloc(4096, 1);
  const times: number[] = [];
  for (let i = 0; i < 200; i++) {
    const began = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    times.push((performance.now() - began) * 1000);
  }
  closeSync(file);
  rmSync(path);
  return Math.round(median(times) ?? 0);
}

/** The type of the mount with the longest path above `dir`. */
function fileSystemOf(dir: string): string {
  const path = `${resolve(dir)}/`;
  let best = ['', 'unknown'];
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) {
    const [, mount = '', type = ''] = line.split(' ');
    const inside = path.startsWith(mount.endsWith('/') ? mount : `${mount}/`);
    if (mount !== '' && inside && mount.length >= (best[0] ?? '').length) best = [mount, type];
  }
  return best[1] ?? 'unknown';
}
