/** POST .../pods/NAME/binding: the scheduler's word on where a pod runs. */
import type { Binding, Pod, PodCondition } from '../../../gen/kube-core-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import { decodeObject } from '../../api/codec/decode.js';
import { apiError, badRequest, conflict } from '../../api/status.js';
import type { ClusterEnv } from '../../env.js';
import { timeText } from '../registry/metadata.js';
import type { SubresourceHandler } from '../registry/resource-step.js';
import { parseWriteQuery } from '../registry/write-options.js';
import type { UpdateRules } from '../registry/update-rules.js';
import type { Writer } from '../registry/writer.js';

const OF = { group: '', resource: 'pods/binding' };

const BINDING = { group: '', version: 'v1', kind: 'Binding', message: 'core.v1.Binding' };

/** A binding changes what nobody else may, counts as no change of the spec, and is not tracked. */
const AS_BOUND: UpdateRules = {
  prepareUpdate: () => undefined,
  validateUpdate: () => [],
  countsGeneration: false,
  resetFields: undefined,
};

/** `topologyOf` gives the labels that a pod gets of its node. */
export function bindingHandler(
  writer: Writer,
  env: ClusterEnv,
  topologyOf: (nodeName: string) => Promise<Readonly<Record<string, string>>>,
): SubresourceHandler {
  return async ({ info, request, user, warnings }, pods) => {
    const query = parseWriteQuery(request.query, request.header('user-agent'), 'CreateOptions');
    const contentType = request.header('content-type') ?? '';
    const decoded = decodeObject<Binding>(await request.body(), contentType, BINDING);
    const binding = decoded.object;
    const { name = info.name } = binding.metadata;
    if (name !== info.name) {
      throw badRequest('name in URL does not match name in Binding object');
    }
    checkBinding(binding);
    const topology = await topologyOf(binding.target.name ?? '');
    if (Object.keys(topology).length > 0)
      binding.metadata.labels = { ...binding.metadata.labels, ...topology };
    const { manager, isDryRun } = query;
    const context = { user, manager, isDryRun, subresource: 'binding', warnings };
    const change = (current: KubeObject): KubeObject =>
      bound(pods, current, binding, timeText(env));
    await writer.update(pods, info.namespace, info.name, context, change, AS_BOUND);
    const value = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
    return { type: 'value', status: 201, value };
  };
}

/** Throws: ApiError 500, as the real server answers a binding that is not valid. */
function checkBinding({ target }: Binding): void {
  const { kind = '', name = '' } = target;
  if (kind !== '' && kind !== 'Node') {
    throw apiError(
      500,
      '',
      `target.kind: Unsupported value: ${JSON.stringify(kind)}: supported values: "Node", "<empty>"`,
    );
  }
  if (name === '') throw apiError(500, '', 'target.name: Required value');
}

/** The pod with its node. Throws: ApiError 409 when it may not be bound. */
function bound(pods: Kind, current: KubeObject, binding: Binding, nowText: string): KubeObject {
  const pod = structuredClone(current) as Pod;
  const name = pod.metadata.name ?? '';
  const uid = binding.metadata.uid ?? '';
  if (uid !== '' && uid !== pod.metadata.uid) {
    const key = `/registry/${pods.storagePrefix}${pod.metadata.namespace ?? ''}/${name}`;
    throw conflict(
      pods,
      name,
      `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid ?? ''}`,
    );
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw conflict(OF, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  if ((pod.spec.nodeName ?? '') !== '') {
    const node = JSON.stringify(pod.spec.nodeName);
    throw conflict(OF, name, `pod ${name} is already assigned to node ${node}`);
  }
  if ((pod.spec.schedulingGates ?? []).length > 0) {
    throw conflict(OF, name, `pod ${name} has non-empty .spec.schedulingGates`);
  }
  pod.spec.nodeName = binding.target.name;
  const { annotations, labels } = binding.metadata;
  if (annotations !== undefined) {
    pod.metadata.annotations = { ...pod.metadata.annotations, ...annotations };
  }
  if (labels !== undefined) pod.metadata.labels = { ...pod.metadata.labels, ...labels };
  pod.status = {
    ...pod.status,
    conditions: withScheduled(pod.status?.conditions ?? [], nowText),
  };
  return pod;
}

function withScheduled(conditions: readonly PodCondition[], nowText: string): PodCondition[] {
  const scheduled = { type: 'PodScheduled', status: 'True', lastTransitionTime: nowText };
  const others = conditions.filter(({ type }) => type !== 'PodScheduled');
  return [...others, scheduled];
}
