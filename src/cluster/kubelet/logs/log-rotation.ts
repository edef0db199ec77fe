/** Keeps logs of running containers small: a full file is renamed, and the runtime opens a new one. */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv, ClusterTimer } from '../../env.js';
import type { ContainerRuntime, ContainerStatus } from '../../runtime/runtime.js';
import { messageOf } from '../pods/start-error.js';

const PERIOD_MS = 10_000;

export interface LogRotationOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly runtime: ContainerRuntime;
  readonly running: () => readonly ContainerStatus[];
  readonly maxBytes: number;
  /** Of one run of a container, the file in use included. */
  readonly maxFiles: number;
}

export class LogRotation {
  readonly #options: LogRotationOptions;
  #timer: ClusterTimer | undefined;
  #round: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: LogRotationOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.env.after(PERIOD_MS, () => {
      this.#round = this.#rotateAll().finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#round;
  }

  async #rotateAll(): Promise<void> {
    for (const container of this.#options.running()) {
      try {
        await this.#rotate(container);
      } catch (error) {
        const why = messageOf(error);
        this.#options.log.warn('log not rotated', { path: container.logPath, why });
      }
    }
  }

  async #rotate({ id, logPath }: ContainerStatus): Promise<void> {
    const { env, runtime, maxBytes } = this.#options;
    const size = await stat(logPath).then(
      (found) => found.size,
      () => 0,
    );
    if (size < maxBytes) return;
    await this.#removeOldest(logPath);
    const time = new Date(env.wallMs()).toISOString().slice(0, 19).replace(/[-:]/g, '');
    const rotated = `${logPath}.${time.replace('T', '-')}`;
    await rename(logPath, rotated);
    try {
      await runtime.reopenContainerLog(id);
    } catch (error) {
      // Otherwise the log would go on in a file that nobody reads.
      await rename(rotated, logPath);
      throw error;
    }
  }

  /** Room for one more rotated file beside the one in use. */
  async #removeOldest(logPath: string): Promise<void> {
    const directory = dirname(logPath);
    const prefix = `${basename(logPath)}.`;
    const names = (await readdir(directory)).filter((name) => name.startsWith(prefix)).sort();
    const excess = names.slice(0, Math.max(0, names.length - (this.#options.maxFiles - 2)));
    for (const name of excess) await rm(join(directory, name), { force: true });
  }
}
