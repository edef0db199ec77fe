import type { Pod } from '../../../gen/kube-core-v1.js';
import type { ResourceType } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient } from '../../client/client.js';
import { PODS } from '../../client/resource-types.js';
import { supports, type DiscoveredResource } from '../discovery.js';
import { hasEnded } from '../pods.js';

/** Objects of one resource that a deletion has not taken away yet. */
export interface Remaining {
  readonly type: ResourceType;
  readonly count: number;
  /** Of all of them, with repetitions. */
  readonly finalizers: readonly string[];
  /** Nothing is known that they could wait for. */
  readonly isUnexpected: boolean;
}

/**
 * Deletes all objects of one resource in a namespace, and looks what is left. `sinceMs`: how long
 * the deletion of the namespace has taken so far. Throws: ApiError.
 */
export async function deleteAll(
  client: KubeClient,
  type: DiscoveredResource,
  namespace: string,
  sinceMs: number,
): Promise<Remaining | undefined> {
  const resource = client.resource(type, namespace);
  try {
    if (supports(type, 'deletecollection')) {
      await resource.deleteCollection({ propagationPolicy: 'Background' });
    } else if (supports(type, 'list')) {
      await deleteEach(client, type, namespace);
    }
    if (!supports(type, 'list')) return undefined;
    const { items } = await resource.list();
    return items.length === 0 ? undefined : remainingOf(type, items, sinceMs);
  } catch (error) {
    // The resource itself has gone since it was discovered.
    if (isApiError(error, 'NotFound') || isApiError(error, 'MethodNotAllowed')) return undefined;
    throw error;
  }
}

async function deleteEach(
  client: KubeClient,
  type: DiscoveredResource,
  namespace: string,
): Promise<void> {
  const resource = client.resource(type, namespace);
  for (const { metadata } of (await resource.list()).items) {
    try {
      await resource.delete(metadata.name ?? '', { propagationPolicy: 'Background' });
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }
}

function remainingOf(
  type: DiscoveredResource,
  items: readonly KubeObject[],
  sinceMs: number,
): Remaining {
  const finalizers = items.flatMap(({ metadata }) => metadata.finalizers ?? []);
  const isPods = type.group === PODS.group && type.resource === PODS.resource;
  // The collection is of pods when its resource is.
  const graceMs = isPods ? longestGraceMs(items as readonly Pod[]) : 0;
  const isUnexpected = finalizers.length === 0 && graceMs <= sinceMs;
  return { type, count: items.length, finalizers, isUnexpected };
}

function longestGraceMs(pods: readonly Pod[]): number {
  const running = pods.filter((pod) => !hasEnded(pod));
  return 1000 * Math.max(0, ...running.map(({ spec }) => spec.terminationGracePeriodSeconds ?? 0));
}
