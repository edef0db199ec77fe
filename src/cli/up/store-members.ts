import { join } from 'node:path';
import { idText } from '../../base/bytes/id-text.js';
import { StatusClient } from './member-status.js';
import { programArgs, withoutEtcdVariables } from './program-command.js';
import { startFailure, SupervisedProcess } from './supervised-process.js';
import type { UnexpectedExit } from './supervised-process.js';
import { say } from './terminal.js';

export interface MemberStart {
  readonly name: string;
  /** Of `mainstay server`. */
  readonly flags: readonly string[];
  /** URL at which it serves clients: `http://host:port` or `unix:///path`. */
  readonly url: string;
}

export interface StoreMembersOptions {
  readonly members: readonly MemberStart[];
  /** Holds their logs, `<name>.log`. */
  readonly dir: string;
  /** The directory is removed when the command ends. */
  readonly isTemporary: boolean;
  /** A member ended before it had ever served. */
  readonly onFailure: (error: Error) => void;
}

export interface MemberView {
  readonly name: string;
  readonly url: string;
  readonly id: string;
  readonly isLeader: boolean;
  /** Undefined while no process runs. */
  readonly pid: number | undefined;
  /** From the start of all members on. */
  readonly readyMs: number;
}

/** A member with all that is known about it. */
interface Row {
  readonly start: MemberStart;
  readonly process: SupervisedProcess;
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

/** The members of a store as processes, started again when they die; says when that happens and who leads. */
export class StoreMembers {
  private readonly options: StoreMembersOptions;
  private readonly rows: readonly Row[];
  private startedMs = 0;
  private shownLeader: bigint | undefined;

  constructor(options: StoreMembersOptions) {
    this.options = options;
    this.rows = options.members.map((start) => this.createRow(start));
  }

  start(): void {
    this.startedMs = performance.now();
    for (const row of this.rows) row.process.start();
  }

  /** Those that have not served yet: name and log. */
  get missing(): readonly { readonly name: string; readonly logFile: string }[] {
    const rows = this.rows.filter((row) => row.readyMs === undefined);
    return rows.map(({ start, logFile }) => ({ name: start.name, logFile }));
  }

  /** Asks all members how they are. Says who is back, and who leads now when that has changed since `show`. */
  async refresh(): Promise<void> {
    await Promise.all(this.rows.map((row) => this.refreshRow(row)));
    if (this.shownLeader !== undefined) this.showLeader(this.shownLeader);
  }

  /** The members as they are now. From now on a change of the leader is said. */
  show(): readonly MemberView[] {
    const leader = this.agreedLeader();
    this.shownLeader = leader;
    return this.rows.map((row) => ({
      name: row.start.name,
      url: row.start.url,
      id: idText(row.memberId),
      isLeader: row.memberId === leader,
      pid: row.process.pid,
      readyMs: Math.round(row.readyMs ?? 0),
    }));
  }

  /** Gracefully. */
  async stop(): Promise<void> {
    await Promise.all(this.rows.map((row) => row.process.stop()));
    for (const row of this.rows) row.client.close();
  }

  /** At once. */
  kill(): void {
    for (const row of this.rows) row.process.kill();
  }

  private createRow(start: MemberStart): Row {
    const logFile = join(this.options.dir, `${start.name}.log`);
    const child = new SupervisedProcess({
      command: process.execPath,
      args: [...programArgs(), 'server', ...start.flags],
      env: withoutEtcdVariables(process.env),
      logFile,
      onExit: (exit) => this.memberExited(row, exit),
    });
    const row: Row = {
      start,
      process: child,
      client: new StatusClient(start.url),
      logFile,
      memberId: 0n,
      leaderId: 0n,
      readyMs: undefined,
      hasDied: false,
    };
    return row;
  }

  private async refreshRow(row: Row): Promise<void> {
    const { pid } = row.process;
    const status = await row.client.status();
    // The answer of a process that has died meanwhile does not concern the one that follows.
    if (row.process.pid !== pid) return;
    row.leaderId = status?.leader ?? 0n;
    row.memberId = status?.header?.memberId ?? row.memberId;
    if (row.leaderId === 0n) return;
    if (row.readyMs === undefined) row.readyMs = performance.now() - this.startedMs;
    else if (row.hasDied) say(`${row.start.name} is back (pid ${pid ?? '?'})`);
    row.hasDied = false;
  }

  private showLeader(shown: bigint): void {
    const leader = this.agreedLeader();
    if (leader === shown) return;
    this.shownLeader = leader;
    const row = this.rows.find((candidate) => candidate.memberId === leader);
    if (leader === 0n) say('the cluster has no leader');
    else say(`${row?.start.name ?? idText(leader)} is the leader now`);
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
    const { name } = row.start;
    if (row.readyMs === undefined) {
      const { isTemporary, onFailure } = this.options;
      onFailure(startFailure(name, exit, row.logFile, isTemporary));
      return;
    }
    say(`${name} died (${exit.how}); starting it again in ${exit.restartInMs} ms`);
  }
}
