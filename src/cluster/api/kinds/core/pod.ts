/** v1 Pod. */
import type { Pod } from '../../../../gen/kube-core-v1.js';
import { ALL_VERBS, type Kind, type SubresourceInfo } from '../kind.js';
import { POD_COLUMNS, podCells, podRowConditions } from './pod/columns.js';
import { setPodDefaults } from './pod/defaults.js';
import { validatePodStatusUpdate } from './pod/status-validation.js';
import {
  podGraceSeconds,
  preparePodCreate,
  preparePodStatusUpdate,
  preparePodUpdate,
} from './pod/strategy.js';
import { validatePod, validatePodCreate, validatePodUpdate } from './pod/validation.js';
import { hostNameWarnings, podWarnings } from './pod/warnings.js';

const SUBRESOURCES: readonly SubresourceInfo[] = [
  subresource('attach', 'PodAttachOptions', 'create', 'get'),
  subresource('binding', 'Binding', 'create'),
  subresource('exec', 'PodExecOptions', 'create', 'get'),
  subresource('log', 'Pod', 'get'),
  subresource('portforward', 'PodPortForwardOptions', 'create', 'get'),
];

export const pod: Kind<Pod> = {
  group: '',
  version: 'v1',
  kind: 'Pod',
  resource: 'pods',
  isNamespaced: true,
  singular: 'pod',
  shortNames: ['po'],
  categories: ['all'],
  verbs: ALL_VERBS,
  message: 'core.v1.Pod',
  storagePrefix: 'pods/',
  selectableFields: {
    'spec.nodeName': ({ spec }) => spec.nodeName ?? '',
    'spec.restartPolicy': ({ spec }) => spec.restartPolicy ?? '',
    'spec.schedulerName': ({ spec }) => spec.schedulerName ?? '',
    'spec.serviceAccountName': ({ spec }) => spec.serviceAccountName ?? '',
    'spec.hostNetwork': ({ spec }) => String(spec.hostNetwork === true),
    'status.phase': ({ status }) => status?.phase ?? '',
    'status.podIP': ({ status }) => status?.podIPs?.[0]?.ip ?? '',
    'status.nominatedNodeName': ({ status }) => status?.nominatedNodeName ?? '',
  },
  setDefaults: setPodDefaults,
  strategy: {
    nameRule: 'subdomain',
    hasGeneration: true,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: false,
    returnsDeleted: true,
    prepareCreate: preparePodCreate,
    prepareUpdate: preparePodUpdate,
    graceSeconds: podGraceSeconds,
    warnings: ({ metadata, spec }, old) =>
      old === undefined
        ? [
            ...hostNameWarnings(metadata.name ?? '', "the Pod's hostname"),
            ...podWarnings(metadata, spec, ''),
          ]
        : [],
  },
  validate: (object, old) => [
    ...validatePod(object),
    ...(old === undefined ? validatePodCreate(object) : []),
  ],
  validateUpdate: validatePodUpdate,
  status: {
    prepareUpdate: preparePodStatusUpdate,
    validateUpdate: validatePodStatusUpdate,
    resetsMetadata: ['deletionTimestamp', 'ownerReferences'],
  },
  subresources: SUBRESOURCES,
  columns: POD_COLUMNS,
  cells: podCells,
  rowConditions: podRowConditions,
};

function subresource(
  name: string,
  kind: string,
  ...verbs: SubresourceInfo['verbs']
): SubresourceInfo {
  return { name, kind, group: '', version: 'v1', verbs };
}
