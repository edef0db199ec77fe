/** From a pod to the place on its node where its streams are (k8s.io/kubernetes, registry/core/pod). */
import type { Node, Pod } from '../../../gen/kube-core-v1.js';
import { badRequest, notFound } from '../../api/status.js';
import { kubeletAddress, type KubeletAddress } from './kubelet-link.js';

/** Current objects; undefined when there is none. */
export interface PodObjects {
  pod(namespace: string, name: string): Promise<Pod | undefined>;
  node(name: string): Promise<Node | undefined>;
}

/** Throws: ApiError 404. */
export async function findPod(objects: PodObjects, namespace: string, name: string): Promise<Pod> {
  const pod = await objects.pod(namespace, name);
  if (pod === undefined) throw notFound({ group: '', resource: 'pods' }, name);
  return pod;
}

/** The container that was asked for, or the pod's only one. Throws: ApiError 400. */
export function chooseContainer({ metadata, spec }: Pod, wanted: string): string {
  const pod = metadata.name ?? '';
  const containers = namesOf(spec.containers);
  const initContainers = namesOf(spec.initContainers);
  if (wanted !== '') {
    const all = [...containers, ...initContainers, ...namesOf(spec.ephemeralContainers)];
    if (all.includes(wanted)) return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${pod}`);
  }
  const [only, ...others] = containers;
  if (only !== undefined && others.length === 0) return only;
  const head = `a container name must be specified for pod ${pod}`;
  if (only === undefined) throw badRequest(head);
  const choice = `${head}, choose one of: [${containers.join(' ')}]`;
  throw badRequest(
    initContainers.length === 0
      ? choice
      : `${choice} or one of the init containers: [${initContainers.join(' ')}]`,
  );
}

function namesOf(containers: readonly { readonly name?: string | undefined }[] = []): string[] {
  return containers.map(({ name = '' }) => name);
}

/** The kubelet of the pod's node; undefined while the pod has none. Throws: ApiError 404 or 500. */
export async function kubeletOf(
  objects: PodObjects,
  { spec }: Pod,
): Promise<KubeletAddress | undefined> {
  const { nodeName = '' } = spec;
  if (nodeName === '') return undefined;
  const node = await objects.node(nodeName);
  if (node === undefined) throw notFound({ group: '', resource: 'nodes' }, nodeName);
  return kubeletAddress(node);
}

/** Path of the kubelet's API, with a query if there is one. Names are sorted, as Go writes queries. */
export function kubeletPath(parts: readonly string[], query: URLSearchParams): string {
  query.sort();
  const text = query.toString();
  const path = parts.map((part) => `/${encodeURIComponent(part)}`).join('');
  return text === '' ? path : `${path}?${text}`;
}
