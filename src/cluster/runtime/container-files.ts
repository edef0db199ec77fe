/** Files of one container of the engine, and its state as they tell it. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, markOf, type ProcessMark } from './processes.js';
import {
  ContainerEntry,
  exitOf,
  type ContainerRecord,
  type Exit,
  type Start,
} from './container-record.js';
import { readState, readText, writeState } from './state-files.js';
import { readExitFile, wasOutOfMemory } from './exit-files.js';
import type { Layout } from './layout.js';

const EXIT_CANNOT_RUN = 128;
/** As the shell says it of SIGKILL: nobody saw how it ended. */
const EXIT_UNKNOWN = 137;

export class ContainerFiles {
  private readonly layout: Layout;
  readonly bundle: string;
  readonly id: string;

  constructor(layout: Layout, id: string) {
    this.layout = layout;
    this.id = id;
    this.bundle = layout.container(id);
  }

  /** Undefined for a container that a crash left in part. */
  async load(): Promise<ContainerEntry | undefined> {
    const record = await readState<ContainerRecord>(this.path('container.json'));
    if (record === undefined) return undefined;
    const entry = new ContainerEntry(record);
    entry.isWhole = true;
    const start = await readState<Start>(this.path('started.json'));
    if (start !== undefined) entry.begin(start);
    const exit = await this.readExit(entry);
    if (exit !== undefined) entry.end(exit);
    return entry;
  }

  async writeRecord(record: ContainerRecord): Promise<void> {
    await writeState(this.path('container.json'), record);
  }

  /** The file without which the directory means nothing. */
  async removeRecord(): Promise<void> {
    await rm(this.path('container.json'), { force: true });
  }

  async writeSpec(spec: object): Promise<void> {
    await writeState(this.path('config.json'), spec);
  }

  async writeStart(start: Start): Promise<void> {
    await writeState(this.path('started.json'), start);
  }

  async removeStart(): Promise<void> {
    await rm(this.path('started.json'), { force: true });
  }

  /** For a container that never ran. */
  async writeCannotRun(finishedAtMs: number, message: string): Promise<Exit> {
    return this.writeEnd({
      finishedAtMs,
      exitCode: EXIT_CANNOT_RUN,
      reason: 'StartError',
      message,
    });
  }

  /** For a container whose monitor was killed. */
  async writeUnknown(finishedAtMs: number): Promise<Exit> {
    return this.writeEnd({
      finishedAtMs,
      exitCode: EXIT_UNKNOWN,
      reason: 'Error',
      message: 'the monitor of the container was killed before it could tell the exit code',
    });
  }

  /** Undefined while it runs, or has not started. */
  async readExit(entry: ContainerEntry): Promise<Exit | undefined> {
    const own = await readState<Exit>(this.path('ended.json'));
    if (own !== undefined) return own;
    if (entry.start === undefined) return undefined;
    const file = await readExitFile(this.layout.exit(this.id));
    if (file === undefined) return undefined;
    return exitOf(file.finishedAtMs, file.exitCode, await wasOutOfMemory(this.bundle));
  }

  /** The monitor's process; undefined before it was started. */
  async monitor(): Promise<ProcessMark | undefined> {
    const text = await readText(this.path('monitor.pid'));
    return text === undefined || text === '' ? undefined : markOf(Number(text));
  }

  async hasMonitor(): Promise<boolean> {
    const monitor = await this.monitor();
    return monitor !== undefined && monitor.startTime !== '' && isAlive(monitor);
  }

  private async writeEnd(exit: Exit): Promise<Exit> {
    await writeState(this.path('ended.json'), exit);
    return exit;
  }

  private path(name: string): string {
    return join(this.bundle, name);
  }
}
