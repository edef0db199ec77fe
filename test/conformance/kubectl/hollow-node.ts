/**
 * A node without containers, as the recorder of test/golden/kubectl had: its kubelet says of each
 * pod that it runs, or has ended well if it is not to be started anew.
 */
import type { Logger } from '../../../src/base/observe/logger.js';
import type { Lease } from '../../../src/gen/kube-coordination-v1.js';
import type {
  Container,
  ContainerStatus,
  Node,
  Pod,
  PodStatus,
} from '../../../src/gen/kube-core-v1.js';
import type { JsonValue } from '../../../src/cluster/api/object.js';
import { isApiError } from '../../../src/cluster/api/status.js';
import { formatMicroTime, formatTime } from '../../../src/cluster/api/time.js';
import type { KubeClient } from '../../../src/cluster/client/client.js';
import { Informer } from '../../../src/cluster/client/informer.js';
import { LEASES, NODES, PODS } from '../../../src/cluster/client/resource-types.js';
import type { ClusterEnv, ClusterTimer } from '../../../src/cluster/env.js';

export interface HollowNodeSetup {
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly name: string;
  readonly zone: string;
  /** Of the nodes; it decides about addresses. */
  readonly index: number;
}

const RENEW_MS = 10_000;
const LEASE_NAMESPACE = 'kube-node-lease';

/** Type, status, reason and message of what a healthy node reports. */
const CONDITIONS: readonly (readonly [string, string, string, string])[] = [
  [
    'MemoryPressure',
    'False',
    'KubeletHasSufficientMemory',
    'kubelet has sufficient memory available',
  ],
  ['DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
  ['PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
  ['Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'],
];

export class HollowNode {
  private readonly setup: HollowNodeSetup;
  private readonly pods: Informer<Pod>;
  private readonly busy = new Map<string, Promise<void>>();
  private addresses = 0;
  private renewal: ClusterTimer | undefined;
  private writing: Promise<unknown> = Promise.resolve();
  private isStopped = false;

  constructor(setup: HollowNodeSetup) {
    this.setup = setup;
    const { client, env, log, name } = setup;
    const fieldSelector = `spec.nodeName=${name}`;
    this.pods = new Informer({ env, log, client: client.resource(PODS), fieldSelector });
    const look = (pod: Pod): void => this.look(pod);
    this.pods.addHandler({ onAdd: look, onUpdate: look });
  }

  /** Resolves when the node is registered and follows its pods. */
  async start(): Promise<void> {
    const { client, name } = this.setup;
    const nodes = client.resource(NODES);
    const wanted = this.node();
    const created = await nodes.create(wanted);
    await nodes.updateStatus({ ...created, status: wanted.status ?? {} });
    await client.resource(LEASES, LEASE_NAMESPACE).create(this.lease(name));
    this.renewLater();
    this.pods.start();
    await this.pods.synced;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.renewal?.cancel();
    await this.pods.stop();
    await Promise.all(this.busy.values());
    await this.writing;
  }

  private renewLater(): void {
    this.renewal = this.setup.env.after(RENEW_MS, () => {
      const { client, name, env } = this.setup;
      const renewTime = formatMicroTime(env.wallMs());
      const leases = client.resource(LEASES, LEASE_NAMESPACE);
      this.writing = leases.patch(name, 'merge', { spec: { renewTime } });
      this.renewLater();
    });
  }

  private lease(name: string): Lease {
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace: LEASE_NAMESPACE },
      spec: {
        holderIdentity: name,
        leaseDurationSeconds: 40,
        renewTime: formatMicroTime(this.setup.env.wallMs()),
      },
    };
  }

  private node(): Node {
    const { name, zone, index } = this.setup;
    const amounts = { cpu: '4', memory: '8Gi', pods: '110', 'ephemeral-storage': '100Gi' };
    const now = this.now();
    const podCIDR = `10.244.${index}.0/24`;
    return {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: {
          'beta.kubernetes.io/arch': 'amd64',
          'beta.kubernetes.io/os': 'linux',
          'kubernetes.io/arch': 'amd64',
          'kubernetes.io/hostname': name,
          'kubernetes.io/os': 'linux',
          'topology.kubernetes.io/region': 'region-1',
          'topology.kubernetes.io/zone': zone,
        },
      },
      spec: { podCIDR, podCIDRs: [podCIDR] },
      status: {
        addresses: [
          { type: 'InternalIP', address: this.address },
          { type: 'Hostname', address: name },
        ],
        allocatable: amounts,
        capacity: amounts,
        conditions: CONDITIONS.map(([type, status, reason, message]) => ({
          ...{ type, status, reason, message },
          ...{ lastHeartbeatTime: now, lastTransitionTime: now },
        })),
        daemonEndpoints: { kubeletEndpoint: { Port: 10_250 } },
        nodeInfo: {
          architecture: 'amd64',
          bootID: 'b',
          containerRuntimeVersion: 'containerd://2.0.0',
          kernelVersion: '6.1.0',
          kubeProxyVersion: '',
          kubeletVersion: 'v1.36.3',
          machineID: 'm',
          operatingSystem: 'linux',
          osImage: 'Fake Linux',
          systemUUID: 's',
        },
      },
    };
  }

  private get address(): string {
    return `10.0.0.${this.setup.index + 1}`;
  }

  private now(): string {
    return formatTime(this.setup.env.wallMs());
  }

  /** One write for a pod at a time; the next state of the pod leads here again. */
  private look(pod: Pod): void {
    const { uid = '', name = '', namespace = '' } = pod.metadata;
    if (this.isStopped || this.busy.has(uid)) return;
    const work = this.act(pod)
      .catch((error: unknown) => {
        if (!isApiError(error, 'NotFound') && !isApiError(error, 'Conflict')) throw error;
      })
      .then(() => {
        this.busy.delete(uid);
        const latest = this.pods.get(namespace, name);
        if (latest !== undefined && latest !== pod) this.look(latest);
      });
    this.busy.set(uid, work);
  }

  private async act(pod: Pod): Promise<void> {
    const { uid = '', name = '', namespace = '', deletionTimestamp } = pod.metadata;
    const pods = this.setup.client.resource(PODS, namespace);
    if (deletionTimestamp !== undefined) {
      await pods.delete(name, { gracePeriodSeconds: 0, preconditions: { uid } });
      return;
    }
    const status = this.nextStatus(pod);
    if (status === undefined) return;
    const patch = { metadata: { uid }, status: status as unknown as JsonValue };
    await pods.patchStatus(name, 'strategic', patch);
  }

  private nextStatus(pod: Pod): PodStatus | undefined {
    if (pod.status?.podIP === undefined) return this.begun(pod);
    const isOver = pod.status.phase === 'Running' && pod.spec.restartPolicy !== 'Always';
    return isOver ? this.ended(pod) : undefined;
  }

  private begun(pod: Pod): PodStatus {
    const now = this.now();
    this.addresses += 1;
    const podIP = `10.244.${this.setup.index}.${this.addresses}`;
    return {
      ...this.conditions(true),
      containerStatuses: pod.spec.containers.map((container) => ({
        ...this.container(container),
        containerID: `containerd://${(pod.metadata.uid ?? '').slice(0, 8)}`,
        ready: true,
        started: true,
        state: { running: { startedAt: now } },
      })),
      hostIP: this.address,
      hostIPs: [{ ip: this.address }],
      phase: 'Running',
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: now,
    };
  }

  private ended(pod: Pod): PodStatus {
    const now = this.now();
    return {
      ...this.conditions(false),
      containerStatuses: pod.spec.containers.map((container) => ({
        ...this.container(container),
        containerID: '',
        ready: false,
        started: false,
        state: {
          terminated: { exitCode: 0, reason: 'Completed', startedAt: now, finishedAt: now },
        },
      })),
      phase: 'Succeeded',
    };
  }

  private container({ name = '', image = '' }: Container): ContainerStatus {
    return { name, image, imageID: 'fake', lastState: {}, ready: false, restartCount: 0 };
  }

  private conditions(isReady: boolean): PodStatus {
    const lastTransitionTime = this.now();
    const ready = isReady ? 'True' : 'False';
    const conditions = Object.entries({
      PodReadyToStartContainers: 'True',
      Initialized: 'True',
      Ready: ready,
      ContainersReady: ready,
      PodScheduled: 'True',
    }).map(([type, status]) => ({ type, status, lastTransitionTime }));
    return { conditions };
  }
}
