/** The fixed table: rules in the shape of RBAC's, by user and by group. */
import type { RequestInfo, User } from '../pipeline/exchange.js';

export type Rule =
  | {
      readonly verbs: readonly string[];
      /** `*` for any. */
      readonly groups: readonly string[];
      /** `pods`, `pods/status`; `*` is every resource and no subresource, `*` with a subresource any that has it. */
      readonly resources: readonly string[];
      /** Undefined: any. */
      readonly names?: readonly string[];
      readonly namespaces?: readonly string[];
    }
  | {
      readonly verbs: readonly string[];
      /** A path, or the beginning of one with `*` at its end. */
      readonly paths: readonly string[];
    };

const READ = ['get', 'list', 'watch'];

const EVENTS: Rule = {
  verbs: ['create', 'patch', 'update'],
  groups: ['', 'events.k8s.io'],
  resources: ['events'],
};

/** A component's own lock, and its life signs. */
const LEADER_ELECTION: Rule = {
  verbs: ['create', 'get', 'update', 'list', 'watch'],
  groups: ['coordination.k8s.io'],
  resources: ['leases'],
  namespaces: ['kube-system'],
};

const CONTROLLER_MANAGER: readonly Rule[] = [
  EVENTS,
  LEADER_ELECTION,
  // Collecting garbage and emptying namespaces concerns every kind.
  {
    verbs: [...READ, 'update', 'patch', 'delete', 'deletecollection'],
    groups: ['*'],
    resources: ['*'],
  },
  {
    verbs: ['create'],
    groups: ['', 'apps', 'discovery.k8s.io'],
    resources: [
      'configmaps',
      'controllerrevisions',
      'endpoints',
      'endpointslices',
      'pods',
      'replicasets',
      'secrets',
      'serviceaccounts',
    ],
  },
  { verbs: ['get', 'update', 'patch'], groups: ['*'], resources: ['*/status', '*/scale'] },
  { verbs: ['update'], groups: [''], resources: ['namespaces/finalize'] },
  { verbs: ['create'], groups: [''], resources: ['serviceaccounts/token', 'pods/eviction'] },
];

const SCHEDULER: readonly Rule[] = [
  EVENTS,
  LEADER_ELECTION,
  { verbs: READ, groups: [''], resources: ['namespaces', 'nodes', 'services', 'pods'] },
  { verbs: READ, groups: [''], resources: ['persistentvolumeclaims', 'persistentvolumes'] },
  { verbs: READ, groups: [''], resources: ['replicationcontrollers'] },
  { verbs: READ, groups: ['apps'], resources: ['replicasets', 'statefulsets'] },
  { verbs: READ, groups: ['policy', 'storage.k8s.io'], resources: ['*'] },
  { verbs: ['delete'], groups: [''], resources: ['pods'] },
  { verbs: ['create'], groups: [''], resources: ['bindings', 'pods/binding'] },
  { verbs: ['patch', 'update'], groups: [''], resources: ['pods/status'] },
];

/** Also what cluster DNS reads, which runs beside it on each node. */
const KUBE_PROXY: readonly Rule[] = [
  EVENTS,
  { verbs: READ, groups: [''], resources: ['endpoints', 'namespaces', 'nodes', 'services'] },
  { verbs: READ, groups: ['discovery.k8s.io'], resources: ['endpointslices'] },
];

/** Besides what concerns the node's own objects (node-rules.ts). */
const NODES: readonly Rule[] = [
  EVENTS,
  { verbs: READ, groups: [''], resources: ['services'] },
  { verbs: READ, groups: ['node.k8s.io'], resources: ['runtimeclasses'] },
  { verbs: ['create'], groups: [''], resources: ['nodes', 'pods'] },
  {
    verbs: ['create'],
    groups: ['authentication.k8s.io', 'authorization.k8s.io'],
    resources: ['tokenreviews', 'subjectaccessreviews'],
  },
];

const HEALTH: Rule = {
  verbs: ['get', 'head'],
  paths: ['/healthz', '/livez', '/readyz', '/version', '/version/'],
};

const AUTHENTICATED: readonly Rule[] = [
  HEALTH,
  { verbs: ['get', 'head'], paths: ['/api', '/api/*', '/apis', '/apis/*'] },
  { verbs: ['get', 'head'], paths: ['/openapi', '/openapi/*'] },
  {
    verbs: ['create'],
    groups: ['authentication.k8s.io', 'authorization.k8s.io'],
    resources: ['selfsubjectreviews', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
  },
];

/** So that a pod's token can be verified by others. */
const SERVICE_ACCOUNTS: readonly Rule[] = [
  { verbs: ['get'], paths: ['/.well-known/openid-configuration', '/openid/v1/jwks'] },
];

export const EVERYTHING: readonly Rule[] = [
  { verbs: ['*'], groups: ['*'], resources: ['*', '*/*'] },
  { verbs: ['*'], paths: ['*'] },
];

const RULES_OF_USER: Readonly<Record<string, readonly Rule[]>> = {
  'system:apiserver': EVERYTHING,
  'system:kube-controller-manager': CONTROLLER_MANAGER,
  'system:kube-proxy': KUBE_PROXY,
  'system:kube-scheduler': SCHEDULER,
};

const RULES_OF_GROUP: Readonly<Record<string, readonly Rule[]>> = {
  'system:authenticated': AUTHENTICATED,
  'system:nodes': NODES,
  'system:serviceaccounts': SERVICE_ACCOUNTS,
  'system:unauthenticated': [HEALTH],
};

/** All rules that hold for a user, administrators' aside. */
export function rulesOf({ name, groups }: User): readonly Rule[] {
  return [
    ...(RULES_OF_USER[name] ?? []),
    ...groups.flatMap((group) => RULES_OF_GROUP[group] ?? []),
  ];
}

export function matches(rule: Rule, info: RequestInfo): boolean {
  if (!has(rule.verbs, info.verb)) return false;
  if ('paths' in rule)
    return !info.isResource && rule.paths.some((path) => covers(path, info.path));
  return (
    info.isResource &&
    has(rule.groups, info.group) &&
    rule.resources.some((resource) => isResource(resource, info)) &&
    (rule.names === undefined || rule.names.includes(info.name)) &&
    (rule.namespaces === undefined || rule.namespaces.includes(info.namespace))
  );
}

function has(list: readonly string[], text: string): boolean {
  return list.includes(text) || list.includes('*');
}

function covers(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;
}

function isResource(pattern: string, { resource, subresource }: RequestInfo): boolean {
  const [main = '', sub = ''] = pattern.split('/');
  const isMain = main === '*' || main === resource;
  return isMain && (sub === subresource || (sub === '*' && subresource !== ''));
}
