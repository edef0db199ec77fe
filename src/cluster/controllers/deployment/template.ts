/** A ReplicaSet is of the Deployment's current template, or of an older one. */
import type { Deployment, ReplicaSet } from '../../../gen/kube-apps-v1.js';
import type { PodTemplateSpec } from '../../../gen/kube-core-v1.js';
import { isSameJson } from '../json.js';
import { byAge, controllerReferenceTo } from '../references.js';
import { newSetAnnotations, nextRevision } from './annotations.js';
import { newReplicas, sizeAnnotations } from './numbers.js';

const HASH_LABEL = 'pod-template-hash';
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

/** Several sets may have the current template after a collision: the oldest is the one. */
export function findNew({ spec }: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return [...sets].sort(byAge).find((set) => isSameTemplate(set.spec.template, spec.template));
}

export function isSameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec): boolean {
  return isSameJson(bare(a ?? {}), bare(b));
}

/** Without the hash label, and with what is absent in one form. */
function bare(template: PodTemplateSpec): unknown {
  const { labels = {}, ...metadata } = template.metadata ?? {};
  const kept = Object.entries(labels).filter(([key]) => key !== HASH_LABEL);
  return { ...template, metadata: { ...metadata, labels: Object.fromEntries(kept) } };
}

/** Not yet created. Its name follows from the template, so that creating it twice is no harm. */
export function newSetOf(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet {
  const { namespace, name = '' } = deployment.metadata;
  const { selector, template, minReadySeconds = 0 } = deployment.spec;
  const hash = hashOf(template, deployment.status?.collisionCount);
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels,
      annotations: {
        ...newSetAnnotations(deployment, undefined, nextRevision(sets)),
        ...sizeAnnotations(deployment),
      },
      ownerReferences: [controllerReferenceTo(deployment)],
    },
    spec: {
      replicas: newReplicas(deployment, sets, undefined),
      ...(minReadySeconds === 0 ? {} : { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

/** A short name of the template, without vowels, so that it makes no words. */
function hashOf(template: PodTemplateSpec, collisionCount: number | undefined): string {
  const text = JSON.stringify(sorted(bare(template))) + String(collisionCount ?? '');
  return [...String(fnv32a(Buffer.from(text)))]
    .map((digit) => SAFE[digit.charCodeAt(0) % SAFE.length] ?? '')
    .join('');
}

function fnv32a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** The order of an object's names is no part of it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
