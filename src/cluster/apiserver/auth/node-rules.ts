/**
 * Rights of a node on its own objects, and on those its pods refer to: the Node authorizer of
 * Kubernetes and the part of NodeRestriction that a URL shows. A node that is taken over thus tells
 * no secrets of pods that run elsewhere.
 */
import type { Pod } from '../../../gen/kube-core-v1.js';
import { DNS_NAMESPACE, dnsSliceOf } from '../../api/service-names.js';
import type { User } from '../pipeline/exchange.js';
import type { Attributes, Decision } from './decision.js';

/** Pods as the API server's cache has them. */
export interface NodeObjects {
  pod(namespace: string, name: string): Pod | undefined;
  podsOn(nodeName: string): Iterable<Pod>;
}

const PREFIX = 'system:node:';
const ALLOWED: Decision = { isAllowed: true };
const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);
const NODE_WRITES: ReadonlySet<string> = new Set(['update', 'patch']);
const SLICE_VERBS: ReadonlySet<string> = new Set(['get', 'create', 'update']);
const LEASE_VERBS: ReadonlySet<string> = new Set(['get', 'create', 'update', 'patch', 'delete']);

/** Name of the node that a user is; undefined for other users. */
export function nodeNameOf(user: User): string | undefined {
  const isNode = user.groups.includes('system:nodes') && user.name.startsWith(PREFIX);
  const name = user.name.slice(PREFIX.length);
  return isNode && name !== '' ? name : undefined;
}

export function decideForNode(
  node: string,
  attributes: Attributes,
  objects: NodeObjects,
): Decision {
  const { info } = attributes;
  const denied = (reason = ''): Decision => ({ isAllowed: false, reason });
  const unrelated = (): Decision =>
    denied(`no relationship found between node '${node}' and this object`);
  switch (`${info.group}/${info.resource}`) {
    case '/nodes':
      return ofNode(node, attributes, denied);
    case '/pods':
      return ofPod(node, attributes, objects, denied, unrelated);
    case '/secrets':
    case '/configmaps':
      if (!READS.has(info.verb) || info.subresource !== '') return denied();
      return isReferenced(node, attributes, objects) ? ALLOWED : unrelated();
    case '/serviceaccounts':
      if (info.verb !== 'create' || info.subresource !== 'token') return denied();
      return isReferenced(node, attributes, objects) ? ALLOWED : unrelated();
    case 'coordination.k8s.io/leases':
      if (!LEASE_VERBS.has(info.verb) || info.subresource !== '') return denied();
      if (info.namespace !== 'kube-node-lease')
        return denied(`can only access leases in the "kube-node-lease" system namespace`);
      if (info.verb === 'create' || info.name === node) return ALLOWED;
      return denied('can only access node lease with the same name as the requesting node');
    case 'discovery.k8s.io/endpointslices':
      return ofDnsSlice(node, attributes, denied);
    default:
      return denied();
  }
}

type Deny = (reason?: string) => Decision;

function ofDnsSlice(node: string, { info }: Attributes, denied: Deny): Decision {
  const name = dnsSliceOf(node);
  if (!SLICE_VERBS.has(info.verb) || info.subresource !== '') return denied();
  const isOwn = info.verb === 'create' ? info.name === '' : info.name === name;
  if (info.namespace === DNS_NAMESPACE && isOwn) return ALLOWED;
  return denied(`can only access endpoint slice '${name}' in the "kube-system" system namespace`);
}

/** As the admission plug-in NodeRestriction says no. */
function restricted(message: string): Decision {
  return { isAllowed: false, reason: message, message };
}

function ofNode(node: string, { info }: Attributes, denied: Deny): Decision {
  const isOwn = info.name === node;
  if (READS.has(info.verb) && info.subresource === '') {
    if (isOwn) return ALLOWED;
    const which = info.name === '' ? 'all nodes' : `'${info.name}'`;
    return denied(`node '${node}' cannot read ${which}, only its own Node object`);
  }
  const isWrite = NODE_WRITES.has(info.verb) && ['', 'status'].includes(info.subresource);
  if (!isWrite) return denied();
  if (isOwn) return ALLOWED;
  return restricted(`node "${node}" is not allowed to modify node "${info.name}"`);
}

function ofPod(
  node: string,
  { info, query }: Attributes,
  objects: NodeObjects,
  denied: Deny,
  unrelated: () => Decision,
): Decision {
  const { verb, subresource, namespace, name } = info;
  if ((verb === 'list' || verb === 'watch') && subresource === '') {
    if (selectsNode(query, node)) return ALLOWED;
    return denied('can only list/watch pods with spec.nodeName field selector');
  }
  const what = `${verb} ${subresource}`;
  const own = OWN_POD[what];
  if (own === undefined) return denied();
  const pod = objects.pod(namespace, name);
  // Of a pod that is gone the node may hear that it is.
  if (pod === undefined || pod.spec?.nodeName === node) return ALLOWED;
  if (own === '') return unrelated();
  return restricted(`node "${node}" can only ${own} pods with spec.nodeName set to itself`);
}

/** Verb and subresource -> how a refusal names it; empty for the general text. */
const OWN_POD: Readonly<Record<string, string>> = {
  'get ': '',
  'delete ': 'delete',
  'get status': '',
  'update status': 'update pod status for',
  'patch status': 'update pod status for',
  'create eviction': 'evict',
};

function selectsNode(query: URLSearchParams, node: string): boolean {
  return (query.get('fieldSelector') ?? '').split(',').some((term) => {
    const match = /^spec\.nodeName==?(.*)$/.exec(term.trim());
    return match?.[1] === node;
  });
}

/** A pod of the node names the object; a list or watch must ask for one name. */
function isReferenced(node: string, { info }: Attributes, objects: NodeObjects): boolean {
  if (info.name === '') return false;
  for (const pod of objects.podsOn(node)) {
    if ((pod.metadata?.namespace ?? '') !== info.namespace) continue;
    if (knownReferencesOf(pod).has(`${info.resource}/${info.name}`)) return true;
  }
  return false;
}

const references = new WeakMap<Pod, ReadonlySet<string>>();

/** References of a pod that is stored, and so does not change. */
function knownReferencesOf(pod: Pod): ReadonlySet<string> {
  let found = references.get(pod);
  if (found === undefined) {
    found = referencesOf(pod);
    references.set(pod, found);
  }
  return found;
}

/** `secrets/NAME`, `configmaps/NAME` and `serviceaccounts/NAME` that a pod refers to. */
export function referencesOf({ spec }: Pod): Set<string> {
  const found = new Set<string>();
  const add = (resource: string, name: string | undefined): void => {
    if (name !== undefined && name !== '') found.add(`${resource}/${name}`);
  };
  add('serviceaccounts', spec?.serviceAccountName);
  for (const { name } of spec?.imagePullSecrets ?? []) add('secrets', name);
  for (const volume of spec?.volumes ?? []) {
    add('secrets', volume.secret?.secretName);
    add('configmaps', volume.configMap?.name);
    for (const source of volume.projected?.sources ?? []) {
      add('secrets', source.secret?.name);
      add('configmaps', source.configMap?.name);
    }
  }
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  for (const { env, envFrom } of [...containers, ...(spec?.ephemeralContainers ?? [])]) {
    for (const { valueFrom } of env ?? []) {
      add('secrets', valueFrom?.secretKeyRef?.name);
      add('configmaps', valueFrom?.configMapKeyRef?.name);
    }
    for (const source of envFrom ?? []) {
      add('secrets', source.secretRef?.name);
      add('configmaps', source.configMapRef?.name);
    }
  }
  return found;
}
