/** Paths and operations of OpenAPI v3 for one resource. */
import type { SubresourceInfo, Verb } from '../../api/kinds/kind.js';
import type { DiscoveredKind } from '../discovery/discovered-kind.js';
import { subresourcesOf } from '../discovery/documents.js';
import { PATCH, reference, type Json } from './schemas.js';

/** Names of the schemas that a resource's operations speak of. */
export interface SchemaNames {
  readonly object: string;
  readonly list: string;
  /** By group, version and kind, for subresources: `policy/v1/Eviction`; undefined when there is no schema. */
  readonly of: (group: string, version: string, kind: string) => string | undefined;
}

const STATUS = 'io.k8s.apimachinery.pkg.apis.meta.v1.Status';
const DELETE_OPTIONS = 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions';

const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

const WRITE = parameters({ dryRun: 'string', fieldManager: 'string', fieldValidation: 'string' });
const FORCE = parameters({ force: 'boolean' });
const LIST = parameters({
  allowWatchBookmarks: 'boolean',
  continue: 'string',
  fieldSelector: 'string',
  labelSelector: 'string',
  limit: 'integer',
  resourceVersion: 'string',
  resourceVersionMatch: 'string',
  sendInitialEvents: 'boolean',
  timeoutSeconds: 'integer',
  watch: 'boolean',
});
const DELETE = parameters({
  dryRun: 'string',
  gracePeriodSeconds: 'integer',
  orphanDependents: 'boolean',
  propagationPolicy: 'string',
});

function parameters(types: Readonly<Record<string, string>>, where = 'query'): Json[] {
  return Object.entries(types).map(([name, type]) => ({
    name,
    in: where,
    ...(where === 'path' ? { required: true } : {}),
    schema: { type, uniqueItems: true },
  }));
}

type Action = 'connect' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'post' | 'put';

export function pathsOf(kind: DiscoveredKind, names: SchemaNames): Json {
  const { group, version, resource, isNamespaced } = kind;
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const collection = isNamespaced
    ? `${root}/namespaces/{namespace}/${resource}`
    : `${root}/${resource}`;
  const operations = new Operations(kind, names);
  const inside = isNamespaced ? { namespace: 'string' } : {};
  const item = { name: 'string', ...inside };
  const paths: Record<string, Json> = {};
  const add = (path: string, own: Json, placeholders: Readonly<Record<string, string>>): void => {
    if (Object.keys(own).length === 0) return;
    const all = [...parameters(placeholders, 'path'), ...parameters({ pretty: 'string' })];
    paths[path] = { ...own, parameters: all };
  };
  add(collection, operations.ofCollection(), inside);
  if (isNamespaced) add(`${root}/${resource}`, operations.ofAllNamespaces(), {});
  add(`${collection}/{name}`, operations.ofItem(), item);
  for (const sub of subresourcesOf(kind))
    add(`${collection}/{name}/${sub.name}`, operations.ofSubresource(sub), item);
  return paths;
}

class Operations {
  private readonly kind: DiscoveredKind;
  private readonly names: SchemaNames;

  constructor(kind: DiscoveredKind, names: SchemaNames) {
    this.kind = kind;
    this.names = names;
  }

  ofCollection(): Json {
    const { object, list } = this.names;
    return {
      ...this.when('list', { get: this.operation('list', { answer: list, parameters: LIST }) }),
      ...this.when('create', {
        post: this.operation('post', { answer: object, body: object, parameters: WRITE }),
      }),
      ...this.when('deletecollection', {
        delete: this.operation('deletecollection', {
          answer: STATUS,
          body: DELETE_OPTIONS,
          parameters: [...DELETE, ...LIST.filter(isOfDeletion)],
        }),
      }),
    };
  }

  ofAllNamespaces(): Json {
    const answer = this.names.list;
    return this.when('list', { get: this.operation('list', { answer, parameters: LIST }) });
  }

  ofItem(): Json {
    const { object } = this.names;
    return {
      ...this.when('get', { get: this.operation('get', { answer: object }) }),
      ...this.when('update', { put: this.put(object) }),
      ...this.when('delete', {
        delete: this.operation('delete', {
          answer: STATUS,
          body: DELETE_OPTIONS,
          parameters: DELETE,
        }),
      }),
      ...this.when('patch', { patch: this.patch(object) }),
    };
  }

  ofSubresource(sub: SubresourceInfo): Json {
    const { group, version, kind, verbs } = sub;
    const has = (verb: SubresourceInfo['verbs'][number]): boolean => verbs.includes(verb);
    // A resource that is asked by GET and by POST alike is a connection.
    if (has('create') && has('get')) {
      const connect = this.operation('connect', { of: sub });
      return { get: connect, post: connect };
    }
    const name = this.names.of(group, version, kind);
    return {
      ...(has('get') ? { get: this.operation('get', { answer: name, of: sub }) } : {}),
      ...(has('update') ? { put: this.put(name, sub) } : {}),
      ...(has('create')
        ? {
            post: this.operation('post', { answer: name, body: name, parameters: WRITE, of: sub }),
          }
        : {}),
      ...(has('patch') ? { patch: this.patch(name, sub) } : {}),
    };
  }

  private when(verb: Verb, operation: Json): Json {
    return this.kind.verbs.includes(verb) ? operation : {};
  }

  private put(name: string | undefined, of?: SubresourceInfo): Json {
    return this.operation('put', { answer: name, body: name, parameters: WRITE, of });
  }

  private patch(name: string | undefined, of?: SubresourceInfo): Json {
    const schema = { schema: reference(PATCH) };
    const content = Object.fromEntries(PATCH_TYPES.map((type) => [type, schema]));
    const operation = this.operation('patch', {
      answer: name,
      parameters: [...WRITE, ...FORCE],
      of,
    });
    return { ...operation, requestBody: { content, required: true } };
  }

  private operation(
    action: Action,
    {
      answer,
      body,
      parameters: own = [],
      of = this.kind,
    }: {
      readonly answer?: string | undefined;
      readonly body?: string | undefined;
      readonly parameters?: readonly Json[];
      readonly of?: Pick<SubresourceInfo, 'group' | 'version' | 'kind'> | undefined;
    },
  ): Json {
    const { group, version } = this.kind;
    const schema = answer === undefined ? {} : { schema: reference(answer) };
    const content = { 'application/json': schema, 'application/yaml': schema };
    return {
      tags: [`${tagOf(group)}_${version}`],
      ...(own.length === 0 ? {} : { parameters: own }),
      ...(body === undefined
        ? {}
        : { requestBody: { content: { '*/*': { schema: reference(body) } } } }),
      responses: { 200: answer === undefined ? {} : { content }, 401: {} },
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': { group: of.group, version: of.version, kind: of.kind },
    };
  }
}

function isOfDeletion({ name }: Json): boolean {
  return name !== 'watch' && name !== 'allowWatchBookmarks';
}

/** As generators of clients name their classes: `core`, `apps`, `coordination`. */
function tagOf(group: string): string {
  return group === '' ? 'core' : (group.split('.')[0] ?? group);
}
