/**
 * Documents about all that a server has (discovery, lists of the objects of the system): their
 * entries by name, and of the real server's only those about groups and resources that we serve.
 */
import { KINDS } from '../../../../src/cluster/api/kinds/registry.js';
import type { JsonObject, JsonValue } from '../../../../src/cluster/api/object.js';
import { REVIEW_KINDS } from '../../../../src/cluster/apiserver/auth/reviews.js';
import { isObject, text } from './translation.js';

const SERVED = [...KINDS, ...REVIEW_KINDS];

export function narrowed(body: JsonValue, path: string, isTheirs: boolean): JsonValue {
  if (!isObject(body)) return body;
  const keep = (served: boolean): boolean => served || !isTheirs;
  if (Array.isArray(body['paths'])) {
    const paths = body['paths'].map(String).filter((one) => keep(isServedPath(one)));
    return { paths: Object.fromEntries(paths.map((one) => [one, true])) };
  }
  switch (body['kind']) {
    case 'APIGroupList':
      return { ...body, groups: byName(body['groups'], ({ name }) => keep(isGroup(name))) };
    case 'APIResourceList': {
      const group = path.startsWith('/api/') ? '' : (path.split('/')[2] ?? '');
      const isServed = ({ name }: JsonObject): boolean => keep(isResource(group, text(name)));
      return { ...body, resources: byName(body['resources'], isServed) };
    }
    case 'APIGroupDiscoveryList': {
      const groups = byName(body['items'], ({ metadata }) => keep(isGroup(nameOf(metadata))));
      return { ...body, items: mapValues(groups, (group) => groupDiscovery(group, keep)) };
    }
    default:
      return body;
  }
}

/** True of a path whose group is not served. */
export function isOfOtherGroup(path: string): boolean {
  return !isServedPath(path);
}

function groupDiscovery(group: JsonObject, keep: (isServed: boolean) => boolean): JsonObject {
  const versions = Array.isArray(group['versions']) ? group['versions'].filter(isObject) : [];
  const name = text(nameOf(group['metadata']));
  const resourcesOf = (version: JsonObject): JsonObject => {
    const isKept = ({ resource }: JsonObject): boolean => keep(isResource(name, text(resource)));
    return mapValues(byName(version['resources'], isKept), (resource) => ({
      ...resource,
      subresources: byName(resource['subresources'], () => true),
    }));
  };
  return {
    ...group,
    versions: versions.map((version) => ({ ...version, resources: resourcesOf(version) })),
  };
}

function mapValues(entries: JsonObject, change: (entry: JsonObject) => JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(entries).map(([name, entry]) => [name, isObject(entry) ? change(entry) : entry]),
  );
}

/** A list of objects as an object of them, by name; anything else as it is. */
export function itemsByName(body: JsonValue): JsonValue {
  if (!isObject(body) || !Array.isArray(body['items'])) return body;
  if (body['kind'] === 'APIGroupDiscoveryList') return body;
  return { ...body, items: byName(body['items'], () => true) };
}

function byName(
  entries: JsonValue | undefined,
  isKept: (entry: JsonObject) => boolean,
): JsonObject {
  const objects = Array.isArray(entries) ? entries.filter(isObject) : [];
  const kept = objects.filter(isKept);
  return Object.fromEntries(
    kept.map((one) => {
      const { name, subresource, resource, metadata } = one;
      return [text(name ?? subresource ?? resource ?? nameOf(metadata)), one];
    }),
  );
}

function nameOf(metadata: JsonValue | undefined): JsonValue | undefined {
  return isObject(metadata) ? (metadata['name'] ?? '') : undefined;
}

function isGroup(group: JsonValue | undefined): boolean {
  return SERVED.some((one) => one.group === group);
}

/** `name` may name a subresource. */
function isResource(group: string, name: string): boolean {
  const [resource] = name.split('/');
  return SERVED.some((one) => one.group === group && one.resource === resource);
}

function isServedPath(path: string): boolean {
  const [, prefix, group] = path.split('/');
  return prefix !== 'apis' || group === undefined || group === '' || isGroup(group);
}
