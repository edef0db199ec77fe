/**
 * Exit codes that monitors leave, a file a container. A watch of the directory tells at once; a
 * round every second finds what a watch may lose, and containers whose monitor was killed.
 */
import { watch, type FSWatcher } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterEnv, ClusterTimer } from '../env.js';
import { namesIn, readText, isAbsent } from './state-files.js';

const ROUND_MS = 1000;

export interface ExitFile {
  readonly exitCode: number;
  readonly finishedAtMs: number;
}

/** Undefined while there is none. */
export async function readExitFile(path: string): Promise<ExitFile | undefined> {
  try {
    const code = Number.parseInt(await readFile(path, 'utf8'), 10);
    if (Number.isNaN(code)) return undefined;
    return { exitCode: code, finishedAtMs: Math.floor((await stat(path)).mtimeMs) };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** True if the kernel killed a process of the container for want of memory. */
export async function wasOutOfMemory(bundle: string): Promise<boolean> {
  return (await readText(join(bundle, 'oom'))) !== undefined;
}

export async function removeExitFiles(exit: string, bundle: string): Promise<void> {
  for (const path of [exit, join(bundle, 'oom'), join(bundle, 'exit')]) {
    await rm(path, { force: true });
  }
}

export class ExitWatch {
  private readonly watcher: FSWatcher;
  private timer: ClusterTimer;

  /** Calls `onExit` with names of files, some of them more than once or of others; `onRound` every second. */
  constructor(dir: string, env: ClusterEnv, onExit: (name: string) => void, onRound: () => void) {
    this.watcher = watch(dir, (_kind, name) => {
      if (name !== null) onExit(name);
    });
    // A watch that fails leaves the rounds.
    this.watcher.on('error', () => this.watcher.close());
    const round = (): void => {
      for (const name of namesIn(dir)) onExit(name);
      onRound();
      this.timer = env.after(ROUND_MS, round);
    };
    this.timer = env.after(ROUND_MS, round);
  }

  close(): void {
    this.watcher.close();
    this.timer.cancel();
  }
}
