/**
 * Tells kubelets by an annotation of their nodes for how long they may keep Secrets and ConfigMaps
 * without looking again (k8s.io/kubernetes/pkg/controller/ttl). Only kubelets that do not watch
 * them need it.
 */
import { isApiError } from '../api/status.js';
import { NODES } from '../client/resource-types.js';
import { enqueueEach, type ControllerContext } from './controller.js';

const ANNOTATION = 'node.alpha.kubernetes.io/ttl';

/** Up to which number of nodes how many seconds; more than the last get its seconds. */
const SECONDS: readonly (readonly [nodes: number, seconds: number])[] = [
  [100, 0],
  [500, 15],
  [1000, 30],
  [2000, 60],
  [10_000, 300],
];

export function nodeTtl(context: ControllerContext): void {
  const { client, informers } = context;
  const nodes = informers.of(NODES);
  const reconcile = async (name: string): Promise<void> => {
    const node = nodes.getByKey(name);
    if (node === undefined) return;
    const count = nodes.list().length;
    const [, seconds] = SECONDS.find(([most]) => count <= most) ?? [0, 300];
    const wanted = String(seconds);
    const { uid, annotations = {} } = node.metadata;
    if (annotations[ANNOTATION] === wanted) return;
    const patch = { metadata: { uid, annotations: { [ANNOTATION]: wanted } } };
    try {
      await client.resource(NODES).patch(name, 'strategic', patch);
    } catch (error) {
      // Another node of the name is in the queue already.
      if (!isApiError(error, 'NotFound') && !isApiError(error, 'Conflict')) throw error;
    }
  };
  enqueueEach(nodes, context.loop({ name: 'ttl', workers: 1, reconcile }));
}
