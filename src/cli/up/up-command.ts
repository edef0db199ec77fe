/**
 * `mainstay up`: a whole cluster on one machine. Starts its members as processes, waits until they
 * serve, and shows addresses and leader. Keeps the members running, and stops them all on a signal.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { idText } from '../../base/bytes/id-text.js';
import { StartupError } from '../../base/flags/startup-error.js';
import { mainstayVersion } from '../../base/flags/version.js';
import { exitCodeOf } from '../outcome.js';
import { MemberProcess } from './member-process.js';
import type { UnexpectedExit } from './member-process.js';
import { StatusClient } from './member-status.js';
import { HOST, clientUrl, openClusterDir, planCluster, serverFlags } from './plan.js';
import type { ClusterDir, ClusterPlan, PlannedMember } from './plan.js';
import { renderTable } from './table.js';

export interface UpOptions {
  readonly nodes: number;
  readonly dir?: string;
  readonly clientPort?: number;
  readonly keep: boolean;
}

const READY_POLL_MS = 50;
const WATCH_POLL_MS = 1000;
const READY_TIMEOUT_MS = 60_000;

/** Runs until SIGINT or SIGTERM. Returns the exit code. */
export function runUpCommand(options: UpOptions): Promise<number> {
  return exitCodeOf(async () => {
    const dir = openClusterDir(options.dir);
    try {
      const plan = await planCluster(dir.path, options.nodes, options.clientPort);
      return await new LocalCluster(plan, dir, options).run();
    } finally {
      if (dir.isTemporary && !options.keep) rmSync(dir.path, { recursive: true, force: true });
    }
  });
}

/** A member with all that `up` keeps about it. */
interface Row {
  readonly member: PlannedMember;
  readonly process: MemberProcess;
  readonly client: StatusClient;
  readonly logFile: string;
  memberId: bigint;
  /** 0n while there is none. */
  leaderId: bigint;
  /** Undefined until it served for the first time. */
  readyMs: number | undefined;
  /** It died, and has not followed a leader since. */
  hasDied: boolean;
}

class LocalCluster {
  private readonly plan: ClusterPlan;
  private readonly dir: ClusterDir;
  private readonly keep: boolean;
  private readonly rows: Row[];
  private readonly startedMs = performance.now();
  private shownLeader = 0n;
  private isStopping = false;
  private fail: (error: Error) => void = () => {};
  private wake: () => void = () => {};

  constructor(plan: ClusterPlan, dir: ClusterDir, options: UpOptions) {
    this.plan = plan;
    this.dir = dir;
    this.keep = options.keep;
    this.rows = plan.members.map((member) => this.createRow(member));
  }

  async run(): Promise<number> {
    const failed = new Promise<never>((_, reject) => (this.fail = reject));
    const onSignal = (): void => this.interrupt();
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
    try {
      say(`Starting ${count(this.rows.length, 'member')} in ${this.dir.path} ...`);
      for (const row of this.rows) row.process.start();
      await Promise.race([this.serve(), failed]);
      return 0;
    } finally {
      await this.stop();
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    }
  }

  private createRow(member: PlannedMember): Row {
    const logFile = join(this.dir.path, `${member.name}.log`);
    const entry = process.argv[1];
    if (entry === undefined) {
      throw new StartupError('this program does not know its own file', 'run bin/mainstay.js');
    }
    const child = new MemberProcess({
      command: process.execPath,
      args: [
        ...process.execArgv,
        entry,
        'server',
        ...serverFlags(this.plan, member, this.dir.path),
      ],
      env: withoutEtcdVariables(process.env),
      logFile,
      onExit: (exit) => this.memberExited(row, exit),
    });
    const row: Row = {
      member,
      process: child,
      client: new StatusClient(`${HOST}:${member.clientPort}`),
      logFile,
      memberId: 0n,
      leaderId: 0n,
      readyMs: undefined,
      hasDied: false,
    };
    return row;
  }

  /** Waits until all members serve, shows them, then follows them until the end is asked for. */
  private async serve(): Promise<void> {
    while (!this.isStopping && this.rows.some((row) => row.readyMs === undefined)) {
      await Promise.all(this.rows.map((row) => this.refresh(row)));
      if (performance.now() - this.startedMs > READY_TIMEOUT_MS) throw this.notReady();
      await this.pause(READY_POLL_MS);
    }
    if (this.isStopping) return;
    this.showCluster();
    while (!this.isStopping) {
      await this.pause(WATCH_POLL_MS);
      await Promise.all(this.rows.map((row) => this.refresh(row)));
      this.showChanges();
    }
  }

  private async refresh(row: Row): Promise<void> {
    const { pid } = row.process;
    const status = await row.client.status();
    // The answer of a process that has died meanwhile does not concern the one that follows.
    if (row.process.pid !== pid) return;
    row.leaderId = status?.leader ?? 0n;
    row.memberId = status?.header?.memberId ?? row.memberId;
    if (row.leaderId === 0n) return;
    if (row.readyMs === undefined) row.readyMs = performance.now() - this.startedMs;
    else if (row.hasDied) say(`${row.member.name} is back (pid ${pid ?? '?'})`);
    row.hasDied = false;
  }

  private showCluster(): void {
    this.shownLeader = this.agreedLeader();
    const rows = this.rows.map((row) => [
      row.member.name,
      clientUrl(row.member),
      idText(row.memberId),
      row.memberId === this.shownLeader ? '* leader' : '  follower',
      String(row.process.pid ?? ''),
      `${Math.round(row.readyMs ?? 0)} ms`,
    ]);
    const endpoints = this.rows.map((row) => `${HOST}:${row.member.clientPort}`).join(',');
    const fate = this.dir.isTemporary && !this.keep ? 'removed' : 'kept';
    say(
      `\nmainstay ${mainstayVersion()}: ${count(this.rows.length, 'member')} ready\n\n` +
        renderTable(['NAME', 'CLIENTS', 'MEMBER ID', 'ROLE', 'PID', 'READY AFTER'], rows) +
        `\n  Logs: ${join(this.dir.path, '*.log')}\n\n` +
        `Try:\n  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=${endpoints}\n` +
        `  etcdctl put greeting hello\n  etcdctl get greeting\n\n` +
        `Ctrl-C stops the cluster; its data is then ${fate}${fate === 'kept' ? ` in ${this.dir.path}` : ''}.\n`,
    );
  }

  private showChanges(): void {
    const leader = this.agreedLeader();
    if (leader === this.shownLeader) return;
    this.shownLeader = leader;
    const row = this.rows.find((candidate) => candidate.memberId === leader);
    if (leader === 0n) say('the cluster has no leader');
    else say(`${row?.member.name ?? idText(leader)} is the leader now`);
  }

  /** The leader that a majority of all members name, or 0n. */
  private agreedLeader(): bigint {
    for (const { leaderId } of this.rows) {
      const votes = this.rows.filter((row) => row.leaderId === leaderId).length;
      if (leaderId !== 0n && votes > this.rows.length / 2) return leaderId;
    }
    return 0n;
  }

  private memberExited(row: Row, exit: UnexpectedExit): void {
    row.hasDied = true;
    row.leaderId = 0n;
    if (row.readyMs === undefined) {
      this.fail(startFailure(row, exit, this.dir.isTemporary && !this.keep));
      return;
    }
    say(`${row.member.name} died (${exit.how}); starting it again in ${exit.restartInMs} ms`);
  }

  private notReady(): StartupError {
    const missing = this.rows.filter((row) => row.readyMs === undefined);
    return new StartupError(
      `after ${READY_TIMEOUT_MS / 1000} s these members do not serve: ${missing.map((row) => row.member.name).join(', ')}`,
      `see ${missing.map((row) => row.logFile).join(', ')}`,
    );
  }

  private interrupt(): void {
    if (this.isStopping) {
      say('Stopping at once.');
      for (const row of this.rows) row.process.kill();
      return;
    }
    this.isStopping = true;
    say('\nStopping (Ctrl-C again stops at once) ...');
    this.wake();
  }

  private async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.rows.map((row) => row.process.stop()));
    for (const row of this.rows) row.client.close();
    say('Stopped.');
  }

  /** Waits, but not longer than until the end is asked for. */
  private pause(ms: number): Promise<void> {
    if (this.isStopping) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Why a member ended before it served: its own refusal if it gave one, else the end of its log. */
function startFailure(row: Row, exit: UnexpectedExit, isTemporary: boolean): StartupError {
  const { name } = row.member;
  const where = `see ${row.logFile}${isTemporary ? ' (add --keep to have it kept)' : ''}`;
  const refusal = exit.refusal;
  if (refusal !== undefined) {
    return new StartupError(
      `${name} cannot start: ${refusal.message}`,
      `${refusal.nextStep}; ${where}`,
    );
  }
  const lines = exit.lastLines.map((line) => `    ${line}\n`).join('');
  return new StartupError(
    `${name} ended before it served (${exit.how}); its last words:\n${lines}`,
    where,
  );
}

/** The members' settings are all on their command lines; variables meant for another member would contradict them. */
function withoutEtcdVariables(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('ETCD_')));
}

function count(n: number, noun: string): string {
  return n === 1 ? `${n} ${noun}` : `${n} ${noun}s`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
