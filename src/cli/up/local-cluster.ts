/**
 * `mainstay up`: a whole cluster on one machine. Starts the store, the control plane and the nodes
 * as processes, in networks of their own where the machine allows it, and shows them. Starts again
 * what dies, and says so. Stops all on a signal, and removes what is not to be kept.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { mainstayVersion } from '../../base/flags/version.js';
import { Fabric } from '../../cluster/fabric/fabric.js';
import { writeKubeconfig } from '../../cluster/pki/kubeconfig-file.js';
import { ensurePki, type Pki } from '../../cluster/pki/pki.js';
import { openClusterDir } from './cluster-dir.js';
import { lockCluster } from './cluster-lock.js';
import {
  clientUrl,
  fabricPlan,
  memberFlags,
  pkiDir,
  pkiOptions,
  runDir,
} from './cluster-config.js';
import { onHost, planCluster, type ClusterPlan } from './cluster-plan.js';
import { CONTROL_PLANE, ClusterProcesses } from './cluster-processes.js';
import { forgetCluster, rememberCluster } from './current-cluster.js';
import { Foreground } from './foreground.js';
import { forwardPort } from './forwarder.js';
import { missingForNamespaces } from './host-support.js';
import { ClusterWatch } from './cluster-watch.js';
import { HOST } from './ports.js';
import { endStaleProcesses } from './stale-processes.js';
import { StoreMembers } from './store-members.js';
import { renderTable } from './table.js';
import { removeRemains } from './teardown.js';
import { count, say } from './terminal.js';

/** Undefined means as stored in the directory, or the default. */
export interface ClusterOptions {
  readonly nodes: number | undefined;
  readonly storeMembers: number | undefined;
  readonly dir: string | undefined;
  readonly clientPort: number | undefined;
  readonly apiPort: number | undefined;
  readonly publish: readonly PublishedPort[];
  readonly keep: boolean;
  readonly keepContainers: boolean;
}

/** A node port that is reached on the loopback address too. */
export interface PublishedPort {
  readonly hostPort: number;
  readonly nodePort: number;
}

const READY_POLL_MS = 50;
const WATCH_POLL_MS = 1000;
const READY_TIMEOUT_MS = 60_000;
const CLUSTER_NAME = 'mainstay';

/** Runs until SIGINT or SIGTERM. */
export async function runLocalCluster(options: ClusterOptions): Promise<void> {
  const startedMs = performance.now();
  if (options.keepContainers && options.dir === undefined && !options.keep) {
    throw new StartupError(
      'containers cannot be kept without the directory they are in',
      'add --dir, or leave out --keep-containers',
    );
  }
  const dir = openClusterDir(options.dir);
  const isTemporary = dir.isTemporary && !options.keep;
  mkdirSync(runDir(dir.path), { recursive: true });
  chmodSync(runDir(dir.path), 0o700);
  const lock = await lockCluster(dir.path);
  try {
    const missing = missingForNamespaces();
    const network = missing.length === 0 ? 'namespaces' : 'host';
    const plan = await planCluster(dir.path, options, { network, isTemporary });
    refuseWithoutNamespaces(plan, dir.path, missing);
    if (network === 'host') sayOnHost(missing.join(', '));
    const cluster = new LocalCluster(plan, dir.path, { ...options, startedMs });
    await cluster.run();
  } finally {
    lock.close();
    if (isTemporary) rmSync(dir.path, { recursive: true, force: true });
  }
}

function sayOnHost(why: string): void {
  say(`Without network namespaces (missing: ${why}): one node, in the network of this machine.`);
}

function refuseWithoutNamespaces(plan: ClusterPlan, dir: string, missing: readonly string[]): void {
  if (plan.network === 'host' || missing.length === 0) return;
  throw new StartupError(
    `the nodes of the cluster in ${dir} have network namespaces, but here is missing: ${missing.join(', ')}`,
    'run it as before, or use another --dir',
  );
}

class LocalCluster {
  private plan: ClusterPlan;
  private readonly dir: string;
  private readonly options: ClusterOptions & { readonly startedMs: number };
  private readonly members: StoreMembers;
  private readonly foreground: Foreground;
  private readonly forwarders: Server[] = [];
  private processes: ClusterProcesses | undefined;
  private watch: ClusterWatch | undefined;
  private starting: Promise<void> = Promise.resolve();
  private hasShown = false;

  constructor(
    plan: ClusterPlan,
    dir: string,
    options: ClusterOptions & { readonly startedMs: number },
  ) {
    this.plan = plan;
    this.dir = dir;
    this.options = options;
    this.members = new StoreMembers({
      members: plan.members.map((member) => ({
        name: member.name,
        flags: memberFlags(plan, member, dir),
        url: clientUrl(dir, member),
      })),
      dir,
      isTemporary: plan.isTemporary,
      onFailure: (error) => this.foreground.fail(error),
    });
    this.foreground = new Foreground(() => this.kill());
  }

  async run(): Promise<void> {
    const { plan, dir, foreground } = this;
    try {
      const size = `${count(plan.nodes.length, 'node')}, ${count(plan.members.length, 'store member')}`;
      say(`Starting a cluster (${size}) in ${dir} ...`);
      this.starting = this.start();
      await foreground.run(this.starting.then(() => this.serve()));
    } finally {
      foreground.end();
      await this.stop();
      say('Stopped.');
      foreground.close();
    }
  }

  private async start(): Promise<void> {
    const { dir } = this;
    await endStaleProcesses(
      dir,
      this.plan.members.map(({ name }) => name),
    );
    if (this.foreground.isEnding) return;
    this.members.start();
    await this.openNetworks();
    const { plan } = this;
    const pki = await ensurePki(pkiDir(dir), pkiOptions(plan));
    await this.writeAccess(pki);
    const processes = new ClusterProcesses({
      plan,
      dir,
      isTemporary: plan.isTemporary,
      onControlPlane: () => this.watch?.start(),
      onFailure: (error) => this.foreground.fail(error),
    });
    this.processes = processes;
    this.watch = new ClusterWatch(this.server, pki, (name, isReady) => {
      if (this.hasShown) say(`${name} is ${isReady ? 'Ready' : 'not Ready'}`);
    });
    await this.openForwarders(processes);
    if (!this.foreground.isEnding) processes.start();
  }

  /** URL at which users reach the API server. */
  private get server(): string {
    return `https://${HOST}:${this.plan.apiPort}`;
  }

  private get kubeconfig(): string {
    return join(this.dir, 'kubeconfig');
  }

  private async openNetworks(): Promise<void> {
    if (this.plan.network === 'host') return;
    const fabric = new Fabric(fabricPlan(this.plan));
    try {
      await fabric.ensure();
    } catch (error) {
      await fabric.remove();
      this.plan = onHost(this.dir, this.plan);
      sayOnHost(error instanceof Error ? error.message : String(error));
    }
  }

  private async writeAccess(pki: Pki): Promise<void> {
    await writeKubeconfig(this.kubeconfig, {
      server: this.server,
      certificateAuthority: pki.authority.certificate,
      certificate: pki.admin.certificate,
      key: pki.admin.key,
      clusterName: CLUSTER_NAME,
      userName: 'admin',
      disableCompression: true,
    });
    rememberCluster(this.dir);
  }

  private async openForwarders(processes: ClusterProcesses): Promise<void> {
    const { apiPort, network } = this.plan;
    if (network === 'namespaces') {
      const toApi = await forwardPort(apiPort, 'api-port', (connection) =>
        processes.passToControlPlane(connection, apiPort),
      );
      this.forwarders.push(toApi);
    }
    for (const { hostPort, nodePort } of this.options.publish) {
      const isThere = network === 'host' && hostPort === nodePort;
      if (isThere) continue;
      const toNode = await forwardPort(hostPort, 'publish', (connection) =>
        processes.passToNode(connection, nodePort),
      );
      this.forwarders.push(toNode);
    }
  }

  /** Waits until everything works, shows it, then follows it until the end is asked for. */
  private async serve(): Promise<void> {
    const { foreground, members } = this;
    const giveUpMs = performance.now() + READY_TIMEOUT_MS;
    while (!foreground.isEnding && !this.isReady) {
      if (members.missing.length > 0) await members.refresh();
      if (performance.now() > giveUpMs) throw this.notReady();
      await foreground.pause(READY_POLL_MS);
    }
    if (foreground.isEnding) return;
    await members.refresh();
    this.show();
    while (!foreground.isEnding) {
      await foreground.pause(WATCH_POLL_MS);
      await members.refresh();
    }
  }

  private get isReady(): boolean {
    return (
      this.members.missing.length === 0 &&
      this.processes?.missing.length === 0 &&
      this.watch?.takesPods === true &&
      this.plan.nodes.every(({ name }) => this.watch?.isReady(name) === true)
    );
  }

  private notReady(): StartupError {
    const parts = [...this.members.missing, ...(this.processes?.missing ?? [])];
    const nodes = this.plan.nodes.filter(({ name }) => this.watch?.isReady(name) !== true);
    const names = new Set([...parts, ...nodes].map(({ name }) => name));
    return new StartupError(
      `after ${READY_TIMEOUT_MS / 1000} s these parts are not ready: ${[...names].join(', ')}`,
      `see ${[...names].map((name) => join(this.dir, `${name}.log`)).join(', ')}`,
    );
  }

  private show(): void {
    const { plan, dir } = this;
    const seconds = ((performance.now() - this.options.startedMs) / 1000).toFixed(1);
    const fate = plan.isTemporary ? 'everything of it is then removed' : `its data stays in ${dir}`;
    const published = this.options.publish.map(
      ({ hostPort, nodePort }) => `  Node port ${nodePort}: ${HOST}:${hostPort}\n`,
    );
    const limits = [...(this.processes?.limits ?? [])].map((limit) => `  Note: ${limit}\n`);
    say(
      `\nmainstay ${mainstayVersion()}: ${count(plan.nodes.length, 'node')} Ready after ${seconds} s\n\n` +
        this.table() +
        `\n${limits.join('')}${published.join('')}  Logs: ${join(dir, '*.log')}\n\n` +
        `Try:\n  export KUBECONFIG=${this.kubeconfig}\n` +
        `  kubectl get nodes\n  kubectl run hello --image busybox -- echo hello\n\n` +
        `Ctrl-C stops the cluster; ${fate}.\n`,
    );
    this.hasShown = true;
  }

  private table(): string {
    const pid = (name: string): string => String(this.processes?.pidOf(name) ?? '');
    const rows = [
      ...this.members
        .show()
        .map(({ name, url, isLeader, pid: own }) => [
          name,
          `store ${isLeader ? 'leader' : 'follower'}`,
          url,
          String(own ?? ''),
        ]),
      [CONTROL_PLANE, 'API server', this.server, pid(CONTROL_PLANE)],
      ...this.plan.nodes.map(({ name, address }) => [name, 'node, Ready', address, pid(name)]),
    ];
    return renderTable(['NAME', 'PART', 'ADDRESS', 'PID'], rows);
  }

  private kill(): void {
    this.processes?.kill();
    this.members.kill();
  }

  private async stop(): Promise<void> {
    // Its error, if there was one, has been thrown by `run`.
    await this.starting.catch(() => undefined);
    await this.watch?.stop();
    for (const forwarder of this.forwarders) forwarder.close();
    await this.processes?.stop();
    await this.members.stop();
    forgetCluster(this.dir);
    if (!this.options.keepContainers) await removeRemains(this.plan, this.dir);
  }
}
