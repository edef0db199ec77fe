import type { Pod } from '../../gen/kube-core-v1.js';
import { isApiError } from '../api/status.js';
import { formatTime } from '../api/time.js';
import { PODS } from '../client/resource-types.js';
import type { ControllerContext } from './controller.js';
import { conditionOf, hasEnded } from './pods.js';

export interface Disruption {
  readonly reason: string;
  readonly message: string;
  /** Of a pod that nobody else will bring to an end. */
  readonly phase?: 'Failed';
}

/**
 * Notes on a pod why it is about to be deleted, for owners that count failures (KEP-3329). False
 * when the pod is gone. Throws: ApiError.
 */
export async function markDisruption(
  { client, env }: ControllerContext,
  pod: Pod,
  { reason, message, phase }: Disruption,
): Promise<boolean> {
  const { namespace = '', name = '', uid = '', generation = 0 } = pod.metadata;
  const isMarked = conditionOf(pod, 'DisruptionTarget')?.reason === reason;
  const isEnded = phase === undefined || hasEnded(pod);
  if (isMarked && isEnded) return true;
  const condition = {
    type: 'DisruptionTarget',
    observedGeneration: generation,
    status: 'True',
    lastProbeTime: null,
    lastTransitionTime: formatTime(env.wallMs()),
    reason,
    message,
  };
  const status = { ...(isEnded ? {} : { phase }), conditions: [condition] };
  try {
    await client
      .resource(PODS, namespace)
      .patchStatus(name, 'strategic', { metadata: { uid }, status });
    return true;
  } catch (error) {
    if (isApiError(error, 'NotFound')) return false;
    throw error;
  }
}
