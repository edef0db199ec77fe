import type { Service, ServicePort } from '../../../../gen/kube-core-v1.js';
import { cidrWarnings, ipWarnings } from '../../validation/ip.js';
import { AGE_COLUMN, ageText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Cell, type Kind } from '../kind.js';
import { prepareServiceCreate, prepareServiceUpdate } from './service-changes.js';
import { isExternal } from './service-rules.js';
import { validateServiceStatus } from './service-status-validation.js';
import { validateService, validateServiceUpdate } from './service-validation.js';

/** Three hours. */
const AFFINITY_SECONDS = 10_800;
const TOPOLOGY_HINTS = 'service.kubernetes.io/topology-aware-hints';

export const service: Kind<Service> = {
  group: '',
  version: 'v1',
  kind: 'Service',
  resource: 'services',
  singular: 'service',
  shortNames: ['svc'],
  categories: ['all'],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'core.v1.Service',
  storagePrefix: 'services/specs/',
  selectableFields: {
    'spec.clusterIP': ({ spec }) => spec.clusterIP ?? '',
    'spec.type': ({ spec }) => spec.type ?? '',
  },
  setDefaults,
  strategy: {
    nameRule: 'label',
    hasGeneration: false,
    returnsDeleted: true,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: true,
    prepareCreate: prepareServiceCreate,
    prepareUpdate: prepareServiceUpdate,
    warnings,
  },
  validate: validateService,
  validateUpdate: validateServiceUpdate,
  status: {
    prepareUpdate: (next, old) => {
      next.spec = old.spec;
    },
    validateUpdate: validateServiceStatus,
  },
  subresources: [],
  columns: [
    NAME_COLUMN,
    textColumn('Type', 'How the service is reached.'),
    textColumn('Cluster-IP', 'Address within the cluster.'),
    textColumn('External-IP', 'Addresses from outside.'),
    textColumn('Port(s)', 'Ports, with their node ports.'),
    AGE_COLUMN,
    textColumn('Selector', 'Labels of its pods.', 1),
  ],
  cells,
};

function setDefaults(object: Service): void {
  object.spec = (object as Partial<Service>).spec ?? {};
  const { spec } = object;
  if (isEmpty(spec.sessionAffinity)) spec.sessionAffinity = 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP' && !hasTimeout(object))
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: AFFINITY_SECONDS } };
  if (isEmpty(spec.type)) spec.type = 'ClusterIP';
  for (const port of spec.ports ?? []) setPortDefaults(port);
  if (isExternal(object) && isEmpty(spec.externalTrafficPolicy))
    spec.externalTrafficPolicy = 'Cluster';
  if (['ClusterIP', 'LoadBalancer', 'NodePort'].includes(spec.type ?? ''))
    spec.internalTrafficPolicy ??= 'Cluster';
  if (spec.type !== 'LoadBalancer') return;
  spec.allocateLoadBalancerNodePorts ??= true;
  for (const point of object.status?.loadBalancer?.ingress ?? [])
    if (!isEmpty(point.ip)) point.ipMode ??= 'VIP';
}

function setPortDefaults(port: ServicePort): void {
  if (isEmpty(port.protocol)) port.protocol = 'TCP';
  const { targetPort = 0 } = port;
  if (targetPort === 0 || targetPort === '') port.targetPort = port.port;
}

function isEmpty(text: string | undefined): boolean {
  return text === undefined || text === '';
}

function hasTimeout({ spec }: Service): boolean {
  return spec.sessionAffinityConfig?.clientIP?.timeoutSeconds !== undefined;
}

function warnings(object: Service): string[] {
  const { clusterIP = '', clusterIPs = [], type, loadBalancerIP = '' } = object.spec;
  const { externalIPs = [], loadBalancerSourceRanges = [] } = object.spec;
  const isHeadless = type === 'ClusterIP' && clusterIP === 'None';
  return [
    ...(object.metadata.annotations?.[TOPOLOGY_HINTS] === undefined
      ? []
      : [
          `annotation ${TOPOLOGY_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead`,
        ]),
    ...clusterIPs.flatMap((ip, index) => ipWarnings(`spec.clusterIPs[${index}]`, ip)),
    ...(isHeadless ? headlessWarnings(object) : []),
    ...externalIPs.flatMap((ip, index) => ipWarnings(`spec.externalIPs[${index}]`, ip)),
    ...(externalIPs.length > 0 && !isHeadless && type !== 'ExternalName'
      ? ['spec.externalIPs is deprecated and may no longer be implemented in some clusters']
      : []),
    ...ipWarnings('spec.loadBalancerIP', loadBalancerIP),
    ...loadBalancerSourceRanges.flatMap((range, index) =>
      cidrWarnings(`spec.loadBalancerSourceRanges[${index}]`, range),
    ),
    ...typeWarnings(object),
  ];
}

function headlessWarnings({ spec }: Service): string[] {
  const ignored = [
    ...(isEmpty(spec.loadBalancerIP) ? [] : ['spec.loadBalancerIP']),
    ...((spec.externalIPs ?? []).length > 0 ? ['spec.externalIPs'] : []),
    ...(spec.sessionAffinity === 'None' ? [] : ['spec.SessionAffinity']),
  ];
  return ignored.map((field) => `${field} is ignored for headless services`);
}

function typeWarnings({ spec }: Service): string[] {
  const { type, externalIPs = [], externalName, trafficDistribution } = spec;
  const isName = type === 'ExternalName';
  return [
    ...(isName && externalIPs.length > 0
      ? ['spec.externalIPs is ignored when spec.type is "ExternalName"']
      : []),
    ...(!isName && !isEmpty(externalName)
      ? ['spec.externalName is ignored when spec.type is not "ExternalName"']
      : []),
    ...(trafficDistribution === 'PreferClose'
      ? ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']
      : []),
  ];
}

function cells(object: Service, nowMs: number): Cell[] {
  const { metadata, spec } = object;
  const ports = (spec.ports ?? []).map(({ port, nodePort = 0, protocol = '' }) =>
    nodePort > 0 ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
  );
  const selector = Object.entries(spec.selector ?? {}).map(([key, value]) => `${key}=${value}`);
  return [
    metadata.name ?? '',
    spec.type ?? '',
    spec.clusterIPs?.[0] ?? '<none>',
    externalText(object),
    orNone(ports),
    ageText(metadata.creationTimestamp, nowMs),
    orNone(selector.sort()),
  ];
}

function orNone(texts: readonly string[]): string {
  return texts.length === 0 ? '<none>' : texts.join(',');
}

function externalText({ spec, status }: Service): string {
  const { type, externalIPs = [] } = spec;
  if (type === 'ExternalName') return spec.externalName ?? '';
  if (type !== 'LoadBalancer') return orNone(externalIPs);
  const points = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) =>
    isEmpty(ip) ? (hostname ?? '') : (ip ?? ''),
  );
  const shown = [...new Set(points)].filter((point) => point !== '').sort();
  const all = [...shown, ...externalIPs];
  return all.length === 0 ? '<pending>' : all.join(',');
}
