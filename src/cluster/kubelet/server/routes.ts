/** Paths of the kubelet's API. */
import { HttpProblem } from './http-problem.js';
import type { PodName } from './node-view.js';

export type StreamKind = 'exec' | 'attach' | 'portForward';

export interface StreamRoute {
  readonly kind: StreamKind;
  readonly name: PodName;
  /** Empty for port forwarding. */
  readonly container: string;
  readonly query: URLSearchParams;
}

export interface LogRoute {
  readonly name: PodName;
  readonly container: string;
  readonly query: URLSearchParams;
}

interface Target {
  /** Decoded parts of the path. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

/** Throws: HttpProblem 400. */
export function parseTarget(target: string): Target {
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  try {
    const parts = path
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
    return { parts, query: new URLSearchParams(at < 0 ? '' : target.slice(at + 1)) };
  } catch {
    throw new HttpProblem(400, 'the path is not valid');
  }
}

/** `/exec/{ns}/{pod}[/{uid}]/{container}` and its like; undefined for other paths. */
export function streamRoute({ parts, query }: Target): StreamRoute | undefined {
  const [kind, namespace = '', pod = '', ...rest] = parts;
  if (pod === '') return undefined;
  if (kind === 'portForward' && rest.length <= 1) {
    return { kind, name: { namespace, pod, uid: rest[0] ?? '' }, container: '', query };
  }
  if ((kind !== 'exec' && kind !== 'attach') || rest.length < 1 || rest.length > 2) {
    return undefined;
  }
  const uid = rest.length === 2 ? (rest[0] ?? '') : '';
  return { kind, name: { namespace, pod, uid }, container: rest.at(-1) ?? '', query };
}

/** `/containerLogs/{ns}/{pod}/{container}`. */
export function logRoute({ parts, query }: Target): LogRoute | undefined {
  const [kind, namespace = '', pod = '', container = '', ...rest] = parts;
  if (kind !== 'containerLogs' || container === '' || rest.length > 0) return undefined;
  return { name: { namespace, pod, uid: '' }, container, query };
}

/** The kubelet writes `1`, the API server `true`. */
export function isSet(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value === 'true' || value === '1';
}
