/**
 * Effect of a delete on an object: it goes at once, after its grace, or with its last finalizer
 * (k8s.io/apiserver/pkg/registry/rest/delete.go and registry/generic).
 */
import type { DeleteOptions } from '../../../gen/kube-meta-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import { apiError, conflict, type GroupResource } from '../../api/status.js';

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';

export interface DeletionPlan {
  /** The object as it is to be stored or shown, marked as being deleted. */
  readonly object: KubeObject;
  /** Nothing holds it: it goes now. */
  readonly isFinal: boolean;
  /** It is not as it was, so that it has to be written if it stays. */
  readonly isChanged: boolean;
}

/** `now` is wall milliseconds. Throws: ApiError 409 when a precondition fails. */
export function planDeletion(
  kind: Kind,
  current: KubeObject,
  options: DeleteOptions,
  nowMs: number,
): DeletionPlan {
  checkPreconditions(kind, current, options);
  const object = structuredClone(current);
  const { metadata } = object;
  const finalizers = finalizersAfter(metadata.finalizers ?? [], options);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  const isHeld = finalizers.length > 0 || kind.strategy.isHeldBack?.(object) === true;
  const isGraceful = kind.strategy.graceSeconds !== undefined;
  const grace = isGraceful ? graceOf(kind, current, options) : 0;

  if (metadata.deletionTimestamp === undefined) {
    if (isGraceful || isHeld) mark(kind, object, grace, nowMs);
  } else if (isGraceful) {
    shorten(object, grace, options);
  }
  const isWaiting = isGraceful && (metadata.deletionGracePeriodSeconds ?? 0) > 0;
  return {
    object,
    isFinal: !isHeld && !isWaiting,
    isChanged: JSON.stringify(object) !== JSON.stringify(current),
  };
}

/** True of an object that is being deleted and that nothing holds any more: a write of it removes it. */
export function isReleased(kind: Kind, object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers ?? []).length > 0) return false;
  if ((deletionGracePeriodSeconds ?? 0) !== 0) return false;
  return kind.strategy.isHeldBack?.(object) !== true;
}

function graceOf(kind: Kind, object: KubeObject, options: DeleteOptions): number {
  const own = kind.strategy.graceSeconds?.(object) ?? 0;
  if (own === 0) return 0;
  const grace = options.gracePeriodSeconds ?? own;
  // A negative grace means as short as possible.
  return grace < 0 ? 1 : grace;
}

function mark(kind: Kind, object: KubeObject, grace: number, nowMs: number): void {
  const { metadata } = object;
  metadata.deletionTimestamp = timeText(nowMs + grace * 1000);
  // Namespaces show no grace.
  if (kind.strategy.isHeldBack === undefined) metadata.deletionGracePeriodSeconds = grace;
  if (kind.strategy.graceSeconds !== undefined && metadata.generation !== undefined) {
    metadata.generation++;
  }
  kind.strategy.markDeleting?.(object);
}

/** A second delete may only make the grace shorter. */
function shorten(object: KubeObject, grace: number, options: DeleteOptions): void {
  const { metadata } = object;
  const current = metadata.deletionGracePeriodSeconds ?? 0;
  if (options.gracePeriodSeconds === undefined || grace >= current) return;
  const endMs = Date.parse(metadata.deletionTimestamp ?? '') - (current - grace) * 1000;
  metadata.deletionTimestamp = timeText(endMs);
  metadata.deletionGracePeriodSeconds = grace;
}

function finalizersAfter(finalizers: readonly string[], options: DeleteOptions): string[] {
  const policy = policyOf(options);
  if (policy === undefined) return [...finalizers];
  const others = finalizers.filter((one) => one !== FOREGROUND && one !== ORPHAN);
  if (policy === 'Foreground') return [...others, FOREGROUND];
  return policy === 'Orphan' ? [...others, ORPHAN] : others;
}

/** Undefined: the object's own finalizers decide. */
function policyOf(options: DeleteOptions): string | undefined {
  if (options.orphanDependents !== undefined) {
    return options.orphanDependents ? 'Orphan' : 'Background';
  }
  return options.propagationPolicy;
}

function checkPreconditions(kind: Kind, { metadata }: KubeObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const of: GroupResource = { group: kind.group, resource: kind.kind };
  const name = metadata.name ?? '';
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(
      of,
      name,
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid ?? ''}). The object might have been deleted and then recreated`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      of,
      name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion ?? ''}). The object might have been modified`,
    );
  }
}

function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** The Status that answers a delete which left nothing. */
export function deletedStatus(kind: Kind, { metadata }: KubeObject): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: metadata.name ?? '',
      ...(kind.group === '' ? {} : { group: kind.group }),
      kind: kind.resource,
      uid: metadata.uid ?? '',
    },
  };
}

/** A delete that lost against other writers again and again. */
export function tooManyConflicts(kind: Kind, name: string): Error {
  return apiError(
    500,
    'ServerTimeout',
    `${kind.resource} ${JSON.stringify(name)} changes too fast`,
  );
}
