/** Warnings about pods and templates that are valid but will hardly do what their author wants. */
import type {
  ContainerPort,
  NodeSelectorTerm,
  PodSpec,
  Volume,
} from '../../../../../gen/kube-core-v1.js';
import type { ObjectMeta } from '../../../../../gen/kube-meta-v1.js';
import { goQuote } from '../../../validation/field-error.js';
import { ipWarnings } from '../../../validation/ip.js';
import { dnsLabelProblems, labelValueProblems } from '../../../validation/names.js';
import { isWhole } from '../../../validation/resources.js';
import { APPARMOR_CONTAINER, SECCOMP_CONTAINER, SECCOMP_POD } from './annotation-validation.js';
import { containersOf, type AnyContainer } from './containers.js';
import { pathWarnings } from './path-warnings.js';

const OLD_NODE_LABELS: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region':
    'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone':
    'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type':
    'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  'app.kubernetes.io/created-by': 'deprecated since v1.9',
  'scheduler.alpha.kubernetes.io/preferAvoidPods':
    'deprecated since v1.22; use Taints and Tolerations instead',
  'node-role.kubernetes.io/master': 'use "node-role.kubernetes.io/control-plane" instead',
};

const OLD_ANNOTATIONS: Readonly<Record<string, string>> = {
  'scheduler.alpha.kubernetes.io/critical-pod':
    'non-functional in v1.16+; use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls':
    'non-functional in v1.11+; use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls':
    'non-functional in v1.11+; use the "sysctls" field instead',
};

const OLD_VOLUMES: readonly (readonly [keyof Volume, string, string])[] = [
  ['photonPersistentDisk', 'photonPersistentDisk', 'deprecated in v1.11, non-functional in v1.16+'],
  ['gitRepo', 'gitRepo', 'deprecated in v1.11, and disabled by default in v1.33+'],
  ['scaleIO', 'scaleIO', 'deprecated in v1.16, non-functional in v1.22+'],
  ['flocker', 'flocker', 'deprecated in v1.22, non-functional in v1.25+'],
  ['storageos', 'storageOS', 'deprecated in v1.22, non-functional in v1.25+'],
  ['quobyte', 'quobyte', 'deprecated in v1.22, non-functional in v1.25+'],
  ['glusterfs', 'glusterfs', 'deprecated in v1.25, non-functional in v1.26+'],
  ['cephfs', 'cephfs', 'deprecated in v1.28, non-functional in v1.31+'],
  ['rbd', 'rbd', 'deprecated in v1.28, non-functional in v1.31+'],
];

const NULL_SELECTOR = 'a null labelSelector results in matching no pod';

/** Of a name that becomes the name of a host, where dots surprise. */
export function hostNameWarnings(name: string, use: string): string[] {
  const problems = dnsLabelProblems(name);
  if (problems.length === 0) return [];
  const list = `[${problems.join(' ')}]`;
  return [
    `metadata.name: this is used in ${use}, which can result in surprising behavior; a DNS label is recommended: ${list}`,
  ];
}

/** `path`: of what holds metadata and spec; empty for a pod. */
export function podWarnings(meta: ObjectMeta, spec: PodSpec, path: string): string[] {
  const at = (field: string): string => (path === '' ? field : `${path}.${field}`);
  const containers = containersOf(spec, at('spec'));
  const grace = spec.terminationGracePeriodSeconds ?? 0;
  return [
    ...placementWarnings(spec, at('spec')),
    ...Object.entries(OLD_ANNOTATIONS).flatMap(([key, text]) =>
      meta.annotations?.[key] === undefined
        ? []
        : [`${at('metadata.annotations')}[${key}]: ${text}`],
    ),
    ...(spec.volumes ?? []).flatMap((volume, index) =>
      OLD_VOLUMES.flatMap(([field, name, text]) =>
        volume[field] === undefined ? [] : [`${at('spec')}.volumes[${index}].${name}: ${text}`],
      ),
    ),
    ...pathWarnings(spec.volumes ?? []),
    ...listWarnings(spec, at('spec')),
    ...fractionWarnings(spec.overhead, at('spec.overhead')),
    ...profileWarnings(meta, spec, at('metadata.annotations'), path !== ''),
    ...containers.flatMap(({ container, path: own }) => containerWarnings(container, own)),
    ...portWarnings(containers),
    ...(grace < 0
      ? [
          `${at('spec')}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
        ]
      : []),
    ...affinityWarnings(spec, at('spec')),
    ...addressWarnings(spec, at('spec')),
  ];
}

function placementWarnings(spec: PodSpec, path: string): string[] {
  const node = spec.affinity?.nodeAffinity;
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';
  const at = `${path}.affinity.nodeAffinity`;
  return [
    ...Object.keys(spec.nodeSelector ?? {}).flatMap((key) =>
      oldLabel(key).map((text) => `${path}.nodeSelector[${key}]: ${text}`),
    ),
    ...(node?.[required]?.nodeSelectorTerms ?? []).flatMap((term, index) =>
      termWarnings(term, false, `${at}.${required}.nodeSelectorTerms[${index}]`),
    ),
    ...(node?.[preferred] ?? []).flatMap(({ preference }, index) =>
      termWarnings(preference, true, `${at}.${preferred}[${index}].preference`),
    ),
    ...(spec.topologySpreadConstraints ?? []).flatMap(({ topologyKey, labelSelector }, index) => [
      ...oldLabel(topologyKey).map(
        (text) =>
          `${path}.topologySpreadConstraints[${index}].topologyKey: ${topologyKey} is ${text}`,
      ),
      ...(labelSelector === undefined
        ? [`${path}.topologySpreadConstraints[${index}].labelSelector: ${NULL_SELECTOR}`]
        : []),
    ]),
  ];
}

function oldLabel(key: string): string[] {
  const text = OLD_NODE_LABELS[key];
  return text === undefined ? [] : [text];
}

function termWarnings(
  { matchExpressions = [] }: NodeSelectorTerm,
  checksValues: boolean,
  path: string,
): string[] {
  return matchExpressions.flatMap(({ key, values = [] }, index) => [
    ...oldLabel(key).map((text) => `${path}.matchExpressions[${index}].key: ${key} is ${text}`),
    ...(checksValues ? values : []).flatMap((value, valueIndex) =>
      labelValueProblems(value).map(
        (problem) =>
          `${path}.matchExpressions[${index}].values[${valueIndex}]: ${value} is invalid, ${problem}`,
      ),
    ),
  ]);
}

function listWarnings(spec: PodSpec, path: string): string[] {
  const repeated = (values: readonly string[], pathOf: (index: number) => string, what: string) =>
    values.flatMap((value, index) =>
      values.indexOf(value) < index
        ? [`${pathOf(index)}: duplicate ${what} ${goQuote(value)}`]
        : [],
    );
  const secrets = (spec.imagePullSecrets ?? []).map(({ name = '' }) => name);
  const secretPath = (index: number): string => `${path}.imagePullSecrets[${index}].name`;
  return [
    ...repeated(
      (spec.hostAliases ?? []).map(({ ip }) => ip),
      (index) => `${path}.hostAliases[${index}].ip`,
      'ip',
    ),
    ...repeated(secrets, secretPath, 'name'),
    ...secrets.flatMap((name, index) =>
      name === '' ? [`${secretPath(index)}: invalid empty name ""`] : [],
    ),
  ];
}

/** There is no half a byte. */
function fractionWarnings(
  amounts: Readonly<Record<string, string>> | undefined,
  path: string,
): string[] {
  return ['memory', 'ephemeral-storage'].flatMap((name) => {
    const amount = amounts?.[name];
    if (amount === undefined || isWhole(amount)) return [];
    return [
      `${path}[${name}]: fractional byte value ${goQuote(amount)} is invalid, must be an integer`,
    ];
  });
}

function profileWarnings(
  { annotations = {} }: ObjectMeta,
  spec: PodSpec,
  path: string,
  isTemplate: boolean,
): string[] {
  const ofPod = spec.securityContext;
  const seccomp = (key: string): string[] =>
    annotations[key] === undefined
      ? []
      : [`${path}[${key}]: non-functional in v1.27+; use the "seccompProfile" field instead`];
  return [
    ...(ofPod?.seccompProfile === undefined ? seccomp(SECCOMP_POD) : []),
    ...containersOf(spec, '').flatMap(({ container: { name, securityContext } }) => {
      const key = APPARMOR_CONTAINER + name;
      const isUnset =
        securityContext?.appArmorProfile === undefined && ofPod?.appArmorProfile === undefined;
      return [
        ...(securityContext?.seccompProfile === undefined ? seccomp(SECCOMP_CONTAINER + name) : []),
        ...((isUnset || !isTemplate) && annotations[key] !== undefined
          ? [`${path}[${key}]: deprecated since v1.30; use the "appArmorProfile" field instead`]
          : []),
      ];
    }),
  ];
}

function containerWarnings({ resources, env = [] }: AnyContainer, path: string): string[] {
  const names = env.map(({ name }) => name);
  return [
    ...fractionWarnings(resources?.limits, `${path}.resources.limits`),
    ...fractionWarnings(resources?.requests, `${path}.resources.requests`),
    ...env.flatMap(({ name, value = '', valueFrom }, index) => {
      if (names.indexOf(name) === index) return [];
      const reference = `$(${name})`;
      const extends_ = valueFrom === undefined && value !== reference && value.includes(reference);
      const text = `hides previous definition of ${goQuote(name)}, which may be dropped when using apply`;
      return extends_ ? [] : [`${path}.env[${index}]: ${text}`];
    }),
  ];
}

function portWarnings(
  containers: readonly { readonly container: AnyContainer; readonly path: string }[],
): string[] {
  const ports = containers.flatMap(({ container, path }) =>
    (container.ports ?? []).map((port, index) => ({ port, path: `${path}.ports[${index}]` })),
  );
  const clashes = ports.flatMap(({ port, path }, index) =>
    ports.slice(0, index).flatMap((other) => {
      const kind = clashOf(port, other.port);
      return kind === '' ? [] : [`${path}: ${kind} port definition with ${other.path}`];
    }),
  );
  const names = ports.flatMap(({ port: { name = '' }, path }, index) => {
    const other = ports.slice(0, index).find(({ port }) => port.name === name);
    if (name === '' || other === undefined) return [];
    return [
      `${path}: duplicate port name ${goQuote(name)} with ${other.path}, services and probes that select ports by name will use ${other.path}`,
    ];
  });
  return [...clashes, ...names];
}

function clashOf(a: ContainerPort, b: ContainerPort): string {
  if (a.containerPort !== b.containerPort || a.protocol !== b.protocol) return '';
  const [hostA, hostB] = [a.hostPort ?? 0, b.hostPort ?? 0];
  const [ipA, ipB] = [a.hostIP ?? '', b.hostIP ?? ''];
  if (ipA === ipB && hostA === hostB) return 'duplicate';
  if (hostA === 0 || hostB === 0) return 'overlapping';
  return hostA === hostB && (ipA === '') !== (ipB === '') ? 'dangerously ambiguous' : '';
}

function affinityWarnings({ affinity }: PodSpec, path: string): string[] {
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';
  return (['podAffinity', 'podAntiAffinity'] as const).flatMap((kind) => {
    const at = `${path}.affinity.${kind}`;
    const terms = affinity?.[kind];
    return [
      ...(terms?.[required] ?? []).flatMap(({ labelSelector }, index) =>
        labelSelector === undefined
          ? [`${at}.${required}[${index}].labelSelector: ${NULL_SELECTOR}`]
          : [],
      ),
      ...(terms?.[preferred] ?? []).flatMap(({ podAffinityTerm }, index) =>
        podAffinityTerm.labelSelector === undefined
          ? [`${at}.${preferred}[${index}].podAffinityTerm.labelSelector: ${NULL_SELECTOR}`]
          : [],
      ),
    ];
  });
}

function addressWarnings({ dnsConfig, hostAliases = [] }: PodSpec, path: string): string[] {
  return [
    ...(dnsConfig?.nameservers ?? []).flatMap((server, index) =>
      ipWarnings(`${path}.dnsConfig.nameservers[${index}]`, server),
    ),
    ...hostAliases.flatMap(({ ip }, index) => ipWarnings(`${path}.hostAliases[${index}].ip`, ip)),
  ];
}
