/**
 * Deletes pods that nobody else would: on nodes that are gone, on their way out without ever
 * having had a node, and the oldest of too many that have ended.
 */
import type { Pod } from '../../gen/kube-core-v1.js';
import { isApiError } from '../api/status.js';
import { NODES, PODS } from '../client/resource-types.js';
import { together } from './batches.js';
import type { ControllerContext } from './controller.js';
import { markDisruption } from './disruption.js';
import { hasEnded } from './pods.js';
import { byAge, isGoing } from './references.js';

const PERIOD_MS = 20_000;
/** Time for which a node must be missing before its pods are deleted. */
const QUARANTINE_MS = 40_000;
/** Pods that have ended, in the whole cluster. */
const MAX_ENDED = 12_500;
const PASS = 'pass';

export function podGarbage(context: ControllerContext): void {
  const { env, client, informers } = context;
  const pods = informers.of(PODS);
  const nodes = informers.of(NODES);
  /** Monotonic milliseconds at which each missing node was first missed, by its name. */
  const missing = new Map<string, number>();

  const isGone = async (nodeName: string): Promise<boolean> => {
    const sinceMs = missing.get(nodeName) ?? env.monoMs();
    missing.set(nodeName, sinceMs);
    if (env.monoMs() - sinceMs < QUARANTINE_MS) return false;
    try {
      await client.resource(NODES).get(nodeName);
      return false;
    } catch (error) {
      return isApiError(error, 'NotFound');
    }
  };

  const remove = async (pod: Pod): Promise<void> => {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    try {
      await client
        .resource(PODS, namespace)
        .delete(name, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  };

  const removeLost = async (pod: Pod): Promise<void> => {
    const why = { reason: 'DeletionByPodGC', message: 'PodGC: node no longer exists' };
    if (await markDisruption(context, pod, { ...why, phase: 'Failed' })) await remove(pod);
  };

  const pass = async (): Promise<void> => {
    queue.addAfter(PASS, PERIOD_MS);
    const all = pods.list();
    const lost = all.filter(({ spec }) => {
      const { nodeName = '' } = spec;
      return nodeName !== '' && nodes.get('', nodeName) === undefined;
    });
    const names = new Set(lost.map(({ spec }) => spec.nodeName ?? ''));
    for (const name of missing.keys()) if (!names.has(name)) missing.delete(name);
    const gone = new Set<string>();
    for (const name of names) if (await isGone(name)) gone.add(name);
    const ended = all.filter((pod) => hasEnded(pod) && !isGoing(pod)).sort(byAge);
    const surplus = ended.slice(0, Math.max(0, ended.length - MAX_ENDED));
    const homeless = all.filter((pod) => isGoing(pod) && (pod.spec.nodeName ?? '') === '');
    const error = await together([
      ...lost.filter(({ spec }) => gone.has(spec.nodeName ?? '')).map(removeLost),
      ...surplus.map(remove),
      ...homeless.map(remove),
    ]);
    if (error !== undefined) throw error;
  };

  const queue = context.loop({ name: 'podgc', workers: 1, reconcile: pass });
  queue.add(PASS);
}
