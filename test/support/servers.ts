/**
 * Real servers for tests: one or more members of mainstay or of a real etcd, each a process of its own on free ports and
 * a temporary directory. Promises: `startCluster` returns only when every member is healthy.
 * Nothing it started outlives `stop` (or the test process). Logs of a failed start are part of the
 * error.
 *
 * Used by the suites that talk to servers from outside: test/conformance and test/contract.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeSlowness, slowness } from '../../scripts/machine.js';
import { EtcdClient } from '../../src/client/client.js';

export type ServerKind = 'mainstay' | 'etcd';

export interface ClusterOptions {
  readonly kind: ServerKind;
  readonly size: number;
  /** Further flags of every member, without the leading dashes. */
  readonly flags?: Readonly<Record<string, string>>;
  /** A port for --listen-metrics-urls. */
  readonly metrics?: boolean;
}

const ROOT = join(import.meta.dirname, '../..');
const START_ATTEMPTS = 4;
const HEALTHY_WITHIN_MS = 40_000;
const POLL_MS = 40;
const LOG_TAIL_LINES = 30;
const PORT_TAKEN = /address already in use|EADDRINUSE/;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export function etcdProgram(): string {
  return process.env['MAINSTAY_TEST_ETCD'] ?? 'etcd';
}

export function etcdctlProgram(): string {
  return process.env['MAINSTAY_TEST_ETCDCTL'] ?? 'etcdctl';
}

export interface Version {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
}

/** Version of a program that prints it like etcd does, or null when there is no such program. */
export function versionOf(program: string, arg: string): Version | null {
  const run = spawnSync(program, [arg], { encoding: 'utf8', env: CLIENT_ENV });
  if (run.status !== 0) return null;
  const found = /version: *(\d+)\.(\d+)[^\s]*/i.exec(run.stdout);
  if (found === null) return null;
  return { text: found[0], major: Number(found[1]), minor: Number(found[2]) };
}

/** The environment etcdctl runs in: version 3 of the API, and none of the caller's own settings. */
export const CLIENT_ENV: Readonly<Record<string, string | undefined>> = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD'))),
  ETCDCTL_API: '3',
};

/** Says loudly that tests cannot run here, and skips them; a failure where CI=true, which promises all tools. */
export function skipWithout(context: Mocha.Context, missing: string): void {
  if (process.env['CI'] === 'true') throw new Error(`CI=true, but there is no ${missing}`);
  console.warn(`      SKIPPED: there is no ${missing}`);
  context.skip();
}

/** Polls until `probe` gives something other than null. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | null> | T | null,
  withinMs = 20_000,
): Promise<T> {
  const beganMs = performance.now();
  for (;;) {
    const found = await probe();
    if (found !== null) return found;
    const tookMs = performance.now() - beganMs;
    if (tookMs > withinMs && tookMs > withinMs * slowness()) {
      throw new Error(`not within ${Math.round(tookMs)} ms (${describeSlowness()}): ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** One member: its process, ports and directory. */
export class TestServer {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  /** Listened on only with `ClusterOptions.metrics`. */
  readonly metricsPort: number;
  private readonly kind: ServerKind;
  private readonly dir: string;
  private readonly args: readonly string[];
  private child: ChildProcess | undefined;
  /** End of the process, null while it runs or before it was started. */
  ended: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | null = null;

  constructor(kind: ServerKind, dir: string, ports: Ports, args: readonly string[]) {
    this.kind = kind;
    this.dir = dir;
    this.name = ports.name;
    this.clientPort = ports.client;
    this.peerPort = ports.peer;
    this.metricsPort = ports.metrics;
    this.args = args;
  }

  /** host:port for clients. */
  get endpoint(): string {
    return `127.0.0.1:${this.clientPort}`;
  }

  get dataDir(): string {
    return join(this.dir, this.name);
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  get log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  start(): void {
    const [program, first] = this.kind === 'etcd' ? [etcdProgram(), []] : mainstayCommand();
    const log = openSync(this.logFile, 'a');
    const child = spawn(program, [...first, ...this.args], {
      cwd: ROOT,
      stdio: ['ignore', log, log],
      env:
        this.kind === 'etcd' ? { ...CLIENT_ENV, ETCD_UNSUPPORTED_ARCH: process.arch } : CLIENT_ENV,
    });
    closeSync(log);
    this.child = child;
    running.add(child);
    this.ended = null;
    const gone = (): void => void running.delete(child);
    child.once('exit', (code, signal) => {
      gone();
      this.ended = { code, signal };
    });
    child.once('error', gone);
  }

  /** Ends the process and waits until it is gone. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.child;
    if (child === undefined || !running.has(child)) return Promise.resolve();
    return new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.kill(signal);
    });
  }

  /**
   * Waits until the member answers linearizable reads and has the client URLs of all members.
   *
   * Throws: with the end of the log, when the process is gone or does not become healthy in time.
   */
  async healthy(): Promise<void> {
    const client = new EtcdClient(this.endpoint);
    try {
      await until(
        `${this.name} (${this.kind}) is healthy`,
        async () => {
          if (this.child === undefined || !running.has(this.child)) throw new Error('it ended');
          return (await isReady(client)) ? true : null;
        },
        HEALTHY_WITHIN_MS,
      );
    } catch (error) {
      throw new Error(`${String(error)}\n${this.logTail()}`, { cause: error });
    } finally {
      client.close();
    }
  }

  logTail(): string {
    const lines = existsSync(this.logFile) ? this.log.trimEnd().split('\n') : [];
    return lines.slice(-LOG_TAIL_LINES).join('\n');
  }

  private get logFile(): string {
    return join(this.dir, `${this.name}.log`);
  }
}

async function isReady(client: EtcdClient): Promise<boolean> {
  try {
    await client.kv.range({ key: Buffer.from('health') });
    const { members } = await client.cluster.memberList({ linearizable: true });
    return members.every((member) => member.clientURLs.length > 0);
  } catch {
    // Refused or not yet answered: asked again until the deadline.
    return false;
  }
}

export class TestCluster {
  readonly kind: ServerKind;
  readonly members: readonly TestServer[];
  private readonly dir: string;

  constructor(kind: ServerKind, dir: string, members: readonly TestServer[]) {
    this.kind = kind;
    this.dir = dir;
    this.members = members;
  }

  get endpoints(): string[] {
    return this.members.map((member) => member.endpoint);
  }

  /** The member at `index`, counted around. */
  member(index: number): TestServer {
    return this.members[index % this.members.length] as TestServer;
  }

  /** Kills all members. With `failed`, shows the end of their logs and keeps their directory. */
  async stop(failed = false): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    if (!failed) return rmSync(this.dir, { recursive: true, force: true, maxRetries: 20 });
    console.warn(`      data and logs are kept in ${this.dir}`);
    for (const member of this.members) console.warn(`${member.name}:\n${member.logTail()}`);
  }
}

interface Ports {
  readonly name: string;
  readonly client: number;
  readonly peer: number;
  readonly metrics: number;
}

/** Starts a cluster and waits for all its members. Another process may take a port in between: then once more. */
export async function startCluster(options: ClusterOptions): Promise<TestCluster> {
  for (let attempt = 1; ; attempt++) {
    const cluster = await launch(options);
    try {
      await Promise.all(cluster.members.map((member) => member.healthy()));
      return cluster;
    } catch (error) {
      await cluster.stop();
      if (attempt >= START_ATTEMPTS || !PORT_TAKEN.test(String(error))) throw error;
    }
  }
}

async function launch(options: ClusterOptions): Promise<TestCluster> {
  const { kind, size } = options;
  const dir = mkdtempSync(join(tmpdir(), `mainstay-test-${kind}-`));
  const free = await freePorts(3 * size);
  const all = Array.from({ length: size }, (_, i) => ({
    name: `n${i + 1}`,
    client: free[3 * i] as number,
    peer: free[3 * i + 1] as number,
    metrics: free[3 * i + 2] as number,
  }));
  const initialCluster = all.map((p) => `${p.name}=${url(p.peer)}`).join(',');
  const members = all.map((ports) => {
    const dataDir = join(dir, ports.name);
    mkdirSync(dataDir, { mode: 0o700 });
    const flags: Record<string, string> = {
      name: ports.name,
      'data-dir': dataDir,
      'listen-client-urls': url(ports.client),
      'advertise-client-urls': url(ports.client),
      'listen-peer-urls': url(ports.peer),
      'initial-advertise-peer-urls': url(ports.peer),
      'initial-cluster': initialCluster,
      'initial-cluster-token': 'test',
      'log-level': 'warn',
      ...(options.metrics === true ? { 'listen-metrics-urls': url(ports.metrics) } : {}),
      ...options.flags,
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    return new TestServer(kind, dir, ports, args);
  });
  for (const member of members) member.start();
  return new TestCluster(kind, dir, members);
}

function url(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/** Ports that this process has given out: clusters that start side by side must not share one. */
const given = new Set<number>();

/** Ports that were free a moment ago, each a new one. */
export async function freePorts(count: number): Promise<number[]> {
  const holders: Server[] = [];
  const ports: number[] = [];
  while (ports.length < count) {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    holders.push(holder);
    const { port } = holder.address() as AddressInfo;
    if (given.has(port)) continue;
    given.add(port);
    ports.push(port);
  }
  await Promise.all(holders.map((h) => new Promise<void>((resolve) => h.close(() => resolve()))));
  return ports;
}

const RUN_SOURCE =
  "const { main } = await import('./src/cli/main.ts'); process.exit(await main(process.argv.slice(1)));";

/** The built program when the build is current, else the sources. */
function mainstayCommand(): [string, string[]] {
  const node = process.execPath;
  if (isBuildCurrent()) return [node, [join(ROOT, 'bin/mainstay.js'), 'server']];
  return [node, ['--import', 'tsx', '--input-type=module', '-e', RUN_SOURCE, '--', 'server']];
}

let buildIsCurrent: boolean | undefined;

function isBuildCurrent(): boolean {
  return (buildIsCurrent ??= compareBuild());
}

function compareBuild(): boolean {
  const built = statSync(join(ROOT, 'dist/server-command.cjs'), { throwIfNoEntry: false });
  if (built === undefined) return false;
  return readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).every(
    (name) => statSync(join(ROOT, 'src', name)).mtimeMs <= built.mtimeMs,
  );
}
