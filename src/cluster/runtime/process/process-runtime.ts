/**
 * Containers as plain processes of the node, for machines where nothing isolates them: no root file
 * system, no network, no limits and no volumes of their own. An image serves to find programs.
 * `status()` says so, and what cannot be offered is refused.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFile, mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Duplex } from 'node:stream';
import { collect, codeOfEnd } from '../child-end.js';
import { missingForEngine } from '../facilities.js';
import { LocalRuntime, type LocalRuntimeOptions } from '../local-runtime.js';
import { LogTail } from '../log-tail.js';
import {
  RuntimeError,
  type ContainerStats,
  type ExecResult,
  type RuntimeStatus,
  type Session,
  type SessionOptions,
} from '../runtime.js';
import type { SandboxDriver } from '../sandboxes.js';
import { ProcessContainers } from './process-containers.js';
import { findProgram } from './program.js';

/** A sandbox is only what its file says. */
const SANDBOXES: SandboxDriver = {
  takeAddress: (_id, { namespaces }) =>
    Promise.resolve(namespaces.network === 'node' ? '' : nodeAddress()),
  build: () => Promise.resolve(),
  exists: () => true,
  takeDown: () => Promise.resolve(),
  remove: () => Promise.resolve(),
  sweep: () => Promise.resolve(),
};

export class ProcessRuntime extends LocalRuntime {
  private readonly driver: ProcessContainers;

  static async open(options: LocalRuntimeOptions): Promise<ProcessRuntime> {
    await mkdir(options.rootDir, { recursive: true, mode: 0o700 });
    const runtime = new ProcessRuntime(options);
    await runtime.openParts();
    return runtime;
  }

  private constructor(options: LocalRuntimeOptions) {
    let driver: ProcessContainers | undefined;
    super(options, false, (layout, images) => {
      driver = new ProcessContainers(layout, images, options.env);
      return { sandboxes: SANDBOXES, containers: driver };
    });
    this.driver = driver ?? new ProcessContainers(this.layout, this.images, options.env);
  }

  status(): Promise<RuntimeStatus> {
    const missing = missingForEngine(this.options.facilities);
    const why = missing.length === 0 ? 'asked for' : `no ${missing.join(', no ')}`;
    return Promise.resolve({
      conditions: [
        {
          type: 'RuntimeReady',
          isTrue: true,
          reason: 'PlainProcesses',
          message: 'containers are not isolated',
        },
        {
          type: 'NetworkReady',
          isTrue: true,
          reason: 'NodeNetwork',
          message: 'pods use the network of the node',
        },
      ],
      description:
        `plain processes without isolation (${why}): no root file system, network, limits or ` +
        'volumes of their own',
    });
  }

  updateResources(): Promise<void> {
    return Promise.reject(unimplemented('limits'));
  }

  /** Each line opens the log anew; the file is only made at once. */
  async reopenContainerLog(id: string): Promise<void> {
    const { logPath } = this.containers.running(id).record;
    await appendFile(logPath, '');
  }

  async execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const child = await this.spawn(id, command, false);
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    let isLate = false;
    const timer =
      timeoutMs === 0
        ? undefined
        : this.options.env.after(timeoutMs, () => {
            isLate = true;
            killGroup(child);
          });
    const exitCode = await codeOfEnd(child, 'close');
    timer?.cancel();
    if (!isLate) return { stdout: stdout(), stderr: stderr(), exitCode };
    throw new RuntimeError(
      'DeadlineExceeded',
      `command ${JSON.stringify(command)} timed out: timeout ${timeoutMs / 1000}s exceeded`,
    );
  }

  async exec(id: string, command: readonly string[], options: SessionOptions): Promise<Session> {
    if (options.tty) throw unimplemented('terminals');
    const child = await this.spawn(id, command, options.stdin);
    return {
      stdin: child.stdin ?? undefined,
      stdout: child.stdout,
      stderr: child.stderr,
      resize: () => undefined,
      ended: codeOfEnd(child, 'exit'),
      close: () => killGroup(child),
    };
  }

  async attach(id: string, options: SessionOptions): Promise<Session> {
    if (options.stdin || options.tty) throw unimplemented('standard input and terminals');
    const entry = this.containers.running(id);
    const tail = await LogTail.open(entry.record.logPath, this.options.env);
    return {
      stdin: undefined,
      stdout: tail.stdout,
      stderr: tail.stderr,
      resize: () => undefined,
      ended: Promise.race([entry.whenEnded(), tail.whenClosed]).then(async () => {
        await tail.finish();
        return undefined;
      }),
      close: () => void tail.finish(),
    };
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    this.sandboxes.ready(sandboxId);
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    return new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(socket));
      socket.once('error', (error) =>
        reject(
          new RuntimeError('Internal', `connect to port ${port} inside the pod: ${error.message}`),
        ),
      );
    });
  }

  /** Processes are not counted together, so there is nothing to tell. */
  containerStats(): Promise<ContainerStats[]> {
    return Promise.resolve([]);
  }

  private async spawn(id: string, command: readonly string[], stdin: boolean): Promise<Piped> {
    this.containers.running(id);
    const [name, ...args] = command;
    if (name === undefined) throw new RuntimeError('InvalidArgument', 'no command specified');
    const { imageRoot, workingDir, env } = await this.driver.environment(id);
    const child = spawn(findProgram(name, env, imageRoot), args, {
      cwd: workingDir,
      env,
      detached: true,
      stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    child.stdin?.on('error', () => undefined);
    return child as Piped;
  }
}

type Piped = ChildProcess & {
  readonly stdout: NonNullable<ChildProcess['stdout']>;
  readonly stderr: NonNullable<ChildProcess['stderr']>;
};

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(-child.pid, 'SIGKILL');
}

function unimplemented(what: string): RuntimeError {
  const words = `containers of this node are plain processes, without ${what}`;
  return new RuntimeError('Unimplemented', words);
}

function nodeAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const own = all.find(({ family, internal }) => family === 'IPv4' && !internal);
  return own?.address ?? '127.0.0.1';
}
