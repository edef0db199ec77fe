/** Recordings of the real controllers: what was done to a cluster, and the states that followed. */
import { readFileSync } from 'node:fs';
import type { Event } from '../../../src/gen/kube-core-v1.js';
import { findResource } from '../../../src/cluster/api/kinds/registry.js';
import type { ResourceType } from '../../../src/cluster/api/kinds/kind.js';
import type { JsonValue, KubeObject } from '../../../src/cluster/api/object.js';

export interface Action {
  readonly dt: number;
  readonly what: string;
  readonly request: { readonly method: string; readonly path: string; readonly body?: JsonValue };
}

export interface Observed {
  readonly dt: number;
  readonly resource: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
}

export interface Recording {
  readonly actions: readonly Action[];
  readonly stream: readonly Observed[];
}

export function recordingOf(name: string): Recording {
  const text = readFileSync(`test/golden/controllers/${name}.json`, 'utf8');
  return JSON.parse(text) as Recording;
}

/** The resource that a path leads to, with the namespace and the name, if it has one. */
export function targetOf(path: string): { type: ResourceType; namespace: string; name: string } {
  const match =
    /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+))?$/.exec(
      path,
    );
  const [, group = '', version = '', namespace = '', resource = '', name = ''] = match ?? [];
  const type = findResource(group, version, resource);
  if (type === undefined) throw new Error(`no resource at ${path}`);
  return { type, namespace, name };
}

/** Objects of a resource that the recording has at a moment, oldest first. */
export function statesAt(recording: Recording, resource: string, dt: number): KubeObject[] {
  const states = new Map<string, KubeObject>();
  for (const seen of recording.stream) {
    if (seen.dt > dt || seen.resource !== resource) continue;
    const { name = '' } = seen.object.metadata;
    if (seen.type === 'DELETED') states.delete(name);
    else states.set(name, seen.object);
  }
  return [...states.values()];
}

/** Nothing happens any more when the moment comes. */
export function isQuietAt({ stream }: Recording, dt: number, forMs = 400): boolean {
  return !stream.some((seen) => seen.dt <= dt && seen.dt > dt - forMs);
}

/**
 * Objects with what varies left out: uids, revisions, times, who owns which field. Generated names
 * become `<1>`, `<2>` ... in the order of `sets`, and `<POD>` in names of pods.
 */
export function masked(objects: readonly KubeObject[], sets: readonly KubeObject[]): unknown[] {
  return objects.map(
    (object) => JSON.parse(nameless(JSON.stringify(plain(object)), sets)) as unknown,
  );
}

/** Texts in which generated names may be. */
function nameless(text: string, sets: readonly KubeObject[]): string {
  let result = text;
  sets.forEach(({ metadata }, index) => {
    const { name = '', labels = {} } = metadata;
    result = result.replace(new RegExp(`\\b${name}-[a-z0-9]{5}\\b`, 'g'), `${name}-<POD>`);
    const hash = labels['pod-template-hash'];
    if (hash !== undefined) result = result.replaceAll(hash, `<${index + 1}>`);
  });
  return result;
}

const VARYING = new Set([
  'uid',
  'resourceVersion',
  'managedFields',
  'generation',
  'observedGeneration',
  'creationTimestamp',
  'lastUpdateTime',
  'lastTransitionTime',
]);

/** In one order of names, without what varies, and without what is empty. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([key, inner]) => !VARYING.has(key) && inner !== null && inner !== undefined)
    .filter(([key, inner]) => key !== 'paused' || inner !== false)
    .map(([key, inner]): [string, unknown] => [key, plain(inner)])
    .filter(([, inner]) => !['{}', '[]'].includes(JSON.stringify(inner)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}

/** Events of a component as texts, each as often as reported, in one order. */
export function eventTexts(
  events: readonly KubeObject[],
  sets: readonly KubeObject[],
  component: string,
): string[] {
  return (events as readonly Event[])
    .filter(({ source }) => source?.component === component)
    .flatMap(({ involvedObject, reason = '', message = '', type = '', count = 1 }) => {
      const text = nameless(`${involvedObject.kind ?? ''} ${type} ${reason} ${message}`, sets);
      return Array.from({ length: count }, () => text);
    })
    .sort();
}

/** Of events that were combined, messages are lost. */
export function areCombined(events: readonly KubeObject[]): boolean {
  return (events as readonly Event[]).some(({ message = '' }) => message.startsWith('(combined'));
}
