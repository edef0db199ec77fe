/**
 * A node of `mainstay up` in one process: kubelet, proxy, DNS. It runs in the node's network
 * namespace, and each part is a client of the API server over HTTPS with the identity it has on
 * any cluster.
 */
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Logger } from '../../base/observe/logger.js';
import { EventRecorder } from '../client/event-recorder.js';
import type { ClusterEnv } from '../env.js';
import { KUBELET_DEFAULTS, type KubeletConfig } from '../kubelet/config.js';
import { startKubelet } from '../kubelet/kubelet.js';
import { openRuntime } from '../runtime/open-runtime.js';
import { connectAs } from './api-access.js';
import { serveNodeControl } from './node-control.js';
import { startServices } from './services.js';
import type { LocalRuntime } from '../runtime/local-runtime.js';

export interface NodeConfig {
  readonly name: string;
  readonly address: string;
  readonly podCidr: string;
  /** The network namespace is the node's own: its rules and addresses may be changed. */
  readonly ownsNetwork: boolean;
  /** Everything of the node that outlives a restart of the machine. */
  readonly rootDir: string;
  /** Directory of state that ends with the machine. */
  readonly stateDir: string;
  /** Path of the socket for requests of the machine's user (node-control.ts). */
  readonly controlSocket: string;
  /** Control group above those of all pods. */
  readonly cgroupRoot: string;
  /** Holds what src/cluster/pki makes. */
  readonly pkiDir: string;
  /** `https://host:port` of the API server. */
  readonly apiServer: string;
  /** Of the kubelet's API; 0 for any free one. */
  readonly kubeletPort: number;
  /** The address of the Service kube-dns. */
  readonly clusterDns: string;
  readonly clusterDomain: string;
  /** The release of Kubernetes that the node says it is of. */
  readonly version: string;
}

export interface NodeDependencies {
  readonly env: ClusterEnv;
  readonly log: Logger;
}

export interface RunningNode {
  /** Joins the connection with one to `port` of the node's own address. */
  forward(connection: Socket, port: number): void;
  /** Things that this machine does not allow: a sentence each, for people. */
  readonly limits: readonly string[];
  /** Numbers for people. */
  report(): Readonly<Record<string, unknown>>;
  /** Ends the process's work; containers go on. */
  stop(): Promise<void>;
}

/** Resolves when every part works on its own. Rejects when a part cannot work here. */
export async function startNode(
  config: NodeConfig,
  dependencies: NodeDependencies,
): Promise<RunningNode> {
  const { env, log } = dependencies;
  const runtime = await openNodeRuntime(config, dependencies);
  const access = { env, server: config.apiServer, pkiDir: config.pkiDir };
  const client = await connectAs(access, `kubelet-client-${config.name}`, 'kubelet');
  const proxyClient = await connectAs(access, 'kube-proxy', 'kube-proxy');
  const about = { component: 'kubelet', host: config.name };
  const recorder = new EventRecorder({ env, log, client, ...about });
  const kubelet = await startKubelet(await kubeletConfig(config), {
    env,
    log: log.child({ component: 'kubelet' }),
    client,
    runtime,
    recorder,
  });
  const services = await startServices(config, dependencies, proxyClient, client);
  const control = await serveNodeControl(config.controlSocket, runtime);
  return {
    limits: [...(await limitsOf(runtime)), ...services.limits],
    forward: (connection, port) => joinWith(connection, config.address, port),
    report: () => ({ pods: kubelet.pods().length, 'kubelet-port': kubelet.port }),
    stop: async () => {
      control.close();
      await Promise.all([kubelet.stop(), services.stop()]);
      await recorder.stop();
      client.close();
      proxyClient.close();
      runtime.close();
    },
  };
}

/** The runtime of the node; the caller closes it. */
export function openNodeRuntime(
  { rootDir, stateDir, podCidr }: NodeConfig,
  { env, log }: NodeDependencies,
): Promise<LocalRuntime> {
  return openRuntime({
    kind: 'auto',
    rootDir: join(rootDir, 'containers'),
    stateDir,
    podCidr,
    env,
    log: log.child({ component: 'runtime' }),
  });
}

async function limitsOf(runtime: LocalRuntime): Promise<string[]> {
  const { conditions, description } = await runtime.status();
  const isIsolated = conditions.every(({ reason }) => reason !== 'PlainProcesses');
  return isIsolated ? [] : [`containers are ${description}`];
}

async function kubeletConfig(config: NodeConfig): Promise<KubeletConfig> {
  const pem = (name: string): Promise<string> => readFile(join(config.pkiDir, name), 'utf8');
  return {
    ...KUBELET_DEFAULTS,
    nodeName: config.name,
    nodeIps: [config.address],
    version: config.version,
    rootDirectory: join(config.rootDir, 'kubelet'),
    podLogsDirectory: join(config.rootDir, 'pod-logs'),
    podCidrs: [config.podCidr],
    clusterDns: [config.clusterDns],
    clusterDomain: config.clusterDomain,
    cgroupRoot: config.cgroupRoot,
    server: {
      address: config.address,
      port: config.kubeletPort,
      certificate: await pem(`kubelet-${config.name}.crt`),
      privateKey: await pem(`kubelet-${config.name}.key`),
      clientCa: await pem('ca.crt'),
      allowedClients: ['kube-apiserver-kubelet-client'],
    },
  };
}

function joinWith(connection: Socket, host: string, port: number): void {
  const other = connect({ host, port });
  for (const [from, to] of [
    [connection, other],
    [other, connection],
  ] as const) {
    from.on('error', () => to.destroy());
    from.pipe(to);
  }
}
