/** A container as its files keep it, for every kind of runtime. */
import type { ContainerConfig, ContainerState, ContainerStatus } from './runtime.js';
import type { ProcessMark } from './processes.js';

export interface ContainerRecord {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly createdAtMs: number;
  /** Absolute. */
  readonly logPath: string;
  /** With the configuration's and the image's considered. */
  readonly stopSignal: number;
  /** Layers that it stands on. */
  readonly layers: readonly string[];
}

export interface Start {
  readonly startedAtMs: number;
  readonly process: ProcessMark;
}

export interface Exit {
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
}

/** One container in memory: its files, and who waits for its end. */
export class ContainerEntry {
  readonly record: ContainerRecord;
  /** False until it is whole on disk. */
  isWhole = false;
  private readonly current: { start: Start | undefined; exit: Exit | undefined };
  private readonly waiters: (() => void)[] = [];

  constructor(record: ContainerRecord) {
    this.record = record;
    this.current = { start: undefined, exit: undefined };
  }

  get start(): Start | undefined {
    return this.current.start;
  }

  get exit(): Exit | undefined {
    return this.current.exit;
  }

  get state(): ContainerState {
    if (this.exit !== undefined) return 'exited';
    return this.start === undefined ? 'created' : 'running';
  }

  begin(start: Start): void {
    this.current.start = start;
  }

  /** Only the first end counts. Returns false for another. */
  end(exit: Exit): boolean {
    if (this.exit !== undefined) return false;
    this.current.exit = exit;
    for (const wake of this.waiters.splice(0)) wake();
    return true;
  }

  whenEnded(): Promise<void> {
    if (this.exit !== undefined) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  status(): ContainerStatus {
    const { id, sandboxId, config, createdAtMs, logPath } = this.record;
    const { name, attempt, image, imageId, labels, annotations } = config;
    return {
      ...{ id, sandboxId, name, attempt, image, imageId, labels, annotations },
      state: this.state,
      createdAtMs,
      startedAtMs: this.start?.startedAtMs ?? 0,
      finishedAtMs: this.exit?.finishedAtMs ?? 0,
      exitCode: this.exit?.exitCode ?? 0,
      reason: this.exit?.reason ?? '',
      message: this.exit?.message ?? '',
      logPath,
    };
  }
}

/** Exit of a program by its code. */
export function exitOf(finishedAtMs: number, exitCode: number, wasOom: boolean): Exit {
  const reason = exitCode === 0 ? 'Completed' : wasOom ? 'OOMKilled' : 'Error';
  return { finishedAtMs, exitCode, reason, message: '' };
}
