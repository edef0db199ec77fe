/** Keeps this node's Node object and its Lease: the node is there, and it lives. */
import type { Logger } from '../../../base/observe/logger.js';
import type { Node, NodeStatus } from '../../../gen/kube-core-v1.js';
import type { JsonObject, JsonValue } from '../../api/object.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient, ResourceClient } from '../../client/client.js';
import type { ClusterEnv } from '../../env.js';
import { sleep } from '../../env.js';
import type { ContainerRuntime } from '../../runtime/runtime.js';
import type { KubeletConfig } from '../config.js';
import { messageOf } from '../pods/start-error.js';
import type { Recorder } from '../pods/recorder.js';
import { NODES } from '../../client/resource-types.js';
import type { Host, HostFacts } from './host-facts.js';
import type { NodeInput } from './node-status.js';
import { newNode, nodeLabels, nodeStatus } from './node-status.js';

const STATUS_MS = 10_000;
/** An unchanged status is written so often all the same. */
const REPORT_MS = 5 * 60 * 1000;
const RETRY_MS = 500;
/** A node that is not ready yet looks again soon. */
const NOT_READY_MS = 500;

export interface NodeAgentOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: KubeClient;
  readonly runtime: ContainerRuntime;
  readonly config: KubeletConfig;
  readonly recorder: Recorder;
  readonly host: Host;
  readonly facts: HostFacts;
  readonly plegProblem: () => string;
  readonly port: number;
}

export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #nodes: ResourceClient<Node>;
  readonly #stopped = new AbortController();
  #node: Node | undefined;
  #lastReportMs = -Infinity;
  #running: Promise<void> = Promise.resolve();
  #onRegistered: (node: Node | undefined) => void = () => undefined;
  /** The Node as the API server has it, once it is there; undefined if stopped before. */
  readonly registered: Promise<Node | undefined>;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.#nodes = options.client.resource(NODES);
    this.registered = new Promise((resolve) => {
      this.#onRegistered = resolve;
    });
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#onRegistered(undefined);
    await this.#running;
  }

  /** As it was last seen. */
  get node(): Node | undefined {
    return this.#node;
  }

  async #run(): Promise<void> {
    const { env, log } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      let pauseMs = STATUS_MS;
      try {
        const node = this.#node ?? (await this.#register());
        await this.#report(node);
        if (!isReady(this.#node?.status)) pauseMs = NOT_READY_MS;
      } catch (error) {
        if (signal.aborted) return;
        // Another kubelet, or a person, may have deleted it: then it registers anew.
        if (isApiError(error, 'NotFound')) this.#node = undefined;
        log.warn('node not reported', { why: messageOf(error) });
        pauseMs = RETRY_MS;
      }
      await sleep(env, pauseMs, signal);
    }
  }

  async #register(): Promise<Node> {
    const { config, facts, log, recorder } = this.#options;
    const { signal } = this.#stopped;
    const input = await this.#input();
    try {
      this.#node = await this.#nodes.create(newNode(input), { signal });
      log.info('node registered', { node: config.nodeName });
    } catch (error) {
      if (!isApiError(error, 'AlreadyExists')) throw error;
      this.#node = await this.#reconcile(facts);
    }
    const { nodeName } = config;
    recorder.event(
      { kind: 'Node', name: nodeName, uid: nodeName },
      'Normal',
      'Starting',
      'Starting kubelet.',
    );
    this.#onRegistered(this.#node);
    return this.#node;
  }

  /** A node of this name registered before: its labels become those of today. */
  async #reconcile(facts: HostFacts): Promise<Node> {
    const { config } = this.#options;
    const { signal } = this.#stopped;
    const known = await this.#nodes.get(config.nodeName, { signal });
    const wanted = nodeLabels(config, facts.architecture);
    const isSame = Object.entries(wanted).every(
      ([key, one]) => known.metadata.labels?.[key] === one,
    );
    const [podCIDR] = config.podCidrs;
    const needsCidr = podCIDR !== undefined && (known.spec.podCIDR ?? '') === '';
    if (isSame && !needsCidr) return known;
    const spec = needsCidr ? { podCIDR, podCIDRs: [...config.podCidrs] } : {};
    const patch = { metadata: { labels: wanted }, spec };
    return this.#nodes.patch(config.nodeName, 'strategic', patch, { signal });
  }

  async #input(): Promise<NodeInput> {
    const { config, facts, host, runtime, env, port, plegProblem } = this.#options;
    const runtimeStatus = await runtime.status().catch(() => undefined);
    const images = await runtime.listImages().catch(() => []);
    return {
      config,
      facts,
      pressure: await host.pressure(),
      runtime: runtime.version(),
      runtimeStatus,
      plegProblem: plegProblem(),
      images,
      port,
      nowMs: env.wallMs(),
    };
  }

  async #report(node: Node): Promise<void> {
    const { env, config } = this.#options;
    const { signal } = this.#stopped;
    const old = node.status;
    const status = nodeStatus(await this.#input(), old);
    const isDue = env.monoMs() - this.#lastReportMs >= REPORT_MS;
    if (!isDue && print(old) === print(status)) return;
    const patch = { status: statusPatch(status, old) };
    const updated = await this.#nodes.patchStatus(config.nodeName, 'strategic', patch, { signal });
    this.#tellChange(old, status);
    this.#node = updated;
    this.#lastReportMs = env.monoMs();
  }

  #tellChange(old: NodeStatus | undefined, now: NodeStatus): void {
    const { recorder, config } = this.#options;
    const before = isReady(old);
    const after = isReady(now);
    const about = { kind: 'Node', name: config.nodeName, uid: config.nodeName };
    if (before === after) return;
    const reason = after ? 'NodeReady' : 'NodeNotReady';
    recorder.event(about, 'Normal', reason, `Node ${config.nodeName} status is now: ${reason}`);
  }
}

function isReady(status: NodeStatus | undefined): boolean {
  return status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
}

/**
 * Text of all that counts as a change of a node's status. Heartbeats are left out, and fields that
 * other parts of the cluster write.
 */
function print(status: NodeStatus | undefined): string {
  const { capacity, allocatable, addresses, daemonEndpoints, nodeInfo, images } = status ?? {};
  const conditions = (status?.conditions ?? [])
    .filter(({ type }) => type !== 'NetworkUnavailable')
    .map(({ type, status: value, reason, message }) => [type, value, reason, message]);
  const own = [capacity, allocatable, addresses, daemonEndpoints, nodeInfo, images ?? []];
  return JSON.stringify([sorted(own), conditions]);
}

/** The API server may give fields in another order than ours. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, one]) => one !== undefined && one !== '');
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, one]) => [name, sorted(one)]));
}

function statusPatch(status: NodeStatus, old: NodeStatus | undefined): JsonObject {
  const patch = JSON.parse(JSON.stringify(status)) as JsonObject;
  const isSame =
    JSON.stringify(sorted(old?.addresses)) === JSON.stringify(sorted(status.addresses));
  // Addresses merge by their type, of which there may be several: they are sent only when they change.
  if (isSame) delete patch['addresses'];
  else patch['addresses'] = [{ $patch: 'replace' }, ...(patch['addresses'] as JsonValue[])];
  return patch;
}
