/**
 * `mainstay up --store-only`: the store alone. Starts its members as processes, waits until they
 * serve, and shows addresses and leader. Keeps the members running, and stops them all on a signal.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { mainstayVersion } from '../../base/flags/version.js';
import { openClusterDir } from './cluster-dir.js';
import type { ClusterDir } from './cluster-dir.js';
import { Foreground } from './foreground.js';
import { HOST } from './ports.js';
import { StoreMembers } from './store-members.js';
import { clientUrl, planStore, serverFlags } from './store-plan.js';
import type { StorePlan } from './store-plan.js';
import { renderTable } from './table.js';
import { count, say } from './terminal.js';

export interface StoreOnlyOptions {
  readonly storeMembers: number | undefined;
  readonly dir: string | undefined;
  readonly clientPort: number | undefined;
  readonly keep: boolean;
}

const READY_POLL_MS = 50;
const WATCH_POLL_MS = 1000;
const READY_TIMEOUT_MS = 60_000;

/** Runs until SIGINT or SIGTERM. */
export async function runStoreOnly(options: StoreOnlyOptions): Promise<void> {
  const opened = openClusterDir(options.dir);
  const dir = { path: opened.path, isTemporary: opened.isTemporary && !options.keep };
  try {
    const plan = await planStore(dir.path, options.storeMembers, options.clientPort);
    await new LocalStore(plan, dir).run();
  } finally {
    if (dir.isTemporary) rmSync(dir.path, { recursive: true, force: true });
  }
}

class LocalStore {
  private readonly plan: StorePlan;
  private readonly dir: ClusterDir;
  private readonly members: StoreMembers;
  private readonly foreground: Foreground;

  constructor(plan: StorePlan, dir: ClusterDir) {
    this.plan = plan;
    this.dir = dir;
    this.members = new StoreMembers({
      members: plan.members.map((member) => ({
        name: member.name,
        flags: serverFlags(plan, member, dir.path),
        url: clientUrl(member),
      })),
      dir: dir.path,
      isTemporary: dir.isTemporary,
      onFailure: (error) => this.foreground.fail(error),
    });
    this.foreground = new Foreground(() => this.members.kill());
  }

  async run(): Promise<void> {
    try {
      say(`Starting ${count(this.plan.members.length, 'member')} in ${this.dir.path} ...`);
      this.members.start();
      await this.foreground.run(this.serve());
    } finally {
      this.foreground.end();
      await this.members.stop();
      say('Stopped.');
      this.foreground.close();
    }
  }

  /** Waits until all members serve, shows them, then follows them until the end is asked for. */
  private async serve(): Promise<void> {
    const { foreground, members } = this;
    const giveUpMs = performance.now() + READY_TIMEOUT_MS;
    while (!foreground.isEnding && members.missing.length > 0) {
      await members.refresh();
      if (performance.now() > giveUpMs) throw membersNotReady(members);
      await foreground.pause(READY_POLL_MS);
    }
    if (foreground.isEnding) return;
    this.show();
    while (!foreground.isEnding) {
      await foreground.pause(WATCH_POLL_MS);
      await members.refresh();
    }
  }

  private show(): void {
    const { path, isTemporary } = this.dir;
    const endpoints = this.plan.members.map(({ clientPort }) => `${HOST}:${clientPort}`).join(',');
    say(
      `\nmainstay ${mainstayVersion()}: ${count(this.plan.members.length, 'member')} ready\n\n` +
        this.table() +
        `\n  Logs: ${join(path, '*.log')}\n\n` +
        `Try:\n  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=${endpoints}\n` +
        `  etcdctl put greeting hello\n  etcdctl get greeting\n\n` +
        `Ctrl-C stops the cluster; its data is then ${isTemporary ? 'removed' : `kept in ${path}`}.\n`,
    );
  }

  private table(): string {
    const rows = this.members
      .show()
      .map(({ name, url, id, isLeader, pid, readyMs }) => [
        name,
        url,
        id,
        isLeader ? '* leader' : '  follower',
        String(pid ?? ''),
        `${readyMs} ms`,
      ]);
    return renderTable(['NAME', 'CLIENTS', 'MEMBER ID', 'ROLE', 'PID', 'READY AFTER'], rows);
  }
}

/** The members that do not serve after a long wait. */
function membersNotReady({ missing }: StoreMembers): StartupError {
  const names = missing.map(({ name }) => name).join(', ');
  return new StartupError(
    `after ${READY_TIMEOUT_MS / 1000} s these members do not serve: ${names}`,
    `see ${missing.map(({ logFile }) => logFile).join(', ')}`,
  );
}
