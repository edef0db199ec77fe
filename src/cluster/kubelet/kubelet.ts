/**
 * The kubelet: makes the pods that are bound to its node run, and tells the API server how they are.
 * It believes nothing but the API server and the runtime, so it may end and start again at any
 * time; containers go on meanwhile. Pods come from the API server alone: there are no static pods.
 */
import { mkdir, readFile } from 'node:fs/promises';
import type { Logger } from '../../base/observe/logger.js';
import type { Node, Pod } from '../../gen/kube-core-v1.js';
import type { KubeClient } from '../client/client.js';
import { Informer } from '../client/informer.js';
import type { ClusterEnv } from '../env.js';
import type { ContainerRuntime } from '../runtime/runtime.js';
import type { KubeletConfig } from './config.js';
import { parseResolver } from './files.js';
import type { Host, HostFacts } from './node/host-facts.js';
import { localHost } from './node/host-facts.js';
import { NodeAgent } from './node/node-agent.js';
import { NodeLease } from './node/node-lease.js';
import { allocatableOf } from './node/node-status.js';
import { admit } from './pods/admission.js';
import { BackOff } from './pods/back-off.js';
import { ContainerFiles } from './pods/container-files.js';
import { Images } from './pods/images.js';
import { Killer } from './pods/killer.js';
import { PodLeftovers } from './pods/leftovers.js';
import { Pleg } from './pods/pleg.js';
import { PodManager } from './pods/pod-manager.js';
import { PodPaths } from './pods/pod-paths.js';
import { PodRunner } from './pods/pod-runner.js';
import type { Recorder } from './pods/recorder.js';
import { runningContainers } from './pods/pod-view.js';
import { StatusManager } from './pods/status-manager.js';
import { terminationMessage } from './pods/termination-message.js';
import type { NetworkProbes } from './probes/network.js';
import { networkProbes } from './probes/network.js';
import { ProbeManager } from './probes/probe-manager.js';
import { PODS, SERVICES } from '../client/resource-types.js';
import { LogRotation } from './logs/log-rotation.js';
import type { KubeletServer } from './server/kubelet-server.js';
import { startServer } from './server/kubelet-server.js';
import { NodeView } from './server/node-view.js';
import type { Mounter } from './volumes/mounter.js';
import { systemMounter } from './volumes/mounter.js';
import { ObjectSource } from './volumes/object-source.js';
import { Tokens } from './volumes/tokens.js';
import { VolumeManager } from './volumes/volume-manager.js';

export interface KubeletDependencies {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: KubeClient;
  readonly runtime: ContainerRuntime;
  readonly recorder: Recorder;
  /** The machine, the kernel and the network, unless given. */
  readonly host?: Host;
  readonly mounter?: Mounter;
  readonly network?: NetworkProbes;
}

export interface Kubelet {
  /** Pods of the node with their newest statuses. */
  readonly pods: () => Pod[];
  /** Port of its API; 0 when it has none. */
  readonly port: number;
  /** The Node once it has registered; undefined when the kubelet stopped before. */
  readonly registered: Promise<Node | undefined>;
  /** Ends the kubelet. Containers go on; the next kubelet takes them over. */
  stop(): Promise<void>;
}

/** Resolves when the kubelet works on its own; registration may still be under way. Rejects when it cannot work here. */
export async function startKubelet(
  config: KubeletConfig,
  dependencies: KubeletDependencies,
): Promise<Kubelet> {
  await mkdir(config.rootDirectory, { recursive: true });
  await mkdir(config.podLogsDirectory, { recursive: true });
  const host = dependencies.host ?? localHost(config.rootDirectory);
  const facts = await host.facts();
  const resolver = await readResolver(config.resolverFile);
  const parts = assemble(config, dependencies, facts, resolver);
  const server = await serve(config, dependencies, host, parts);
  return run(config, dependencies, host, facts, parts, server);
}

async function readResolver(path: string): Promise<ReturnType<typeof parseResolver>> {
  if (path === '') return parseResolver('');
  return parseResolver(await readFile(path, 'utf8'));
}

type Parts = ReturnType<typeof assemble>;

function assemble(
  config: KubeletConfig,
  dependencies: KubeletDependencies,
  facts: HostFacts,
  hostResolver: ReturnType<typeof parseResolver>,
) {
  const { env, log, client, runtime, recorder } = dependencies;
  const network =
    dependencies.network ?? networkProbes(env, `kube-probe/${minorVersion(config.version)}`);
  const mounter = dependencies.mounter ?? systemMounter();
  const allocatable = (): Record<string, string> => allocatableOf(config, facts);
  const paths = new PodPaths(config.rootDirectory, config.podLogsDirectory);
  const manager: { current: PodManager | undefined } = { current: undefined };
  const node: { current: NodeAgent | undefined } = { current: undefined };
  const wake = (uid: string): void => manager.current?.worker(uid)?.wake();
  const refresh = (uid: string): void => manager.current?.worker(uid)?.refreshVolumes();
  const objects = new ObjectSource({ env, log, client, onChange: refresh });
  const tokens = new Tokens(env, client);
  const base = { env, log, runtime, recorder, network, config, paths, objects, allocatable };
  const volumes = new VolumeManager({ ...base, mounter, tokens });
  const pleg = new Pleg({ ...base, onChange: wake, readMessage: terminationMessage });
  const probes = new ProbeManager({ ...base, onResult: wake });
  const killer = new Killer(base);
  const images = new Images(base);
  const services = new Informer({ env, log, client: client.resource(SERVICES) });
  const runner = new PodRunner({
    ...base,
    images,
    files: new ContainerFiles(paths, volumes),
    killer,
    hooks: base,
    services: () => (services.hasSynced ? services.list() : undefined),
    hostResolver,
    memoryCapacityBytes: facts.memoryBytes,
  });
  const statuses = new StatusManager({ env, log, client });
  const leftovers = new PodLeftovers({ ...base, pleg, volumes });
  const fieldSelector = `spec.nodeName=${config.nodeName}`;
  const informer = new Informer({ env, log, client: client.resource(PODS), fieldSelector });
  const shared = { ...base, pleg, statuses, killer, images, probes, volumes, runner };
  const pods: PodManager = new PodManager({
    ...shared,
    informer,
    leftovers,
    onPod: (pod) => objects.retain(pod),
    onPodGone: (uid) => objects.release(uid),
    worker: {
      ...shared,
      backOff: new BackOff(env),
      nodeIps: config.nodeIps,
      runtimeName: runtime.version().name,
      admit: (pod) => {
        const known = node.current?.node;
        return known === undefined ? undefined : admit(pod, pods.activePods(pod), known);
      },
      cleanUp: (pod) => leftovers.removePod(pod.metadata.uid ?? ''),
    },
  });
  manager.current = pods;
  return { informer, services, objects, pleg, probes, statuses, pods, node };
}

async function serve(
  config: KubeletConfig,
  { env, log, runtime }: KubeletDependencies,
  host: Host,
  { pods, pleg }: Parts,
): Promise<KubeletServer | undefined> {
  if (config.server === undefined) return undefined;
  const view = new NodeView(() => pods.pods, pleg);
  const problem = (): string => pleg.problem();
  return startServer({ env, log, runtime, host, view, config, problem }, config.server);
}

function run(
  config: KubeletConfig,
  { env, log, client, runtime, recorder }: KubeletDependencies,
  host: Host,
  facts: HostFacts,
  parts: Parts,
  server: KubeletServer | undefined,
): Kubelet {
  const { informer, services, objects, pleg, probes, statuses, pods, node } = parts;
  const port = server?.port ?? 0;
  const plegProblem = (): string => pleg.problem();
  const base = { env, log, client, runtime, config, recorder, host, facts };
  const agent = new NodeAgent({ ...base, plegProblem, port });
  node.current = agent;
  const lease = new NodeLease(env, log, client);
  const rotation = new LogRotation({
    env,
    log,
    runtime,
    running: () => [...pleg.latest.values()].flatMap(runningContainers),
    maxBytes: config.containerLogMaxBytes,
    maxFiles: config.containerLogMaxFiles,
  });
  rotation.start();
  pleg.start();
  services.start();
  informer.start();
  agent.start();
  void agent.registered.then((registered) => {
    if (registered === undefined) return;
    lease.start(() => agent.node ?? registered);
    pods.start();
  });
  return {
    pods: () => pods.pods,
    port,
    registered: agent.registered,
    stop: async () => {
      pleg.stop();
      probes.stop();
      await Promise.all([server?.close(), rotation.stop(), pods.stop()]);
      statuses.stop();
      await Promise.all([agent.stop(), lease.stop()]);
      await Promise.all([informer.stop(), services.stop(), objects.stop()]);
    },
  };
}

/** `1.36` of `v1.36.3`. */
function minorVersion(version: string): string {
  return /^v?(\d+\.\d+)/.exec(version)?.[1] ?? version;
}
