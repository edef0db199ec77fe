import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join, resolve } from 'node:path';
import { decodeStatusResponse, type StatusResponse } from '../src/gen/rpc.js';
import { PATH } from './operations.js';
import { callOnce } from './wire/unary.js';

/** Starts, watches and stops the servers under comparison: a real etcd and mainstay, with the same flags. */

export type Kind = 'etcd' | 'mainstay';

export const ROOT = resolve(import.meta.dirname, '..');
const START_MAX_MS = 60_000;
const STOP_MAX_MS = 60_000;
const POLL_MS = 10;

export interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly dataDir: string;
  readonly args: readonly string[];
  readonly logPath: string;
  process: ChildProcess;
}

/** etcd's program: MAINSTAY_BENCH_ETCD, else the one on PATH. */
export function etcdProgram(): string {
  const given = process.env['MAINSTAY_BENCH_ETCD'];
  if (given !== undefined && given !== '') return given;
  return (
    onPath('etcd') ??
    fail('no etcd on PATH; install it (Debian: etcd-server) or set MAINSTAY_BENCH_ETCD')
  );
}

/** The etcdctl that came with etcd, else the one on PATH. */
export function etcdctlProgram(): string {
  const beside = join(resolve(etcdProgram(), '..'), 'etcdctl');
  if (existsSync(beside)) return beside;
  return onPath('etcdctl') ?? fail('no etcdctl on PATH; install it (Debian: etcd-client)');
}

export function onPath(program: string): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

export function versionOf(kind: Kind): string {
  if (kind === 'etcd') {
    const text = execFileSync(etcdProgram(), ['--version'], { encoding: 'utf8' });
    return /etcd Version: (\S+)/.exec(text)?.[1] ?? 'unknown';
  }
  const about = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  try {
    const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: ROOT,
      encoding: 'utf8',
    }).trim();
    return `${about.version} (${commit})`;
  } catch {
    return about.version;
  }
}

/** A running cluster of one kind. */
export class Cluster {
  readonly kind: Kind;
  readonly dir: string;
  readonly members: readonly Member[];

  private constructor(kind: Kind, dir: string, members: readonly Member[]) {
    this.kind = kind;
    this.dir = dir;
    this.members = members;
  }

  /** Resolves when every member is healthy. Data lies in a new directory below `baseDir`. */
  static async start(
    kind: Kind,
    size: number,
    baseDir: string,
    extraFlags: readonly string[] = [],
  ): Promise<Cluster> {
    mkdirSync(baseDir, { recursive: true });
    const dir = mkdtempSync(join(baseDir, `${kind}-`));
    const ports = await freePorts(size * 2);
    const peerUrl = (i: number): string => `http://127.0.0.1:${String(ports[size + i])}`;
    const initialCluster = Array.from(
      { length: size },
      (_, i) => `m${String(i)}=${peerUrl(i)}`,
    ).join(',');
    const members = Array.from({ length: size }, (_, i): Member => {
      const name = `m${String(i)}`;
      const clientUrl = `http://127.0.0.1:${String(ports[i])}`;
      const dataDir = join(dir, name);
      const flags = {
        name,
        'data-dir': dataDir,
        'listen-client-urls': clientUrl,
        'advertise-client-urls': clientUrl,
        'listen-peer-urls': peerUrl(i),
        'initial-advertise-peer-urls': peerUrl(i),
        'initial-cluster': initialCluster,
        'initial-cluster-token': 'bench',
        'initial-cluster-state': 'new',
        'log-level': 'error',
        'quota-backend-bytes': String(8 * 1024 ** 3),
      };
      const args = [
        ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
        ...extraFlags,
      ];
      const logPath = join(dir, `${name}.log`);
      const clientPort = ports[i] ?? 0;
      return { name, clientPort, dataDir, args, logPath, process: launch(kind, args, logPath) };
    });
    const cluster = new Cluster(kind, dir, members);
    running.add(cluster);
    try {
      await Promise.all(members.map((member) => waitHealthy(member)));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get ports(): number[] {
    return this.members.map((member) => member.clientPort);
  }

  status(member: Member): Promise<StatusResponse> {
    return statusOf(member.clientPort);
  }

  /** Index of the leader among the members. */
  async leader(): Promise<number> {
    return poll(START_MAX_MS, 'no leader', async () => {
      for (const [i, member] of this.members.entries()) {
        if (member.process.exitCode !== null || member.process.signalCode !== null) continue;
        const status = await this.status(member).catch(() => undefined);
        if (
          status !== undefined &&
          status.leader !== 0n &&
          status.leader === status.header?.memberId
        )
          return i;
      }
      return undefined;
    });
  }

  /** Ports with the leader's first. */
  async portsFromLeader(): Promise<{ leader: number; followers: number[] }> {
    const at = await this.leader();
    const ports = this.ports;
    return { leader: ports[at] ?? 0, followers: ports.filter((_, i) => i !== at) };
  }

  /** Starts a stopped member again on its data, and does not wait for it. */
  startAgain(member: Member): void {
    member.process = launch(this.kind, member.args, member.logPath);
  }

  /** Starts a stopped member again; resolves with the milliseconds until it was healthy. */
  async restart(member: Member): Promise<number> {
    const began = performance.now();
    this.startAgain(member);
    await waitHealthy(member);
    return performance.now() - began;
  }

  async stopMember(member: Member, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await endProcess(member.process, signal);
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => endProcess(member.process, 'SIGTERM')));
    running.delete(this);
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** At the end of our own process, when nothing can be awaited. */
  killNow(): void {
    for (const member of this.members) member.process.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const running = new Set<Cluster>();
process.on('exit', () => {
  for (const cluster of running) cluster.killNow();
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    process.exit(130);
  });
}

/** Resident bytes of a process, and the most it ever had. */
export function residentBytes(child: ChildProcess): { now: number; peak: number } {
  const text = readFileSync(`/proc/${String(child.pid)}/status`, 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

export async function statusOf(port: number): Promise<StatusResponse> {
  return decodeStatusResponse(await callOnce(port, PATH.status, new Uint8Array(0)));
}

/** Calls `look` until it yields something. */
export async function poll<T>(
  maxMs: number,
  what: string,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + maxMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what} within ${String(maxMs / 1000)} s`);
    await new Promise((resolveTimer) => setTimeout(resolveTimer, POLL_MS));
  }
}

function launch(kind: Kind, args: readonly string[], logPath: string): ChildProcess {
  const log = openSync(logPath, 'a');
  const [program, first] =
    kind === 'etcd' ? [etcdProgram(), []] : [join(ROOT, 'bin/mainstay.js'), ['server']];
  const child = spawn(program, [...first, ...args], { stdio: ['ignore', log, log] });
  // A program that cannot be started shows as a member that never gets healthy.
  child.on('error', () => undefined);
  return child;
}

async function waitHealthy(member: Member): Promise<void> {
  await poll(START_MAX_MS, `${member.name} did not become healthy`, async () => {
    if (
      member.process.exitCode !== null ||
      member.process.signalCode !== null ||
      member.process.pid === undefined
    ) {
      const tail = readFileSync(member.logPath, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
      throw new Error(`${member.name} ended while starting:\n${tail}`);
    }
    try {
      const answer = await fetch(`http://127.0.0.1:${String(member.clientPort)}/health`);
      const body = (await answer.json()) as { health?: string };
      return body.health === 'true' ? true : undefined;
    } catch {
      return undefined;
    }
  });
}

function endProcess(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
    return Promise.resolve();
  return new Promise((done) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS);
    child.once('exit', () => {
      clearTimeout(timer);
      done();
    });
    child.kill(signal);
  });
}

/** Ports that were free a moment ago, all different. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((done, failed) => {
          const server = createServer();
          server.once('error', failed);
          server.listen(0, '127.0.0.1', () => {
            done(server);
          });
        }),
    ),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function fail(text: string): never {
  throw new Error(text);
}
