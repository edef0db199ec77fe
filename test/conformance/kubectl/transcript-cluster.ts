/** The control plane that transcripts are replayed on: all of it, and three nodes without containers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loggerTo } from '../../../src/base/observe/logger.js';
import type { KubeClient } from '../../../src/cluster/client/client.js';
import {
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  PODS,
  REPLICA_SETS,
} from '../../../src/cluster/client/resource-types.js';
import { startControllers, type Controllers } from '../../../src/cluster/controllers/manager.js';
import { startScheduler, type Scheduler } from '../../../src/cluster/scheduler/scheduler.js';
import { WholeApiServer } from '../../support/whole-api-server.js';
import { HollowNode } from './hollow-node.js';

const NODES = [
  { name: 'node-a', zone: 'zone-1' },
  { name: 'node-b', zone: 'zone-2' },
  { name: 'node-c', zone: 'zone-1' },
];

export class TranscriptCluster {
  readonly dir: string;
  readonly kubeconfig: string;
  /** host:port of the API server. */
  readonly address: string;
  private readonly server: WholeApiServer;
  private readonly client: KubeClient;
  private readonly controllers: Controllers;
  private readonly scheduler: Scheduler;
  private readonly nodes: readonly HollowNode[];

  private constructor(server: WholeApiServer) {
    this.server = server;
    this.client = server.direct();
    const { env, target } = server;
    const log = loggerTo([], 'error');
    const manager = { commonName: 'system:kube-controller-manager', organizations: [] };
    this.controllers = startControllers({
      client: server.client(manager, 'kube-controller-manager'),
      env,
      log,
      rootCa: target.ca,
    });
    const scheduler = { commonName: 'system:kube-scheduler', organizations: [] };
    this.scheduler = startScheduler({
      client: server.client(scheduler, 'kube-scheduler'),
      // Among nodes that are equally good it chooses as the recorded scheduler did at first.
      env: { ...env, randomU32: () => Math.floor(0.4 * 2 ** 32) },
      log,
      identity: undefined,
    });
    this.nodes = NODES.map(({ name, zone }, index) => {
      const kubelet = { commonName: `system:node:${name}`, organizations: ['system:nodes'] };
      const client = server.client(kubelet, 'kubelet');
      return new HollowNode({ client, env, log, name, zone, index });
    });
    this.address = `127.0.0.1:${target.port}`;
    this.dir = mkdtempSync(join(tmpdir(), 'transcripts-'));
    this.kubeconfig = this.writeKubeconfig();
  }

  static async start(): Promise<TranscriptCluster> {
    const cluster = new TranscriptCluster(await WholeApiServer.start());
    await Promise.all(cluster.nodes.map((node) => node.start()));
    return cluster;
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await this.controllers.stop();
    await this.scheduler.stop();
    await this.server.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** True when controllers, scheduler and kubelets have nothing left to do in the namespace. */
  async isSettled(namespace: string): Promise<boolean> {
    const of = <T>(list: Promise<{ items: readonly T[] }>): Promise<readonly T[]> =>
      list.then(({ items }) => items);
    const [deployments, sets, pods, slices] = await Promise.all([
      of(this.client.resource(DEPLOYMENTS, namespace).list()),
      of(this.client.resource(REPLICA_SETS, namespace).list()),
      of(this.client.resource(PODS, namespace).list()),
      of(this.client.resource(ENDPOINT_SLICES, namespace).list()),
    ]);
    const targets = slices.flatMap(({ endpoints = [] }) =>
      (endpoints ?? []).map(({ targetRef }) => targetRef?.name ?? ''),
    );
    const names = new Set(pods.map(({ metadata }) => metadata.name ?? ''));
    return (
      deployments.every(({ metadata, spec, status }) => {
        const { replicas = 1, paused = false } = spec ?? {};
        if (status?.observedGeneration !== metadata.generation) return false;
        if ((status?.availableReplicas ?? 0) !== replicas) return false;
        if ((status?.replicas ?? 0) !== replicas) return false;
        return paused || (status?.updatedReplicas ?? 0) === replicas;
      }) &&
      sets.every(({ metadata, spec, status }) => {
        const { replicas = 1 } = spec ?? {};
        if (status?.observedGeneration !== metadata.generation) return false;
        return status?.replicas === replicas && (status.availableReplicas ?? 0) === replicas;
      }) &&
      pods.every(({ metadata, spec, status }) => {
        if (metadata.deletionTimestamp !== undefined) return false;
        if (status?.phase === 'Succeeded') return true;
        return status?.phase === 'Running' && spec.restartPolicy === 'Always';
      }) &&
      targets.every((name) => name === '' || names.has(name))
    );
  }

  private writeKubeconfig(): string {
    const { port, ca, identity } = this.server.target;
    const file = (name: string, content: string): string => {
      const path = join(this.dir, name);
      writeFileSync(path, content, { mode: 0o600 });
      return path;
    };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'c',
          cluster: {
            server: `https://127.0.0.1:${port}`,
            'certificate-authority': file('ca.crt', ca),
          },
        },
      ],
      users: [
        {
          name: 'u',
          user: {
            'client-certificate': file('admin.crt', identity.cert),
            'client-key': file('admin.key', identity.key),
          },
        },
      ],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    return file('kubeconfig', JSON.stringify(config));
  }
}
