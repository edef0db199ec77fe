/**
 * Routes of a node:http server by exact path, with the path cleaning of Go's http.ServeMux, which
 * clients of etcd meet. A path with empty, `.` or `..` segments is answered with a redirect to its
 * clean form.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { sendMoved, sendNotFound, sendPlain } from './respond.js';

/** The part of a request's target that handlers look at. */
export interface RequestTarget {
  /** Decoded and clean. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Answers one request for one path. */
export type HttpHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
) => void;

/** Serves `routes`; everything else is 404. */
export function router(routes: ReadonlyMap<string, HttpHandler>): RequestListener {
  return (request, response) => {
    serve(routes, request, response);
    // An unread body would keep the connection from its next request.
    if (request.readableFlowing === null) request.resume();
  };
}

function serve(
  routes: ReadonlyMap<string, HttpHandler>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const target = splitTarget(request.url ?? '');
  const path = target === undefined ? undefined : decodePath(target.path);
  if (target === undefined || path === undefined)
    return sendPlain(response, 400, '400 Bad Request\n');
  const clean = cleanPath(target.path);
  if (clean !== target.path && request.method !== 'CONNECT') {
    return sendMoved(response, escaped(target.query === '' ? clean : `${clean}?${target.query}`));
  }
  const handler = routes.get(path);
  if (handler === undefined) sendNotFound(response);
  else handler(request, response, { path, query: new URLSearchParams(target.query) });
}

/** Path and query of a request target in origin or absolute form (RFC 9112, section 3.2); undefined for others. */
function splitTarget(
  target: string,
): { readonly path: string; readonly query: string } | undefined {
  const origin = /^https?:\/\/[^/?]+/i.exec(target)?.[0] ?? '';
  const rest = target.slice(origin.length);
  const at = rest.indexOf('?');
  const path = at < 0 ? rest : rest.slice(0, at);
  const query = at < 0 ? '' : rest.slice(at + 1);
  if (path.startsWith('/')) return { path, query };
  return path === '' && origin !== '' ? { path: '/', query } : undefined;
}

/** Characters that RFC 3986 keeps out of a URL, encoded; what is encoded already stays. */
function escaped(target: string): string {
  return target.replace(/["<>\\^`{|}]/g, encodeURIComponent);
}

function decodePath(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    // A stray percent sign, or bytes that are no text.
    return undefined;
  }
}

/** `path` without empty, `.` and `..` segments; a slash at the end stays. Encoded dots are no dots. */
export function cleanPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  const clean = `/${kept.join('/')}`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}
