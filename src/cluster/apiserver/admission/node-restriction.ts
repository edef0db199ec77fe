/**
 * Limits of nodes that only the written object shows; the rest is the authorizer's (node-rules.ts).
 * A node that is taken over can thus not steer pods to itself, take tokens of other nodes' pods, or
 * answer for others (the admission plugin NodeRestriction, CVE-2025-5187 included).
 */
import type { TokenRequest } from '../../../gen/kube-authentication-v1.js';
import type { EndpointSlice } from '../../../gen/kube-discovery-v1.js';
import type { Node, Pod } from '../../../gen/kube-core-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import { isMirrorPod, MIRROR_ANNOTATION } from '../../api/kinds/core/pod/mirror.js';
import type { JsonValue, KubeObject } from '../../api/object.js';
import { jsonEqual } from '../../api/patch/equal.js';
import { DNS_SERVICE, dnsSliceOf, SERVICE_NAME_LABEL } from '../../api/service-names.js';
import { forbidden, notFound } from '../../api/status.js';
import { nodeNameOf, referencesOf } from '../auth/node-rules.js';
import type { AdmissionPlugin, AdmissionRequest, ObjectLookup } from './admission.js';

/** Labels of the Kubernetes domains that a kubelet sets itself (k8s.io/kubelet/pkg/apis). */
const KUBELET_LABELS: ReadonlySet<string> = new Set([
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'beta.kubernetes.io/os',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'kubernetes.io/arch',
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'node.kubernetes.io/instance-type',
  'node.kubernetes.io/windows-build',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
]);
const KUBELET_DOMAINS = ['kubelet.kubernetes.io', 'node.kubernetes.io'];
const RESTRICTED_DOMAIN = 'node-restriction.kubernetes.io';
const KUBERNETES_DOMAINS = ['kubernetes.io', 'k8s.io'];

export interface NodeRestrictionKinds {
  readonly nodes: Kind;
  readonly pods: Kind;
  readonly leases: Kind;
  readonly endpointSlices: Kind;
  readonly serviceAccounts: Kind;
}

type Refuse = (why: string) => Error;

export function nodeRestriction(
  kinds: NodeRestrictionKinds,
  lookup: ObjectLookup,
): AdmissionPlugin {
  const checks = new Map<Kind, (node: string, request: AdmissionRequest) => Promise<void> | void>([
    [kinds.nodes, checkNode],
    [kinds.pods, (node, request) => checkPod(node, request, kinds.nodes, lookup)],
    [kinds.leases, checkLease],
    [kinds.endpointSlices, checkSlice],
    [kinds.serviceAccounts, (node, request) => checkToken(node, request, kinds.pods, lookup)],
  ]);
  return {
    name: 'NodeRestriction',
    mutate(request) {
      const node = nodeNameOf(request.user);
      return node === undefined ? undefined : checks.get(request.kind)?.(node, request);
    },
  };
}

function refuser({ kind, name }: AdmissionRequest): Refuse {
  return (why) => forbidden(kind, name, why);
}

function checkNode(node: string, request: AdmissionRequest): void {
  const refuse = refuser(request);
  const { name, operation } = request;
  if (name !== node) throw refuse(`node "${node}" is not allowed to modify node "${name}"`);
  const next = request.object as Node | undefined;
  const old = request.old as Node | undefined;
  if (next === undefined) return;
  if (operation === 'UPDATE') {
    if (!isSame(next.spec.taints ?? [], old?.spec.taints ?? [])) {
      throw refuse(`node "${node}" is not allowed to modify taints`);
    }
    if (!isSame(next.metadata.ownerReferences ?? [], old?.metadata.ownerReferences ?? [])) {
      throw refuse(`node "${node}" is not allowed to modify ownerReferences`);
    }
  }
  const wrong = changedLabels(next, old).filter(isForbiddenLabel).sort().join(', ');
  if (wrong === '') return;
  throw refuse(
    operation === 'CREATE'
      ? `node "${node}" is not allowed to set the following labels: ${wrong}`
      : `is not allowed to modify labels: ${wrong}`,
  );
}

function changedLabels(next: KubeObject, old: KubeObject | undefined): string[] {
  const after = next.metadata.labels ?? {};
  const before = old?.metadata.labels ?? {};
  const keys = new Set([...Object.keys(after), ...Object.keys(before)]);
  return [...keys].filter((key) => after[key] !== before[key]);
}

function isForbiddenLabel(key: string): boolean {
  const slash = key.indexOf('/');
  const domain = slash === -1 ? '' : key.slice(0, slash);
  const isIn = (parent: string): boolean => domain === parent || domain.endsWith(`.${parent}`);
  if (isIn(RESTRICTED_DOMAIN)) return true;
  const isKubelets = KUBELET_LABELS.has(key) || KUBELET_DOMAINS.some(isIn);
  return KUBERNETES_DOMAINS.some(isIn) && !isKubelets;
}

async function checkPod(
  node: string,
  request: AdmissionRequest,
  nodes: Kind,
  lookup: ObjectLookup,
): Promise<void> {
  const refuse = refuser(request);
  const { operation, subresource } = request;
  if (operation === 'UPDATE' && subresource === 'status') {
    const after = request.object?.metadata.labels ?? {};
    if (isSame(after, request.old?.metadata.labels ?? {})) return;
    throw refuse(`node "${node}" cannot update labels through pod status`);
  }
  if (operation !== 'CREATE' || subresource !== '') return;
  const pod = request.object as Pod;
  if (!isMirrorPod(pod)) {
    throw refuse(
      `pod does not have "${MIRROR_ANNOTATION}" annotation, node "${node}" can only create mirror pods`,
    );
  }
  if (pod.spec.nodeName !== node) {
    throw refuse(`node "${node}" can only create pods with spec.nodeName set to itself`);
  }
  const uid = checkOwner(node, pod, refuse);
  const stored = await lookup.find(nodes, node);
  if (stored === undefined) throw notFound(nodes, node);
  const known = stored.object.metadata.uid ?? '';
  if (uid !== known) throw refuse(`node ${node} UID mismatch: expected ${uid} got ${known}`);
  checkReferences(node, pod, refuse);
}

/** A mirror pod is its node's own; returns the uid that it names. */
function checkOwner(node: string, { metadata }: Pod, refuse: Refuse): string {
  const owners = metadata.ownerReferences ?? [];
  const [owner] = owners;
  const only = `node "${node}" can only create pods with`;
  if (owners.length > 1) throw refuse(`${only} a single owner reference set to itself`);
  if (owner?.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node) {
    throw refuse(`${only} an owner reference set to itself`);
  }
  if (owner.controller !== true) {
    throw refuse(`${only} a controller owner reference set to itself`);
  }
  if (owner.blockOwnerDeletion === true) {
    throw refuse(`node "${node}" must not set blockOwnerDeletion on an owner reference`);
  }
  return owner.uid;
}

function checkReferences(node: string, pod: Pod, refuse: Refuse): void {
  const not = (what: string): Error =>
    refuse(`node "${node}" can not create pods that reference ${what}`);
  const resources = new Set([...referencesOf(pod)].map((reference) => reference.split('/')[0]));
  if (resources.has('serviceaccounts')) throw not('a service account');
  if (resources.has('secrets')) throw not('secrets');
  if (resources.has('configmaps')) throw not('configmaps');
  for (const { projected, persistentVolumeClaim } of pod.spec.volumes ?? []) {
    if (persistentVolumeClaim !== undefined) throw not('persistentvolumeclaims');
    const isTrust = (projected?.sources ?? []).some((one) => one.clusterTrustBundle !== undefined);
    if (isTrust) throw not('clustertrustbundles');
  }
}

function checkLease(node: string, request: AdmissionRequest): void {
  if (request.name === node) return;
  throw refuser(request)('can only access node lease with the same name as the requesting node');
}

/** Each node writes one slice of the service kube-dns, with nobody but itself in it. */
function checkSlice(node: string, request: AdmissionRequest): void {
  const refuse = refuser(request);
  const slice = dnsSliceOf(node);
  if (request.name !== slice) {
    throw refuse(`can only access endpoint slice '${slice}' in the "kube-system" system namespace`);
  }
  if (request.object === undefined) return;
  const { metadata, endpoints } = request.object as EndpointSlice;
  if (metadata.labels?.[SERVICE_NAME_LABEL] !== DNS_SERVICE) {
    throw refuse(`node "${node}" can only publish endpoints of the service kube-system/kube-dns`);
  }
  if ((endpoints ?? []).some(({ nodeName }) => nodeName !== node)) {
    throw refuse(`node "${node}" can only publish endpoints with nodeName set to itself`);
  }
}

async function checkToken(
  node: string,
  request: AdmissionRequest,
  pods: Kind,
  lookup: ObjectLookup,
): Promise<void> {
  if (request.operation !== 'CREATE' || request.subresource !== 'token') return;
  const refuse = refuser(request);
  // A request may come without a specification.
  const { spec } = request.object as Partial<TokenRequest>;
  const bound = spec?.boundObjectRef;
  const name = bound?.name ?? '';
  if (bound?.apiVersion !== 'v1' || bound.kind !== 'Pod' || name === '') {
    throw refuse('node requested token not bound to a pod');
  }
  const uid = bound.uid ?? '';
  if (uid === '') throw refuse('node requested token with a pod binding without a uid');
  const stored = await lookup.find(pods, `${request.namespace}/${name}`);
  if (stored === undefined) throw notFound(pods, name);
  const pod = stored.object as Pod;
  if (pod.metadata.uid !== uid) {
    throw refuse(
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  if (pod.spec.nodeName !== node) {
    throw refuse('node requested token bound to a pod scheduled on a different node');
  }
}

function isSame(a: unknown, b: unknown): boolean {
  return jsonEqual(a as JsonValue, b as JsonValue);
}
