/** Calls of runc, which makes containers out of a bundle (opencontainers/runc, man pages). */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { mustRun, run } from '../command.js';
import { markOf, type ProcessMark } from '../processes.js';
import { RuntimeError } from '../runtime.js';
import { readText } from '../state-files.js';

export type RuncStatus = 'creating' | 'created' | 'running' | 'paused' | 'stopped';

export class Runc {
  readonly program: string;
  /** Before every command: where runc keeps its records. */
  readonly globalArgs: readonly string[];

  constructor(program: string, root: string) {
    this.program = program;
    this.globalArgs = ['--root', root];
  }

  /** Undefined when runc does not know the container. */
  async status(id: string): Promise<RuncStatus | undefined> {
    const { exitCode, stdout } = await run(this.program, [...this.globalArgs, 'state', id]);
    if (exitCode !== 0) return undefined;
    return (JSON.parse(stdout) as { status: RuncStatus }).status;
  }

  /** Every container below the root, by id. */
  async list(): Promise<string[]> {
    const text = await mustRun(this.program, [...this.globalArgs, 'list', '--quiet']);
    return text.split('\n').filter((line) => line !== '');
  }

  /** Rejects with RuntimeError Internal and runc's own words. */
  async start(id: string): Promise<void> {
    await this.must(['start', id]);
  }

  /** Creates and starts a process that nobody watches. It has no streams: it would keep ours open. */
  async runDetached(id: string, bundle: string): Promise<ProcessMark> {
    const log = join(bundle, 'runc.log');
    const pidFile = join(bundle, 'pid');
    const args = ['--log', log, 'run', '--detach', '--bundle', bundle, '--pid-file', pidFile, id];
    const child = spawn(this.program, [...this.globalArgs, ...args], { stdio: 'ignore' });
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => resolve(code ?? 1));
    });
    if (exitCode !== 0) throw new RuntimeError('Internal', runcWords((await readText(log)) ?? ''));
    return markOf(Number(await readText(pidFile)));
  }

  /** Kills what is left of the container and removes its groups and records; harmless when it is gone. */
  async remove(id: string): Promise<void> {
    await this.must(['delete', '--force', id]);
  }

  /** Sends a signal to every process of the container. */
  async killAll(id: string, signal: number): Promise<void> {
    await run(this.program, [...this.globalArgs, 'kill', '--all', id, String(signal)]);
  }

  async update(id: string, resources: object): Promise<void> {
    await this.must(['update', '--resources', '-', id], JSON.stringify(resources));
  }

  private async must(args: readonly string[], input = ''): Promise<void> {
    const { exitCode, stderr } = await run(this.program, [...this.globalArgs, ...args], { input });
    if (exitCode !== 0) throw new RuntimeError('Internal', runcWords(stderr));
  }
}

/** The message of runc's last log line, in either of its formats. */
export function runcWords(log: string): string {
  const line = log.trim().split('\n').at(-1) ?? '';
  const text = /^time="[^"]*" level=\w+ msg=(".*")/.exec(line)?.[1];
  if (text !== undefined) return JSON.parse(text) as string;
  if (!line.startsWith('{')) return line;
  return (JSON.parse(line) as { msg?: string }).msg ?? line;
}
