import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { restClient } from '../../../../src/cluster/client/rest-client.js';
import { KUBELET_DEFAULTS } from '../../../../src/cluster/kubelet/config.js';
import type { KubeletConfig } from '../../../../src/cluster/kubelet/config.js';
import type { Kubelet } from '../../../../src/cluster/kubelet/kubelet.js';
import { startKubelet } from '../../../../src/cluster/kubelet/kubelet.js';
import type { HostFacts } from '../../../../src/cluster/kubelet/node/host-facts.js';
import type { HttpTarget, NetworkProbes } from '../../../../src/cluster/kubelet/probes/network.js';
import { PODS } from '../../../../src/cluster/client/resource-types.js';
import type { Container, ContainerStatus, Pod, PodSpec } from '../../../../src/gen/kube-core-v1.js';
import { FakeApi } from '../../../support/fake-api/fake-api.js';
import { FakeRuntime } from '../../../support/fake-runtime.js';
import { VirtualTime } from '../../../support/virtual-time.js';

export const NODE = 'node-a';

const FACTS: HostFacts = {
  cpus: 4,
  memoryBytes: 8 * 2 ** 30,
  diskBytes: 100 * 2 ** 30,
  machineId: 'machine',
  systemUuid: 'system',
  bootId: 'boot',
  kernelVersion: '6.1.0',
  osImage: 'Test Linux',
  architecture: 'amd64',
};

export interface EventRecord {
  readonly about: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

/** A kubelet on virtual time, with a runtime and an API server in memory. */
export class KubeletBench {
  readonly time: VirtualTime;
  readonly api: FakeApi;
  readonly runtime: FakeRuntime;
  readonly events: EventRecord[] = [];
  readonly directory: string;
  /** Answers of network probes. */
  http: (target: HttpTarget) => Promise<number> = () => Promise.resolve(200);
  tcp: (port: number) => Promise<void> = () => Promise.resolve();
  readonly mounts = new Set<string>();
  kubelet: Kubelet | undefined;
  #nextUid = 1;

  private constructor(directory: string, seed: number) {
    this.directory = directory;
    this.time = new VirtualTime(seed);
    this.api = new FakeApi(this.time);
    this.runtime = new FakeRuntime(this.time);
  }

  static async create(seed = 1): Promise<KubeletBench> {
    // In memory where there is such a place: these tests write many small files.
    const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const directory = await mkdtemp(join(parent, 'mainstay-kubelet-'));
    return new KubeletBench(directory, seed);
  }

  get config(): KubeletConfig {
    return {
      ...KUBELET_DEFAULTS,
      nodeName: NODE,
      nodeIps: ['192.168.0.1'],
      version: 'v1.36.3',
      rootDirectory: join(this.directory, 'kubelet'),
      podLogsDirectory: join(this.directory, 'logs'),
      podCidrs: ['10.88.0.0/24'],
      clusterDns: ['10.96.0.10'],
      resolverFile: '',
      containerLogMaxBytes: 1000,
      containerLogMaxFiles: 3,
    };
  }

  async start(): Promise<void> {
    const network: NetworkProbes = {
      http: async (target) => ({ status: await this.http(target), body: '', leadsAway: false }),
      tcp: (_host, port) => this.tcp(port),
      grpc: () => Promise.resolve(1),
    };
    const kubelet = await startKubelet(this.config, {
      env: this.time,
      log: silentLogger,
      client: restClient(this.api),
      runtime: this.runtime,
      recorder: {
        event: (about, type, reason, message) => {
          const name = `${about.kind ?? ''}/${about.name ?? ''}`;
          const path = about.fieldPath === undefined ? '' : ` ${about.fieldPath}`;
          this.events.push({ about: name + path, type, reason, message });
        },
      },
      host: {
        facts: () => Promise.resolve(FACTS),
        pressure: () =>
          Promise.resolve({
            memoryAvailableBytes: 2 ** 30,
            diskAvailableFraction: 0.5,
            threadsAvailableFraction: 0.9,
          }),
        usage: () =>
          Promise.resolve({
            cpuNs: 7e9,
            memoryWorkingSetBytes: 2 ** 30,
            diskUsedBytes: 10,
            diskAvailableBytes: 90,
          }),
      },
      mounter: {
        mountTmpfs: (path) => Promise.resolve(void this.mounts.add(path)),
        unmount: (path) => Promise.resolve(void this.mounts.delete(path)),
        mountsBelow: (path) =>
          Promise.resolve([...this.mounts].filter((one) => one.startsWith(path))),
      },
      network,
    });
    this.kubelet = kubelet;
    await this.time.run(kubelet.registered);
  }

  async stop(): Promise<void> {
    const { kubelet } = this;
    this.kubelet = undefined;
    if (kubelet !== undefined) await this.time.run(kubelet.stop());
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Puts a pod there, bound to the node, as the API server would serve it. */
  addPod(name: string, spec: Partial<PodSpec> = {}, metadata: Pod['metadata'] = {}): Pod {
    const uid = `uid-${this.#nextUid++}`;
    return this.api.put(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', uid, generation: 1, ...metadata },
      spec: {
        containers: [container('app')],
        restartPolicy: 'Always',
        terminationGracePeriodSeconds: 30,
        serviceAccountName: 'default',
        dnsPolicy: 'ClusterFirst',
        nodeName: NODE,
        ...spec,
      },
      status: { phase: 'Pending' },
    });
  }

  pod(name: string): Pod | undefined {
    return this.api.get(PODS, 'default', name);
  }

  status(name: string): NonNullable<Pod['status']> {
    return this.pod(name)?.status ?? {};
  }

  containerStatus(pod: string, name = 'app'): ContainerStatus | undefined {
    const { containerStatuses = [], initContainerStatuses = [] } = this.status(pod);
    return [...containerStatuses, ...initContainerStatuses].find((one) => one.name === name);
  }

  condition(pod: string, type: string): string | undefined {
    return this.status(pod).conditions?.find((one) => one.type === type)?.status;
  }

  isRunning(pod: string): boolean {
    return this.status(pod).phase === 'Running' && this.condition(pod, 'Ready') === 'True';
  }

  async untilRunning(pod: string): Promise<void> {
    await this.time.runUntil(() => this.isRunning(pod), 60_000);
  }

  /** As `kubectl delete`. */
  async deletePod(name: string, gracePeriodSeconds?: number): Promise<void> {
    const pods = restClient(this.api).resource(PODS, 'default');
    const options = gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds };
    await this.time.run(pods.delete(name, options));
  }

  reasons(about: string): string[] {
    return this.events.filter((event) => event.about.startsWith(about)).map((one) => one.reason);
  }

  messages(reason: string): string[] {
    return this.events.filter((event) => event.reason === reason).map((one) => one.message);
  }
}

export function container(name: string, more: Partial<Container> = {}): Container {
  return { name, image: 'busybox', imagePullPolicy: 'IfNotPresent', ...more };
}
