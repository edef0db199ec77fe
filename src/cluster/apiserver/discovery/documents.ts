/**
 * The documents by which clients find out what is served: the legacy ones, a request a group and
 * version, and the aggregated one (apidiscovery.k8s.io/v2), which holds all in one answer.
 */
import { createHash } from 'node:crypto';
import type { APIGroup, APIGroupList, APIResource } from '../../../gen/kube-meta-v1.js';
import type { SubresourceInfo } from '../../api/kinds/kind.js';
import { apiVersionOf } from '../../api/object.js';
import type { DiscoveredKind } from './discovered-kind.js';

/** Groups in the order in which clients prefer them; others follow by name. */
const GROUP_ORDER = [
  '',
  'apiregistration.k8s.io',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'resource.k8s.io',
  'flowcontrol.apiserver.k8s.io',
];

const STATUS_VERBS: SubresourceInfo['verbs'] = ['get', 'patch', 'update'];

export class ServedGroups {
  /** Group -> its versions, the preferred one first; core, whose name is empty, is first. */
  readonly versions: ReadonlyMap<string, readonly string[]>;
  private readonly kinds: readonly DiscoveredKind[];

  constructor(kinds: readonly DiscoveredKind[]) {
    this.kinds = [...kinds].sort((a, b) => compareText(a.resource, b.resource));
    const groups = [...new Set(kinds.map(({ group }) => group))].sort(compareGroups);
    this.versions = new Map(groups.map((group) => [group, this.versionsOf(group)]));
  }

  hasVersion(group: string, version: string): boolean {
    return this.versions.get(group)?.includes(version) === true;
  }

  group(name: string): Omit<APIGroup, 'apiVersion' | 'kind'> {
    const versions = (this.versions.get(name) ?? []).map((version) => ({
      groupVersion: apiVersionOf(name, version),
      version,
    }));
    const [preferred = { groupVersion: '', version: '' }] = versions;
    return { name, versions, preferredVersion: preferred };
  }

  groupList(): APIGroupList {
    const names = [...this.versions.keys()].filter((name) => name !== '');
    const groups = names.map((name) => this.group(name) as APIGroup);
    return { kind: 'APIGroupList', apiVersion: 'v1', groups };
  }

  resourceList(group: string, version: string): object {
    const resources = this.kindsOf(group, version).flatMap((kind) => this.resourcesOf(kind));
    return {
      kind: 'APIResourceList',
      ...(group === '' ? {} : { apiVersion: 'v1' }),
      groupVersion: apiVersionOf(group, version),
      resources,
    };
  }

  /** The aggregated document of the core group, or of all others. */
  aggregated(isCore: boolean): object {
    const groups = [...this.versions.keys()].filter((name) => (name === '') === isCore);
    const items = groups.map((group) => ({
      metadata: group === '' ? {} : { name: group },
      versions: this.versions.get(group)?.map((version) => ({
        version,
        resources: this.kindsOf(group, version).map(aggregatedResource),
        freshness: 'Current',
      })),
    }));
    const apiVersion = 'apidiscovery.k8s.io/v2';
    return { kind: 'APIGroupDiscoveryList', apiVersion, metadata: {}, items };
  }

  private kindsOf(group: string, version: string): DiscoveredKind[] {
    return this.kinds.filter((kind) => kind.group === group && kind.version === version);
  }

  private versionsOf(group: string): string[] {
    const own = this.kinds.filter((kind) => kind.group === group);
    return [...new Set(own.map(({ version }) => version))].sort(compareVersions);
  }

  private resourcesOf(kind: DiscoveredKind): APIResource[] {
    const hash = this.storageHash(kind);
    const main: APIResource = {
      name: kind.resource,
      singularName: kind.singular,
      namespaced: kind.isNamespaced,
      kind: kind.kind,
      verbs: [...kind.verbs],
      ...(kind.shortNames.length === 0 ? {} : { shortNames: [...kind.shortNames] }),
      ...(kind.categories.length === 0 ? {} : { categories: [...kind.categories] }),
      ...(hash === '' ? {} : { storageVersionHash: hash }),
    };
    const others = subresourcesOf(kind).map((sub) => ({
      name: `${kind.resource}/${sub.name}`,
      singularName: '',
      namespaced: kind.isNamespaced,
      ...(isOwnVersion(kind, sub) ? {} : { group: sub.group, version: sub.version }),
      kind: sub.kind,
      verbs: [...sub.verbs],
    }));
    return [main, ...others];
  }

  /** Of the version that is stored, so that clients see when it changes; empty for what is not stored. */
  private storageHash({ storagePrefix, kind }: DiscoveredKind): string {
    const stored = this.kinds.find((other) => other.storagePrefix === storagePrefix);
    if (storagePrefix === '' || stored === undefined) return '';
    const text = `${stored.group}/${stored.version}/${kind}`;
    return createHash('sha256').update(text).digest().subarray(0, 8).toString('base64');
  }
}

/** Status and scale among the others, by name. */
export function subresourcesOf(kind: DiscoveredKind): SubresourceInfo[] {
  const { group, version } = kind;
  const all: SubresourceInfo[] = [...kind.subresources];
  if (kind.status !== undefined)
    all.push({ name: 'status', kind: kind.kind, group, version, verbs: STATUS_VERBS });
  if (kind.scale !== undefined)
    all.push({
      name: 'scale',
      kind: 'Scale',
      group: 'autoscaling',
      version: 'v1',
      verbs: STATUS_VERBS,
    });
  return all.sort((a, b) => compareText(a.name, b.name));
}

function aggregatedResource(kind: DiscoveredKind): object {
  const subresources = subresourcesOf(kind).map((sub) => ({
    subresource: sub.name,
    responseKind: {
      group: isOwnVersion(kind, sub) ? '' : sub.group,
      version: isOwnVersion(kind, sub) ? '' : sub.version,
      kind: sub.kind,
    },
    verbs: sub.verbs,
  }));
  return {
    resource: kind.resource,
    responseKind: { group: '', version: '', kind: kind.kind },
    scope: kind.isNamespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: kind.verbs,
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}

function isOwnVersion(kind: DiscoveredKind, sub: SubresourceInfo): boolean {
  return sub.group === kind.group && sub.version === kind.version;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareGroups(a: string, b: string): number {
  const place = (group: string): number => {
    const at = GROUP_ORDER.indexOf(group);
    return at === -1 ? GROUP_ORDER.length : at;
  };
  const difference = place(a) - place(b);
  return difference === 0 ? compareText(a, b) : difference;
}

/** v2 before v1 before v1beta2 before v1alpha1 (k8s.io/apimachinery, CompareKubeAwareVersionStrings). */
function compareVersions(a: string, b: string): number {
  const [rankA, rankB] = [versionRank(a), versionRank(b)];
  for (const [i, rank] of rankA.entries()) {
    const difference = (rankB[i] ?? 0) - rank;
    if (difference !== 0) return difference;
  }
  return compareText(a, b);
}

function versionRank(version: string): readonly number[] {
  const match = /^v([0-9]+)(?:(alpha|beta)([0-9]+))?$/.exec(version);
  if (match === null) return [-1, 0, 0];
  const [, major = '', stage, minor = '0'] = match;
  return [stage === undefined ? 2 : stage === 'beta' ? 1 : 0, Number(major), Number(minor)];
}
