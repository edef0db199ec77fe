/**
 * conmon, the process that stays with a container: it holds its streams, writes its log in the
 * format of the Container Runtime Interface, and leaves a file with its exit code. It belongs to no
 * process tree of ours, so containers outlive us (containers/conmon).
 */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { sleep, type ClusterEnv } from '../../env.js';
import { RuntimeError } from '../runtime.js';
import { codeOf } from '../state-files.js';
import { runcWords, type Runc } from './runc.js';

/** Descriptor on which conmon reports that the container was created, or why not. */
const SYNC_FD = 3;
const STDERR_FD = 2;
const RESIZE = 1;
const REOPEN_LOG = 2;
const REOPENED_WITHIN_MS = 5000;
const POLL_MS = 5;

export interface MonitorOptions {
  readonly conmon: string;
  readonly runc: Runc;
  readonly id: string;
  /** Directory of the container: bundle, process numbers, sockets. */
  readonly bundle: string;
  readonly exitDir: string;
  readonly logPath: string;
  readonly hasTty: boolean;
  readonly hasStdin: boolean;
  readonly isStdinOnce: boolean;
}

/** Creates the container below a monitor. Returns its process. Rejects with RuntimeError Internal and runc's words. */
export function createMonitored(options: MonitorOptions): Promise<number> {
  const child = spawn(options.conmon, monitorArgs(options), {
    cwd: options.bundle,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, _OCI_SYNCPIPE: String(SYNC_FD) },
  });
  const sync = child.stdio[SYNC_FD] as Readable;
  const stderr = child.stdio[STDERR_FD] as Readable;
  return new Promise<number>((resolve, reject) => {
    let report = '';
    let words = '';
    stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
    child.on('error', (error) => reject(new RuntimeError('Internal', error.message)));
    sync.setEncoding('utf8').on('data', (text: string) => {
      report += text;
      if (report.includes('\n')) settle();
    });
    sync.on('end', settle);
    function settle(): void {
      // The monitor keeps its ends open; ours must not hold this process.
      sync.destroy();
      stderr.destroy();
      const { data = -1, message = '' } = parseReport(report);
      if (data > 0) resolve(data);
      else reject(new RuntimeError('Internal', runcWords(message === '' ? words : message)));
    }
  });
}

/** Tells the container's terminal its new size. */
export async function resizeTerminal(bundle: string, width: number, height: number): Promise<void> {
  await control(bundle, `${RESIZE} ${height} ${width}\n`);
}

/**
 * Makes the monitor write to a new file at `logPath`, and waits for it. Rejects with RuntimeError
 * NotFound when the monitor has ended, DeadlineExceeded when it does not do so.
 */
export async function reopenLog(bundle: string, logPath: string, env: ClusterEnv): Promise<void> {
  await control(bundle, `${REOPEN_LOG} 0 0\n`);
  const limitMs = env.monoMs() + REOPENED_WITHIN_MS;
  while (!existsSync(logPath)) {
    if (env.monoMs() > limitMs) {
      throw new RuntimeError('DeadlineExceeded', `the monitor does not write to ${logPath}`);
    }
    await sleep(env, POLL_MS);
  }
}

function monitorArgs(options: MonitorOptions): string[] {
  const { runc, bundle, id } = options;
  return [
    ...['--api-version', '1', '--cid', id, '--cuuid', id, '--name', id],
    ...['--runtime', runc.program],
    ...runc.globalArgs.flatMap((arg) => ['--runtime-arg', arg]),
    ...['--bundle', bundle, '--persist-dir', bundle, '--exit-dir', options.exitDir],
    ...[
      '--container-pidfile',
      join(bundle, 'pid'),
      '--conmon-pidfile',
      join(bundle, 'monitor.pid'),
    ],
    ...['--log-path', `k8s-file:${options.logPath}`],
    ...['--full-attach', '--no-sync-log', '--log-level', 'error'],
    ...(options.hasTty ? ['--terminal'] : []),
    ...(options.hasStdin ? ['--stdin'] : []),
    ...(options.hasStdin && !options.isStdinOnce ? ['--leave-stdin-open'] : []),
  ];
}

async function control(bundle: string, message: string): Promise<void> {
  const path = join(bundle, 'ctl');
  // Without waiting: a pipe that nobody reads means that the monitor has ended.
  const flags = constants.O_WRONLY | constants.O_NONBLOCK;
  const file = await fs.open(path, flags).catch((error: unknown) => {
    if (codeOf(error) !== 'ENXIO' && codeOf(error) !== 'ENOENT') throw error;
    throw new RuntimeError('NotFound', 'container is not running');
  });
  try {
    await file.write(message);
  } finally {
    await file.close();
  }
}

function parseReport(report: string): { data?: number; message?: string } {
  try {
    return JSON.parse(report) as { data?: number; message?: string };
  } catch {
    return {};
  }
}
