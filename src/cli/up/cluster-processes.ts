import type { Socket } from 'node:net';
import { join } from 'node:path';
import { Fabric } from '../../cluster/fabric/fabric.js';
import type { ReadyMessage } from '../component.js';
import { fabricPlan } from './cluster-config.js';
import type { ClusterPlan } from './cluster-plan.js';
import { programArgs, withoutEtcdVariables } from './program-command.js';
import { startFailure, SupervisedProcess } from './supervised-process.js';
import type { UnexpectedExit } from './supervised-process.js';
import { say } from './terminal.js';

export interface ClusterProcessesOptions {
  readonly plan: ClusterPlan;
  readonly dir: string;
  /** The directory is removed when the command ends. */
  readonly isTemporary: boolean;
  /** Called the first time the control plane answers. */
  readonly onControlPlane: () => void;
  /** A process ended before it had ever worked. */
  readonly onFailure: (error: Error) => void;
}

interface Part {
  readonly name: string;
  readonly logFile: string;
  readonly process: SupervisedProcess;
  works: boolean;
  hasWorked: boolean;
}

export const CONTROL_PLANE = 'control-plane';

/** Control plane and nodes as processes, each in its network; says when one dies and when it is back. */
export class ClusterProcesses {
  private readonly options: ClusterProcessesOptions;
  /** Sentences for people, of all parts that have worked. */
  readonly limits = new Set<string>();
  private readonly controlPlane: Part;
  private readonly nodes: readonly Part[];

  /** Networks must be there. */
  constructor(options: ClusterProcessesOptions) {
    this.options = options;
    const { plan, dir } = options;
    const fabric = new Fabric(fabricPlan(plan));
    this.controlPlane = this.createPart(CONTROL_PLANE, fabric.hubCommand, ['--dir', dir]);
    this.nodes = plan.nodes.map(({ name }) =>
      this.createPart(name, fabric.nodeCommand(name), ['--dir', dir, '--name', name]),
    );
  }

  start(): void {
    for (const { process } of this.all) process.start();
  }

  /** Those that do not work now: name and log. */
  get missing(): readonly { readonly name: string; readonly logFile: string }[] {
    return this.all.filter(({ works }) => !works);
  }

  pidOf(name: string): number | undefined {
    return this.all.find((part) => part.name === name)?.process.pid;
  }

  passToControlPlane(connection: Socket, port: number): void {
    this.controlPlane.process.pass({ port }, connection);
  }

  /** To the first node that works. */
  passToNode(connection: Socket, port: number): void {
    const part = this.nodes.find(({ works }) => works);
    if (part === undefined) connection.destroy();
    else part.process.pass({ port }, connection);
  }

  /** Gracefully; containers go on. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map(({ process }) => process.stop()));
  }

  /** At once. */
  kill(): void {
    for (const { process } of this.all) process.kill();
  }

  private get all(): readonly Part[] {
    return [this.controlPlane, ...this.nodes];
  }

  private createPart(name: string, enter: readonly string[], args: readonly string[]): Part {
    const logFile = join(this.options.dir, `${name}.log`);
    const subcommand = name === CONTROL_PLANE ? 'control-plane' : 'node';
    const program = [process.execPath, ...programArgs(), subcommand, ...args];
    const [command = '', ...rest] = [...enter, ...program];
    const child = new SupervisedProcess({
      command,
      args: rest,
      env: withoutEtcdVariables(process.env),
      logFile,
      onExit: (exit) => this.exited(part, exit),
      onMessage: (message) => this.worksNow(part, message as ReadyMessage),
    });
    const part: Part = { name, logFile, process: child, works: false, hasWorked: false };
    return part;
  }

  private worksNow(part: Part, { limits }: ReadyMessage): void {
    part.works = true;
    for (const limit of limits) this.limits.add(limit);
    if (part.hasWorked) say(`${part.name} is back (pid ${part.process.pid ?? '?'})`);
    else if (part === this.controlPlane) this.options.onControlPlane();
    part.hasWorked = true;
  }

  private exited(part: Part, exit: UnexpectedExit): void {
    part.works = false;
    const { name, logFile } = part;
    if (!part.hasWorked) {
      this.options.onFailure(startFailure(name, exit, logFile, this.options.isTemporary));
      return;
    }
    say(`${name} died (${exit.how}); starting it again in ${exit.restartInMs} ms`);
  }
}
