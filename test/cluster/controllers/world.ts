/**
 * A small cluster for controllers on virtual time: an API server in memory, nodes whose kubelets
 * run what is on them at once, and a scheduler that takes nodes in turn. Annotations steer a pod,
 * as in the recordings: `fake/ready: "false"`, `fake/term-ms`.
 */
import { loggerTo } from '../../../src/base/observe/logger.js';
import type { Lease } from '../../../src/gen/kube-coordination-v1.js';
import type { Namespace, Node, Pod } from '../../../src/gen/kube-core-v1.js';
import { findResource, KINDS } from '../../../src/cluster/api/kinds/registry.js';
import type { ResourceType } from '../../../src/cluster/api/kinds/kind.js';
import type { KubeObject } from '../../../src/cluster/api/object.js';
import { apiError } from '../../../src/cluster/api/status.js';
import { formatMicroTime, formatTime } from '../../../src/cluster/api/time.js';
import type { KubeClient } from '../../../src/cluster/client/client.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import { LEASES, NAMESPACES, NODES, PODS } from '../../../src/cluster/client/resource-types.js';
import { startControllers, type Controllers } from '../../../src/cluster/controllers/manager.js';
import type { ApiAnswer, ApiCall } from '../../../src/cluster/client/transport.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';

export const ROOT_CA = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
const START_MS = 100;
/** Not at the begin of a second, so that times in objects are cut. */
const START_WALL_MS = Date.UTC(2026, 0, 1) + 200;
const RENEW_MS = 5000;
const NODE_NAMES = ['node-a', 'node-b', 'node-c'];

export class World {
  readonly time: VirtualTime;
  readonly api: FakeApi;
  readonly client: KubeClient;
  private readonly log = loggerTo([], 'error');
  private readonly seen = new Map<string, string>();
  private controllers: Controllers | undefined;
  private nextNode = 0;
  private nextIp = 1;
  private isOpen = true;

  constructor(seed = 1) {
    this.time = new VirtualTime(seed, START_WALL_MS);
    this.api = new FakeApi(this.time);
    this.client = restClient(this.api);
    this.api.intercept(discovery);
    this.api.intercept((call) => this.admit(call));
    NODE_NAMES.forEach((name, index) => this.addNode(name, `zone-${1 + (index % 2)}`));
    this.addNamespace('default');
    this.tick();
    this.renew();
  }

  /** Nodes whose kubelets are silent. */
  readonly down = new Set<string>();

  /** Controllers that write through `client`, the world's own if none is given. */
  start(client: KubeClient = this.client): Controllers {
    const { time: env, log } = this;
    this.controllers = startControllers({ client, env, log, rootCa: ROOT_CA });
    return this.controllers;
  }

  /** Ends the controllers, at once if their way to the API server is dead, and starts others. */
  async restart(client: KubeClient = this.client): Promise<void> {
    if (this.controllers !== undefined) await this.time.run(this.controllers.stop());
    this.start(client);
  }

  /** Uids of pods that went by themselves. */
  readonly lost = new Set<string>();

  /** The pod goes without anybody having asked. */
  lose(pod: Pod): void {
    this.lost.add(pod.metadata.uid ?? '');
    this.api.remove(PODS, pod);
  }

  async stop(): Promise<void> {
    this.isOpen = false;
    if (this.controllers !== undefined) await this.time.run(this.controllers.stop());
    this.controllers = undefined;
  }

  addNamespace(name: string): void {
    const namespace: Namespace = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    };
    this.api.put(NAMESPACES, namespace);
  }

  /** Every state of every object, in order. */
  get history(): KubeObject[] {
    return this.api.store.changesAfter(0).map(({ object }) => object);
  }

  /** With the defaults that the API server would fill in. */
  create<T extends KubeObject>(type: ResourceType<T>, object: T): Promise<T> {
    const copy = structuredClone(object);
    findResource(type.group, type.version, type.resource)?.setDefaults(copy);
    const { namespace = '' } = object.metadata;
    return this.time.run(this.client.resource(type, namespace).create(copy));
  }

  addNode(name: string, zone: string): void {
    const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone };
    const ready = { type: 'Ready', status: 'True', reason: 'KubeletReady' };
    const node: Node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels },
      spec: {},
      status: { conditions: [{ ...ready, lastTransitionTime: this.now() }] },
    };
    this.api.put(NODES, node);
  }

  /** Nothing is created in a namespace that is being deleted. */
  private admit({ method, path }: ApiCall): ApiAnswer | undefined {
    const namespace = /^\/apis?\/.*\/namespaces\/([^/]+)\/[^/]+$/.exec(path)?.[1] ?? '';
    const { metadata } = this.api.get(NAMESPACES, '', namespace) ?? {};
    if (method !== 'POST' || metadata?.deletionTimestamp === undefined) return undefined;
    const message = `unable to create new content in namespace ${namespace} because it is being terminated`;
    const causes = [{ reason: 'NamespaceTerminating', message, field: 'metadata.namespace' }];
    return { code: 403, body: apiError(403, 'Forbidden', message, { causes }).status };
  }

  private renew(): void {
    if (!this.isOpen) return;
    for (const { metadata } of this.api.list(NODES)) {
      const { name = '' } = metadata;
      if (this.down.has(name)) continue;
      const lease: Lease = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace: 'kube-node-lease' },
        spec: { renewTime: formatMicroTime(this.time.wallMs()) },
      };
      this.api.put(LEASES, lease);
    }
    this.time.after(RENEW_MS, () => this.renew());
  }

  private tick(): void {
    if (!this.isOpen) return;
    for (const pod of this.api.list(PODS)) this.runPod(pod);
    this.time.after(START_MS, () => this.tick());
  }

  private runPod(pod: Pod): void {
    const { deletionTimestamp, annotations = {}, uid = '' } = pod.metadata;
    if (this.down.has(pod.spec.nodeName ?? '')) return;
    if (deletionTimestamp !== undefined) {
      const wait = Number(annotations['fake/term-ms'] ?? 0);
      const since = Number(this.seen.get(uid) ?? this.time.monoMs());
      this.seen.set(uid, String(since));
      if (this.time.monoMs() - since >= wait) this.api.remove(PODS, pod);
      return;
    }
    if ((pod.spec.nodeName ?? '') === '') {
      const nodeName = NODE_NAMES[this.nextNode++ % NODE_NAMES.length];
      this.api.put(PODS, { ...pod, spec: { ...pod.spec, nodeName } });
      return;
    }
    if (pod.status?.podIP !== undefined) return;
    const status = annotations['fake/ready'] === 'false' ? 'False' : 'True';
    const podIP = `10.244.${this.nextIp >> 8}.${this.nextIp & 255}`;
    this.nextIp += 1;
    const conditions = [{ type: 'Ready', status, lastTransitionTime: this.now() }];
    const next = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], conditions };
    this.api.put(PODS, { ...pod, status: next });
  }

  private now(): string {
    return formatTime(this.time.wallMs());
  }
}

/** Answers what discovery asks, for the kinds that are served. */
function discovery({ method, path }: ApiCall): ApiAnswer | undefined {
  if (method !== 'GET') return undefined;
  if (path === '/api') return { code: 200, body: { versions: ['v1'] } };
  const named = [...new Set(KINDS.map(({ group }) => group))].filter((group) => group !== '');
  if (path === '/apis') {
    const groups = named.map((name) => ({
      name,
      versions: [{ groupVersion: `${name}/v1`, version: 'v1' }],
      preferredVersion: { groupVersion: `${name}/v1`, version: 'v1' },
    }));
    return { code: 200, body: { groups } };
  }
  const group = named.find((name) => path === `/apis/${name}/v1`) ?? '';
  if (group === '' && path !== '/api/v1') return undefined;
  const resources = KINDS.filter((kind) => kind.group === group).map(
    ({ resource, kind, isNamespaced, verbs }) => ({
      name: resource,
      kind,
      namespaced: isNamespaced,
      verbs,
    }),
  );
  const groupVersion = group === '' ? 'v1' : `${group}/v1`;
  return { code: 200, body: { groupVersion, resources } };
}
