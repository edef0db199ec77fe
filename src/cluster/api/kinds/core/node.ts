import type { Node } from '../../../../gen/kube-core-v1.js';
import { cidrWarnings } from '../../validation/ip.js';
import { AGE_COLUMN, ageText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Cell, type Kind } from '../kind.js';
import { validateNode, validateNodeUpdate } from './node-validation.js';

const ROLE_PREFIX = 'node-role.kubernetes.io/';
const ROLE_LABEL = 'kubernetes.io/role';

export const node: Kind<Node> = {
  group: '',
  version: 'v1',
  kind: 'Node',
  resource: 'nodes',
  singular: 'node',
  shortNames: ['no'],
  categories: [],
  isNamespaced: false,
  verbs: ALL_VERBS,
  message: 'core.v1.Node',
  storagePrefix: 'minions/',
  selectableFields: {
    'spec.unschedulable': ({ spec }) => String(spec.unschedulable ?? false),
  },
  setDefaults,
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: false,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    // A kubelet registers with its status, so a new node keeps it.
    prepareCreate: dropConfigSource,
    prepareUpdate: (next, old) => {
      next.status = old.status;
      dropConfigSource(next);
    },
    warnings,
  },
  validate: validateNode,
  validateUpdate: validateNodeUpdate,
  status: {
    prepareUpdate: (next, old) => {
      next.spec = old.spec;
      dropConfigSource(next);
    },
    validateUpdate: validateNodeUpdate,
  },
  subresources: [],
  columns: [
    NAME_COLUMN,
    textColumn('Status', 'Ready or not, and whether pods may be scheduled.'),
    textColumn('Roles', 'Roles by its labels.'),
    AGE_COLUMN,
    textColumn('Version', 'Version of its kubelet.'),
    textColumn('Internal-IP', 'First address within the cluster.', 1),
    textColumn('External-IP', 'First address outside.', 1),
    textColumn('OS-Image', 'Its operating system.', 1),
    textColumn('Kernel-Version', 'Its kernel and architecture.', 1),
    textColumn('Container-Runtime', 'Its container runtime with the version.', 1),
  ],
  cells,
};

function setDefaults(object: Node): void {
  const spec = (object as Partial<Node>).spec ?? {};
  const { podCIDR = '', podCIDRs = [] } = spec;
  if (podCIDR === '' && podCIDRs[0] !== undefined) spec.podCIDR = podCIDRs[0];
  // The older field of the two wins.
  if (podCIDR !== '' && podCIDRs[0] !== podCIDR) spec.podCIDRs = [podCIDR];
  object.spec = spec;
  const { status } = object;
  if (status?.capacity !== undefined) status.allocatable ??= { ...status.capacity };
}

/** Kubelets are not configured through the API any more. */
function dropConfigSource({ spec, status }: Node): void {
  delete spec.configSource;
  delete status?.config;
}

function warnings({ spec }: Node): string[] {
  return [
    ...(spec.externalID === undefined
      ? []
      : ['spec.externalID: this field is deprecated, and is unused by Kubernetes']),
    ...(spec.podCIDRs ?? []).flatMap((value, index) =>
      cidrWarnings(`spec.podCIDRs[${index}]`, value),
    ),
  ];
}

function cells(object: Node, nowMs: number): Cell[] {
  const { metadata, spec, status } = object;
  const ready = (status?.conditions ?? []).findLast(({ type }) => type === 'Ready');
  const state = ready?.status === 'True' ? 'Ready' : 'NotReady';
  const info = status?.nodeInfo;
  const kernel = orUnknown(info?.kernelVersion);
  const architecture = info?.architecture ?? '';
  return [
    metadata.name ?? '',
    [
      ready === undefined ? 'Unknown' : state,
      ...(spec.unschedulable === true ? ['SchedulingDisabled'] : []),
    ].join(','),
    rolesText(metadata.labels ?? {}),
    ageText(metadata.creationTimestamp, nowMs),
    info?.kubeletVersion ?? '',
    addressText(object, 'InternalIP'),
    addressText(object, 'ExternalIP'),
    orUnknown(info?.osImage),
    architecture === '' ? kernel : `${kernel} (${architecture})`,
    orUnknown(info?.containerRuntimeVersion),
  ];
}

function orUnknown(text: string | undefined): string {
  return text === undefined || text === '' ? '<unknown>' : text;
}

function rolesText(labels: Readonly<Record<string, string>>): string {
  const roles = Object.entries(labels).map(([key, value]) => {
    if (key.startsWith(ROLE_PREFIX)) return key.slice(ROLE_PREFIX.length);
    return key === ROLE_LABEL ? value : '';
  });
  const named = [...new Set(roles)].filter((role) => role !== '').sort();
  return named.length === 0 ? '<none>' : named.join(',');
}

function addressText({ status }: Node, type: string): string {
  const found = (status?.addresses ?? []).find((address) => address.type === type);
  return found?.address ?? '<none>';
}
