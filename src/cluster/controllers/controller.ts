/**
 * Frame of all controllers: one set of informers, a work queue each, and level-triggered
 * `reconcile(key)` over the caches. A controller is set up before the informers start: it adds its
 * handlers, and opens one loop for each kind of work.
 */
import type { Logger } from '../../base/observe/logger.js';
import type { KubeClient } from '../client/client.js';
import type { EventRecorder } from '../client/event-recorder.js';
import { keyOf, type Informer } from '../client/informer.js';
import type { SharedInformers } from '../client/shared-informers.js';
import type { WorkQueue } from '../client/work-queue.js';
import type { KubeObject } from '../api/object.js';
import type { ClusterEnv } from '../env.js';

export interface Loop {
  /** For messages: `deployment`. */
  readonly name: string;
  /** Keys reconciled at the same time, at most. */
  readonly workers: number;
  /** Brings what the key names to where it should be. It may throw anything: the key comes again. */
  readonly reconcile: (key: string) => Promise<void>;
}

export interface ControllerContext {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: KubeClient;
  readonly informers: SharedInformers;
  /** Aborts when the controllers must write no more. */
  readonly signal: AbortSignal;
  /** A queue whose keys are reconciled once the informers have their content. */
  loop(loop: Loop): WorkQueue;
  /** Events reported by `component`, as `deployment-controller`. */
  recorder(component: string): EventRecorder;
}

/** Every add, change and deletion of an object puts its own key into the queue. */
export function enqueueEach<T extends KubeObject>(informer: Informer<T>, queue: WorkQueue): void {
  const enqueue = (object: T): void => queue.add(keyOf(object));
  informer.addHandler({ onAdd: enqueue, onUpdate: enqueue, onDelete: enqueue });
}
