/** Containers without isolation: each is a process group of the node, below a monitor. */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep, type ClusterEnv } from '../../env.js';
import { run } from '../command.js';
import { processArgs, processEnv } from '../container-process.js';
import type { ContainerDriver, ProcessState } from '../containers.js';
import type { ContainerEntry, ContainerRecord } from '../container-record.js';
import type { ImageStore, StoredImage } from '../images/image-store.js';
import type { Layout } from '../layout.js';
import { isAlive, markOf, signal, type ProcessMark } from '../processes.js';
import { RuntimeError, type ContainerConfig } from '../runtime.js';
import type { SandboxRecord } from '../sandbox-record.js';
import { readState, readText, writeState } from '../state-files.js';
import { MONITOR_FILE, monitorScript } from './monitor-script.js';
import { findProgram, withImagePath } from './program.js';

const SIGKILL = 9;
const STARTED_WITHIN_MS = 5000;
const POLL_MS = 5;

/** Surroundings of a container's process, which a command run in the container gets too. */
export interface ProcessEnvironment {
  readonly imageRoot: string;
  readonly workingDir: string;
  readonly env: Readonly<Record<string, string>>;
}

export class ProcessContainers implements ContainerDriver {
  private readonly layout: Layout;
  private readonly images: ImageStore;
  private readonly env: ClusterEnv;

  constructor(layout: Layout, images: ImageStore, env: ClusterEnv) {
    this.layout = layout;
    this.images = images;
    this.env = env;
  }

  async prepare(
    record: ContainerRecord,
    sandbox: SandboxRecord,
    image: StoredImage,
  ): Promise<void> {
    const { config, id } = record;
    refuse(config);
    const [layer = ''] = image.layers;
    const { layers } = this.images;
    const imageRoot = join(layers.layersRoot(), layers.treeOf(layer));
    const workingDir = config.workingDir === '' ? this.layout.container(id) : config.workingDir;
    const env = withImagePath(processEnv(config, image.config, sandbox.config.hostname), imageRoot);
    const environment: ProcessEnvironment = { imageRoot, workingDir, env };
    await writeState(this.path(id, 'environment.json'), environment);
    await writeState(this.path(id, 'args.json'), processArgs(config, image.config));
  }

  async create(record: ContainerRecord): Promise<ProcessMark> {
    const { id, logPath } = record;
    const { imageRoot, workingDir, env } = await this.environment(id);
    const [name = '', ...args] = (await readState<string[]>(this.path(id, 'args.json'))) ?? [];
    const script = monitorScript({
      bundle: this.layout.container(id),
      exitPath: this.layout.exit(id),
      ...{ logPath, workingDir, env, args },
      program: findProgram(name, env, imageRoot),
    });
    await writeFile(this.path(id, 'monitor.sh'), script, { mode: 0o600 });
    const monitor = spawn('sh', [this.path(id, 'monitor.sh')], { detached: true, stdio: 'ignore' });
    monitor.on('error', () => undefined);
    monitor.unref();
    return this.started(id);
  }

  /** `create` has let it run: without isolation nothing is between the two. */
  release(): Promise<void> {
    return Promise.resolve();
  }

  async find(record: ContainerRecord): Promise<ProcessState> {
    const monitor = await this.monitor(record.id);
    return monitor !== undefined && isAlive(monitor) ? 'running' : 'gone';
  }

  signal(process: ProcessMark, number: number): void {
    if (isAlive(process)) signal(process, number, true);
  }

  async kill(entry: ContainerEntry): Promise<void> {
    await this.killGroup(entry.record.id);
  }

  async killRest(record: ContainerRecord): Promise<void> {
    await this.killGroup(record.id);
  }

  async remove(id: string): Promise<void> {
    await this.killGroup(id);
  }

  /** There is nothing outside of the directories. */
  known(): Promise<string[]> {
    return Promise.resolve([]);
  }

  async environment(id: string): Promise<ProcessEnvironment> {
    const found = await readState<ProcessEnvironment>(this.path(id, 'environment.json'));
    if (found !== undefined) return found;
    throw new RuntimeError('NotFound', `could not find container "${id}"`);
  }

  private async started(id: string): Promise<ProcessMark> {
    const limitMs = this.env.monoMs() + STARTED_WITHIN_MS;
    while (this.env.monoMs() < limitMs) {
      const monitor = await this.monitor(id);
      if (monitor !== undefined) return monitor;
      await sleep(this.env, POLL_MS);
    }
    throw new RuntimeError('DeadlineExceeded', 'the monitor of the container does not start');
  }

  private async monitor(id: string): Promise<ProcessMark | undefined> {
    const text = await readText(this.path(id, 'monitor.pid'));
    return text === undefined ? undefined : markOf(Number(text));
  }

  /** Kills every process of the container's group but the monitor's, which then tells the exit code. */
  private async killGroup(id: string): Promise<void> {
    const own = (await readText(this.path(id, MONITOR_FILE)))?.trim().split(' ') ?? [];
    const [leader] = own;
    if (leader === undefined || !isAlive(markOf(Number(leader)))) return;
    const { stdout } = await run('ps', ['-A', '-o', 'pid=,pgid=']);
    for (const line of stdout.split('\n')) {
      const [pid = '', group] = line.trim().split(/\s+/);
      if (group === leader && !own.includes(pid)) signal(markOf(Number(pid)), SIGKILL);
    }
  }

  private path(id: string, name: string): string {
    return join(this.layout.container(id), name);
  }
}

/** Says what plain processes cannot do before anything is started. */
function refuse(config: ContainerConfig): void {
  const { security } = config;
  const own = process.getuid?.();
  const lacks = [
    ...(config.hasTty ? ['a terminal'] : []),
    ...(config.hasStdin ? ['standard input'] : []),
    ...(security.isPrivileged ? ['privileges'] : []),
    ...(security.isRootReadOnly ? ['a read-only root'] : []),
    ...(security.runAsUser !== undefined && security.runAsUser !== own ? ['another user'] : []),
  ];
  if (lacks.length === 0) return;
  throw new RuntimeError(
    'Unimplemented',
    `containers of this node are plain processes, without ${lacks.join(' and ')}`,
  );
}
