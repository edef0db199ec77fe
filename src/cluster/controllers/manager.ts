/**
 * The controllers of the cluster, on one set of informers. With an identity, the manager competes
 * with others for the Lease `kube-system/kube-controller-manager`, and works only while it leads.
 */
import type { Logger } from '../../base/observe/logger.js';
import type { KubeClient } from '../client/client.js';
import { EventRecorder } from '../client/event-recorder.js';
import { LeaderElector } from '../client/leader-election.js';
import { SharedInformers } from '../client/shared-informers.js';
import { WorkQueue } from '../client/work-queue.js';
import { runWorkers } from '../client/workers.js';
import type { ClusterEnv } from '../env.js';
import type { ControllerContext, Loop } from './controller.js';
import { deployments } from './deployment.js';
import { endpoints } from './endpoints.js';
import { endpointSlices } from './endpointslice.js';
import { garbageCollector } from './garbage-collector.js';
import { namespaces } from './namespace.js';
import { nodeLifecycle } from './node-lifecycle.js';
import { nodeTtl } from './node-ttl.js';
import { podGarbage } from './podgc.js';
import { replicaSets } from './replicaset.js';
import { rootCaPublisher, serviceAccounts } from './service-accounts.js';
import { taintEviction } from './taint-eviction.js';

export interface ControllersSetup {
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  /** Certificate of the cluster's CA, as PEM, which every namespace gets. */
  readonly rootCa: string;
  /** Of this process among those that want to lead; without it this one is alone. */
  readonly identity?: string;
}

export interface Controllers {
  /** Resolves when nothing is written any more. */
  stop(): Promise<void>;
}

export function startControllers(setup: ControllersSetup): Controllers {
  const { client, env, log, identity } = setup;
  const stopping = new AbortController();
  const ended =
    identity === undefined
      ? new Term(setup, stopping.signal).run()
      : new LeaderElector({
          env,
          log,
          client,
          namespace: 'kube-system',
          name: 'kube-controller-manager',
          identity,
          lead: (signal) => new Term(setup, signal).run(),
        }).run(stopping.signal);
  return {
    stop: () => {
      stopping.abort();
      return ended;
    },
  };
}

/** The controllers from when this process begins to lead until it ends. */
class Term implements ControllerContext {
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly informers: SharedInformers;
  readonly signal: AbortSignal;
  private readonly loops: { readonly queue: WorkQueue; readonly loop: Loop }[] = [];
  private readonly recorders: EventRecorder[] = [];

  constructor({ client, env, log, rootCa }: ControllersSetup, signal: AbortSignal) {
    this.client = client;
    this.env = env;
    this.log = log;
    this.signal = signal;
    this.informers = new SharedInformers(env, log, client);
    serviceAccounts(this);
    rootCaPublisher(this, rootCa);
    replicaSets(this);
    deployments(this);
    endpointSlices(this);
    endpoints(this);
    namespaces(this);
    garbageCollector(this);
    nodeLifecycle(this);
    nodeTtl(this);
    taintEviction(this);
    podGarbage(this);
  }

  loop(loop: Loop): WorkQueue {
    const queue = new WorkQueue(this.env);
    this.loops.push({ queue, loop });
    return queue;
  }

  recorder(component: string): EventRecorder {
    const { env, log, client } = this;
    const recorder = new EventRecorder({ env, log, client, component });
    this.recorders.push(recorder);
    return recorder;
  }

  /** Resolves when nothing is written any more. */
  async run(): Promise<void> {
    const stopped = aborted(this.signal).then(() => this.end());
    this.informers.start();
    if (await this.informers.synced()) await Promise.all(this.loops.map((one) => this.work(one)));
    await stopped;
    await Promise.all(this.recorders.map((recorder) => recorder.stop()));
  }

  private async work({ queue, loop }: Term['loops'][number]): Promise<void> {
    const { env, signal } = this;
    const log = this.log.child({ controller: loop.name });
    const reconcile = async (key: string): Promise<void> => {
      if (!signal.aborted) await loop.reconcile(key);
    };
    await runWorkers({ env, log, queue, count: loop.workers, reconcile });
  }

  private async end(): Promise<void> {
    for (const { queue } of this.loops) queue.shutDown();
    await this.informers.stop();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
