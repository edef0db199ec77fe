/**
 * From a path and a method to what is asked for, by the rules of k8s.io/apiserver
 * RequestInfoFactory: authorization, limits and metrics rest on the same reading of a URL that the
 * handlers have.
 */
import { badRequest } from '../../api/status.js';
import type { RequestInfo } from './exchange.js';

/** Segments behind the name of a namespace that name no resource in it. */
const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set(['status', 'finalize']);

/** Verbs that may stand as a path segment before the resource; old clients write watches so. */
const PATH_VERBS: ReadonlySet<string> = new Set(['proxy', 'watch']);

const VERB_OF_METHOD: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Subresources that hold a connection for as long as their user likes. */
const LONG_RUNNING: ReadonlySet<string> = new Set([
  'attach',
  'exec',
  'log',
  'portforward',
  'proxy',
]);

/**
 * `method` is in upper case, `path` percent-encoded. Throws: ApiError 400 for a path that cannot be
 * decoded, or that names a verb and no resource.
 */
export function requestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const decoded = decodePath(path);
  const resource = resourceParts(decoded);
  if (resource === undefined) return nonResource(method.toLowerCase(), decoded);
  const { group, version } = resource;
  let { parts } = resource;

  let verb = VERB_OF_METHOD[method] ?? '';
  const [first = '', second] = parts;
  if (PATH_VERBS.has(first)) {
    if (second === undefined) throw badRequest('unable to determine kind and namespace from url');
    verb = first;
    parts = parts.slice(1);
  }
  const inNamespace = namespaced(parts);
  parts = inNamespace.parts;
  const subresource = PATH_VERBS.has(verb) ? '' : (parts[2] ?? '');
  const name = parts[1] ?? '';
  const info = {
    isResource: true,
    verb,
    group,
    version,
    namespace: inNamespace.namespace,
    resource: parts[0] ?? '',
    subresource,
    name,
    path: decoded,
  };
  return name === '' ? ofCollection(info, query) : info;
}

/** True for requests that end when their user likes: no time limit and no in-flight limit holds for them. */
export function isLongRunning(info: RequestInfo): boolean {
  return info.isResource && (info.verb === 'watch' || LONG_RUNNING.has(info.subresource));
}

function decodePath(path: string): string {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    throw badRequest('the path of the request is not properly encoded');
  }
}

function nonResource(verb: string, path: string): RequestInfo {
  return {
    isResource: false,
    verb,
    group: '',
    version: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    path,
  };
}

/** Group, version and the segments behind them; undefined for discovery and all other paths. */
function resourceParts(
  path: string,
):
  | { readonly group: string; readonly version: string; readonly parts: readonly string[] }
  | undefined {
  const parts = path.replace(/^\/+|\/+$/g, '').split('/');
  const [prefix, second = '', third = ''] = parts;
  if (prefix === 'api' && parts.length >= 3)
    return { group: '', version: second, parts: parts.slice(2) };
  if (prefix === 'apis' && parts.length >= 4)
    return { group: second, version: third, parts: parts.slice(3) };
  return undefined;
}

/** `namespaces/NS/pods/p` is pods/p in NS; `namespaces/NS` and its own subresources are the namespace. */
function namespaced(parts: readonly string[]): {
  readonly namespace: string;
  readonly parts: readonly string[];
} {
  const [first, namespace, third] = parts;
  if (first !== 'namespaces' || namespace === undefined) return { namespace: '', parts };
  const isInside = third !== undefined && !NAMESPACE_SUBRESOURCES.has(third);
  return { namespace, parts: isInside ? parts.slice(2) : parts };
}

/** No name in the path: get means list or watch, delete means deletecollection. */
function ofCollection(info: RequestInfo, query: URLSearchParams): RequestInfo {
  if (info.verb === 'delete') return { ...info, verb: 'deletecollection' };
  if (info.verb !== 'get' && info.verb !== 'watch') return info;
  const verb = info.verb === 'watch' || isTrue(query.get('watch')) ? 'watch' : 'list';
  return { ...info, verb, name: nameSelected(query.get('fieldSelector') ?? '') };
}

/** As Kubernetes reads a boolean parameter: whatever is not plainly false is true. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}

/** The one name that a field selector allows; empty when it allows more. */
function nameSelected(selector: string): string {
  for (const term of selector.split(',')) {
    const match = /^\s*metadata\.name\s*==?\s*([^=!\s\\]+)\s*$/.exec(term);
    const name = match?.[1] ?? '';
    if (name !== '' && isPathSegment(name)) return name;
  }
  return '';
}

function isPathSegment(name: string): boolean {
  return name !== '.' && name !== '..' && !name.includes('/') && !name.includes('%');
}
