/**
 * The scheduler: gives pods without a node one, one pod after the other, on a picture of the
 * cluster that informers keep. Bindings are written beside the loop; a pod counts on its node from
 * the decision on.
 */
import type { Logger } from '../../base/observe/logger.js';
import type { Binding, Namespace, Node, Pod } from '../../gen/kube-core-v1.js';
import { isApiError } from '../api/status.js';
import { formatTime } from '../api/time.js';
import type { KubeClient } from '../client/client.js';
import { EventRecorder } from '../client/event-recorder.js';
import { LeaderElector } from '../client/leader-election.js';
import { NAMESPACES, NODES, PODS } from '../client/resource-types.js';
import { SharedInformers } from '../client/shared-informers.js';
import type { ClusterEnv } from '../env.js';
import { turnsOf } from '../turns.js';
import { ClusterState } from './cluster-state.js';
import { Framework } from './framework.js';
import { podInfoOf, type PodInfo } from './pod-info.js';
import { SchedulingQueue } from './scheduling-queue.js';

const NAME = 'default-scheduler';

export interface SchedulerSetup {
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  /** Of this process among those that want to be leader; undefined: there is one scheduler only. */
  readonly identity: string | undefined;
}

export interface Scheduler {
  /** Resolves when nothing is written any more. */
  stop(): Promise<void>;
}

export function startScheduler(setup: SchedulerSetup): Scheduler {
  const { client, env, log, identity } = setup;
  if (identity === undefined) {
    const run = new SchedulerRun(setup);
    run.start();
    return run;
  }
  const stopping = new AbortController();
  const elector = new LeaderElector({
    env,
    log,
    client,
    namespace: 'kube-system',
    name: 'kube-scheduler',
    identity,
    lead: async (signal) => {
      const run = new SchedulerRun(setup);
      run.start();
      await aborted(signal);
      await run.stop();
    },
  });
  const ended = elector.run(stopping.signal);
  return {
    stop: () => {
      stopping.abort();
      return ended;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

class SchedulerRun implements Scheduler {
  private readonly client: KubeClient;
  private readonly env: ClusterEnv;
  private readonly log: Logger;
  private readonly informers: SharedInformers;
  private readonly events: EventRecorder;
  private readonly state = new ClusterState();
  private readonly queue: SchedulingQueue;
  private readonly framework: Framework;
  private readonly bindings = new Set<Promise<void>>();
  private loop: Promise<void> | undefined;

  constructor({ client, env, log }: SchedulerSetup) {
    this.client = client;
    this.env = env;
    this.log = log;
    this.informers = new SharedInformers(env, log, client);
    this.events = new EventRecorder({ env, log, client, component: NAME });
    this.queue = new SchedulingQueue(env);
    this.framework = new Framework(env);
  }

  start(): void {
    this.informers.of(NODES).addHandler({
      onAdd: (node) => this.nodeChanged(node),
      onUpdate: (node, old) => {
        if (isOtherForPods(node, old)) this.nodeChanged(node);
        else this.state.setNode(node);
      },
      onDelete: ({ metadata }) => this.state.deleteNode(metadata.name ?? ''),
    });
    this.informers.of(NAMESPACES).addHandler({
      onAdd: (namespace) => this.namespaceChanged(namespace),
      onUpdate: (namespace, old) => {
        if (hasOtherLabels(namespace, old)) this.namespaceChanged(namespace);
      },
      onDelete: ({ metadata }) => this.state.deleteNamespace(metadata.name ?? ''),
    });
    this.informers.of(PODS).addHandler({
      onAdd: (pod) => this.podChanged(pod),
      onUpdate: (pod, old) => this.podChanged(pod, old),
      onDelete: (pod) => this.podDeleted(pod),
    });
    this.informers.start();
    this.loop = this.run();
  }

  async stop(): Promise<void> {
    this.queue.close();
    await this.informers.stop();
    await this.loop;
    await Promise.all(this.bindings);
    await this.events.stop();
  }

  private nodeChanged(node: Node): void {
    this.state.setNode(node);
    this.queue.moveAll();
  }

  /** Terms of affinity may select it now. */
  private namespaceChanged(namespace: Namespace): void {
    this.state.setNamespace(namespace);
    this.queue.moveAll(hasAffinity);
  }

  private podChanged(pod: Pod, old?: Pod): void {
    const { uid = '' } = pod.metadata;
    if (isPlaced(pod)) {
      this.queue.delete(uid);
      this.state.setPod(pod);
      if (isFinished(pod) && !(old !== undefined && isFinished(old))) this.queue.moveAll();
      else if (isOtherForAffinity(pod, old)) this.queue.moveAll(hasAffinity);
    } else if (!isOurs(pod)) {
      this.queue.delete(uid);
    } else if (this.queue.has(uid) || !this.state.isAssumed(uid)) {
      // A bound pod may be shown once more as it was before.
      this.queue.set(podInfoOf(pod));
    }
  }

  private podDeleted(pod: Pod): void {
    const { uid = '' } = pod.metadata;
    this.queue.delete(uid);
    this.state.deletePod(uid);
    if (isPlaced(pod)) this.queue.moveAll();
  }

  private async run(): Promise<void> {
    if (!(await this.informers.synced())) return;
    for (;;) {
      const info = await this.queue.take();
      if (info === undefined) return;
      const pause = turnsOf(this.env).pause();
      if (pause !== undefined) await pause;
      try {
        this.schedule(info);
      } catch (error) {
        this.log.error('a pod was not scheduled', { pod: info.key, error });
        this.state.forget(info.uid);
        this.queue.retry(info.uid);
      }
    }
  }

  private schedule(info: PodInfo): void {
    const decision = this.framework.decide(info, this.state.cluster());
    if ('failure' in decision) {
      this.queue.failed(info.uid);
      this.track(this.report(info.pod, decision.failure));
      return;
    }
    this.state.assume(info, decision.nodeName);
    this.track(this.bind(info, decision.nodeName));
  }

  private track(work: Promise<void>): void {
    const tracked = work.finally(() => this.bindings.delete(tracked));
    this.bindings.add(tracked);
  }

  /** Never rejects: what failed is tried again. */
  private async bind(info: PodInfo, nodeName: string): Promise<void> {
    const { namespace = '', name = '', uid } = info.pod.metadata;
    const binding: Binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { namespace, name, uid },
      target: { kind: 'Node', name: nodeName },
    };
    try {
      await this.client.resource(PODS, namespace).createSubresource(name, 'binding', binding);
      this.queue.delete(info.uid);
      const about = referenceTo(info.pod);
      const message = `Successfully assigned ${namespace}/${name} to ${nodeName}`;
      this.events.event(about, 'Normal', 'Scheduled', message);
    } catch (error) {
      if (isApiError(error, 'NotFound')) this.queue.delete(info.uid);
      this.state.forget(info.uid);
      this.queue.retry(info.uid);
      this.queue.moveAll();
      this.log.warn('binding a pod failed', { pod: info.key, node: nodeName, error });
    }
  }

  /** Tells the user why the pod has no node: by its condition and an event. */
  private async report(pod: Pod, message: string): Promise<void> {
    const { namespace = '', name = '', generation } = pod.metadata;
    this.events.event(referenceTo(pod), 'Warning', 'FailedScheduling', message);
    const current = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    if (current?.status === 'False' && current.message === message) return;
    const condition = {
      type: 'PodScheduled',
      observedGeneration: generation ?? 0,
      status: 'False',
      lastProbeTime: null,
      lastTransitionTime:
        current?.status === 'False'
          ? (current.lastTransitionTime ?? null)
          : formatTime(this.env.wallMs()),
      reason: 'Unschedulable',
      message,
    };
    try {
      const patch = { status: { conditions: [condition] } };
      await this.client.resource(PODS, namespace).patchStatus(name, 'strategic', patch);
    } catch (error) {
      if (isApiError(error, 'NotFound')) return;
      this.log.warn('condition of a pod was not written', { pod: `${namespace}/${name}`, error });
    }
  }
}

function isPlaced({ spec }: Pod): boolean {
  return (spec.nodeName ?? '') !== '';
}

function isFinished({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** It came to its node, or has other labels: pods may want to be near it now, or no longer be kept away. */
function isOtherForAffinity(pod: Pod, old: Pod | undefined): boolean {
  if (old === undefined || !isPlaced(old)) return true;
  return hasOtherLabels(pod, old);
}

function hasOtherLabels(a: Pod | Namespace, b: Pod | Namespace): boolean {
  return JSON.stringify(a.metadata.labels) !== JSON.stringify(b.metadata.labels);
}

function isOurs(pod: Pod): boolean {
  const { spec, metadata } = pod;
  if (metadata.deletionTimestamp !== undefined || isFinished(pod)) return false;
  if ((spec.schedulingGates ?? []).length > 0) return false;
  return (spec.schedulerName ?? NAME) === NAME;
}

function hasAffinity({ affinity, antiAffinity, pod }: PodInfo): boolean {
  const hasTerms = affinity.length + antiAffinity.length > 0;
  return hasTerms || (pod.spec.topologySpreadConstraints ?? []).length > 0;
}

/** Heartbeats change nodes all the time and make no room. */
function isOtherForPods(a: Node, b: Node): boolean {
  const text = ({ spec, metadata, status }: Node): string =>
    JSON.stringify([spec, metadata.labels, status?.allocatable]);
  return text(a) !== text(b);
}

function referenceTo({ metadata }: Pod): Parameters<EventRecorder['event']>[0] {
  const { namespace, name, uid, resourceVersion } = metadata;
  return { apiVersion: 'v1', kind: 'Pod', namespace, name, uid, resourceVersion };
}
