import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.js';

const ENTRY = fileURLToPath(new URL('mainstay-main.ts', import.meta.url));
// Servers run in a directory of their own, from which the name alone would not be found.
const TSX = import.meta.resolve('tsx');

/** A process and all it has written so far. */
export interface Running {
  readonly child: ChildProcess;
  text: string;
  /** Undefined while it runs. */
  code: number | null | undefined;
}

/** Server processes with one temporary directory, ended together. */
export class ServerProcesses {
  readonly dir = mkdtempSync(join(tmpdir(), 'server-process-test-'));
  private readonly children: ChildProcess[] = [];

  /** `mainstay server` from the sources. */
  mainstay(args: readonly string[]): Running {
    return this.run(process.execPath, ['--import', TSX, ENTRY, 'server', ...args]);
  }

  run(program: string, args: readonly string[], env = process.env): Running {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.dir, env });
    this.children.push(child);
    const running: Running = { child, text: '', code: undefined };
    const collect = (chunk: Buffer): void => {
      running.text += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('close', (code) => (running.code = code));
    return running;
  }

  /** Waits until the process has ended by itself; returns what it wrote. */
  async refusal(args: readonly string[]): Promise<string> {
    const running = this.mainstay(args);
    await until(() => running.code !== undefined);
    if (running.code === 0) throw new Error(`it ended well: ${running.text}`);
    return running.text;
  }

  /** Ends a process and waits for its end. */
  async end(running: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    running.child.kill(signal);
    await until(() => running.code !== undefined);
  }

  stop(): void {
    for (const child of this.children.splice(0)) child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20 });
  }
}

/** Flags of a member named `name` on loopback ports; later ones of the same name win. */
export function flagsOf(name: string, client: number, peer: number, ...more: string[]): string[] {
  const peerUrl = `http://127.0.0.1:${peer}`;
  const clientUrl = `http://127.0.0.1:${client}`;
  return [
    `--name=${name}`,
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    ...more,
  ];
}

/** A port of this machine that is taken until the server is closed. */
export function occupy(): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () =>
      resolve({ port: (server.address() as AddressInfo).port, server }),
    );
  });
}

export async function freePort(): Promise<number> {
  const { port, server } = await occupy();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Every file and directory below `dir` with size, time of change and a hash of the content, one a line. */
export function fingerprint(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(dir, name);
      const stat = lstatSync(path);
      const hash = stat.isFile()
        ? createHash('sha256').update(readFileSync(path)).digest('hex')
        : '';
      return `${name} ${stat.isFile() ? stat.size : ''} ${stat.mtimeMs} ${hash}`;
    });
}
