/**
 * The built-in container engine: images from files, overlayfs, runc, conmon, routed pod network. It
 * uses the machine's mounts. Host ports are not
 * made here: they are packet rules, as node ports are, and the proxy's.
 */
import { mkdir } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { describeFacilities } from '../facilities.js';
import { Layout } from '../layout.js';
import { LocalRuntime, type LocalRuntimeOptions } from '../local-runtime.js';
import {
  RuntimeError,
  type ContainerResources,
  type ContainerStats,
  type ExecResult,
  type RuntimeStatus,
  type Session,
  type SessionOptions,
} from '../runtime.js';
import { attach } from './attach.js';
import { readUsage } from './cgroups.js';
import { cgroupOf, EngineContainers } from './engine-containers.js';
import { EngineSandboxes } from './engine-sandboxes.js';
import { Execs } from './exec.js';
import { reopenLog } from './monitor.js';
import { Addresses } from './network/addresses.js';
import { PodNetwork } from './network/pod-network.js';
import { ociResources } from './oci-spec.js';
import { forwardPort } from './port-forward.js';
import { Runc } from './runc.js';
import { namespacePaths } from './sandbox-namespaces.js';

export class Engine extends LocalRuntime {
  private readonly runc: Runc;
  private readonly execs: Execs;
  private readonly podNetwork: PodNetwork;
  private networkProblem: string | undefined;

  /** Finds what is there, and removes what a crash left in part. Rejects with RuntimeError. */
  static async open(options: LocalRuntimeOptions): Promise<Engine> {
    for (const dir of [options.rootDir, options.stateDir]) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
    }
    const engine = new Engine(options);
    await mkdir(engine.layout.runc(), { recursive: true });
    engine.networkProblem = await engine.podNetwork.enableForwarding();
    await engine.openParts();
    return engine;
  }

  private constructor(options: LocalRuntimeOptions) {
    const { facilities, log, podCidr, env, networkNamespace: nodeNamespace } = options;
    const { conmon, runc: program, busybox, script } = facilities.programs;
    if (conmon === undefined || program === undefined) {
      throw new RuntimeError('Unimplemented', 'the container engine needs runc and conmon');
    }
    const runc = new Runc(program, new Layout(options.rootDir, options.stateDir).runc());
    const podNetwork = new PodNetwork(nodeNamespace, log);
    super(options, true, (layout, images) => {
      const addresses = new Addresses(layout.addresses(), podCidr);
      const sandboxes = new EngineSandboxes({ layout, addresses, runc, busybox, podNetwork });
      const containers = { layout, conmon, runc, images, sandboxes, facilities, nodeNamespace };
      return { sandboxes, containers: new EngineContainers(containers) };
    });
    this.runc = runc;
    this.podNetwork = podNetwork;
    this.execs = new Execs({ runc, script, env });
  }

  status(): Promise<RuntimeStatus> {
    const problem = this.networkProblem;
    return Promise.resolve({
      conditions: [
        { type: 'RuntimeReady', isTrue: true, reason: 'RuntimeIsReady', message: '' },
        {
          type: 'NetworkReady',
          isTrue: problem === undefined,
          reason: problem === undefined ? 'NetworkIsReady' : 'ForwardingDisabled',
          message: problem ?? '',
        },
      ],
      description: `${describeFacilities(this.options.facilities)}; no seccomp filter, no AppArmor`,
    });
  }

  async updateResources(id: string, resources: ContainerResources): Promise<void> {
    this.containers.running(id);
    await this.runc.update(id, ociResources(resources));
  }

  async reopenContainerLog(id: string): Promise<void> {
    const { logPath } = this.containers.running(id).record;
    await reopenLog(this.layout.container(id), logPath, this.options.env);
  }

  async execSync(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    this.containers.running(id);
    return this.execs.sync(id, this.layout.container(id), command, timeoutMs);
  }

  async exec(id: string, command: readonly string[], options: SessionOptions): Promise<Session> {
    this.containers.running(id);
    return Promise.resolve(this.execs.open(id, this.layout.container(id), command, options));
  }

  async attach(id: string, options: SessionOptions): Promise<Session> {
    const { env, log, facilities } = this.options;
    const tools = { socat: facilities.programs.socat, env, log };
    return attach(this.containers.running(id), this.layout.container(id), options, tools);
  }

  async portForward(sandboxId: string, port: number): Promise<Duplex> {
    const { config } = this.sandboxes.ready(sandboxId);
    const { socat, nsenter = 'nsenter' } = this.options.facilities.programs;
    const { network } = namespacePaths(config, this.layout.namespacesOf(sandboxId));
    return forwardPort(network ?? this.options.networkNamespace, port, { socat, nsenter });
  }

  containerStats(): Promise<ContainerStats[]> {
    const { env, facilities } = this.options;
    const found: ContainerStats[] = [];
    for (const { state, record } of this.containers.list()) {
      if (state !== 'running') continue;
      const group = cgroupOf(this.sandboxes.get(record.sandboxId), record.id);
      const usage = readUsage(facilities.cgroupVersion, group);
      if (usage === undefined) continue;
      found.push({ containerId: record.id, timestampMs: env.wallMs(), ...usage });
    }
    return Promise.resolve(found);
  }
}
