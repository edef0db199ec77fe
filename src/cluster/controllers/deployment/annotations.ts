/** Annotations in which a Deployment and its ReplicaSets keep facts of each other. */
import type { Deployment, ReplicaSet } from '../../../gen/kube-apps-v1.js';
import type { KubeObject } from '../../api/object.js';

export const REVISION = 'deployment.kubernetes.io/revision';
const HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED = 'deployment.kubernetes.io/desired-replicas';
export const MAX = 'deployment.kubernetes.io/max-replicas';
/** Of the history, in characters. */
const MAX_HISTORY = 2000;

/** Annotations that say something of one object alone. */
const OWN = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.deployment.rollback.to',
  REVISION,
  HISTORY,
  DESIRED,
  MAX,
]);

type Annotations = Readonly<Record<string, string>>;

/** Zero when it has none. */
export function revisionOf({ metadata }: KubeObject): number {
  return numberOf(metadata.annotations, REVISION) ?? 0;
}

/** One more than that of all sets that are not the current one. */
export function nextRevision(oldSets: readonly ReplicaSet[]): number {
  return Math.max(0, ...oldSets.map(revisionOf)) + 1;
}

export function numberOf(annotations: Annotations | undefined, key: string): number | undefined {
  const text = annotations?.[key] ?? '';
  return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/**
 * The annotations of the new set: the Deployment's, and the revision, which only grows. A set that
 * comes back remembers the revisions that it had.
 */
export function newSetAnnotations(
  deployment: Deployment,
  set: ReplicaSet | undefined,
  revision: number,
): Annotations {
  const shared = Object.entries(deployment.metadata.annotations ?? {}).filter(
    ([key]) => !OWN.has(key),
  );
  const result: Record<string, string> = {
    ...set?.metadata.annotations,
    ...Object.fromEntries(shared),
  };
  const before = numberOf(result, REVISION);
  if (before !== undefined && before >= revision) return result;
  if (before !== undefined) result[HISTORY] = extended(result[HISTORY], String(before));
  result[REVISION] = String(revision);
  return result;
}

/** The oldest revisions are forgotten when the text grows too long. */
function extended(history: string | undefined, revision: string): string {
  const all = history === undefined ? [revision] : [...history.split(','), revision];
  while (all.length > 1 && all.join(',').length > MAX_HISTORY) all.shift();
  return all.join(',');
}
