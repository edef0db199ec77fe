/** Numbers of pods that a Deployment's ReplicaSets should have: all of it arithmetic on objects. */
import type { Deployment, ReplicaSet } from '../../../gen/kube-apps-v1.js';
import { DESIRED, MAX, numberOf } from './annotations.js';
import { byAge } from '../references.js';

export interface Resize {
  readonly set: ReplicaSet;
  readonly replicas: number;
}

/** Pods that may be there beyond the wanted ones, and that may be missing, during an update. */
export interface Limits {
  readonly surge: number;
  readonly unavailable: number;
}

export function wantedReplicas({ spec }: Deployment): number {
  return spec.replicas ?? 1;
}

export function specReplicas({ spec }: ReplicaSet): number {
  return spec.replicas ?? 1;
}

export function availableReplicas({ status }: ReplicaSet): number {
  return status?.availableReplicas ?? 0;
}

/** The status is of the current size: pods that it counts are not about to go. */
function isReported({ metadata, status }: ReplicaSet): boolean {
  return (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
}

/** Pods that are available and stay: of a set that was just shrunk, its status does not know yet. */
function lastingReplicas(set: ReplicaSet): number {
  return Math.min(availableReplicas(set), specReplicas(set));
}

export function total(sets: readonly ReplicaSet[], count: (set: ReplicaSet) => number): number {
  return sets.reduce((sum, set) => sum + count(set), 0);
}

/** Shares of percent round up for the surge, down for what is missing; not both may be zero. */
export function limitsOf(deployment: Deployment): Limits {
  const wanted = wantedReplicas(deployment);
  const { type, rollingUpdate = {} } = deployment.spec.strategy ?? {};
  if (type === 'Recreate') return { surge: 0, unavailable: 0 };
  const surge = resolve(rollingUpdate.maxSurge ?? '25%', wanted, Math.ceil);
  const unavailable = resolve(rollingUpdate.maxUnavailable ?? '25%', wanted, Math.floor);
  const either = surge === 0 && unavailable === 0 ? 1 : unavailable;
  return { surge, unavailable: Math.min(either, wanted) };
}

function resolve(value: number | string, of: number, round: (share: number) => number): number {
  if (typeof value === 'number') return value;
  return round((Number.parseInt(value, 10) * of) / 100);
}

/** As many new pods as the surge leaves room for beside the old ones. */
export function newReplicas(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  newSet: ReplicaSet | undefined,
): number {
  const wanted = wantedReplicas(deployment);
  const current = newSet === undefined ? 0 : specReplicas(newSet);
  if (deployment.spec.strategy?.type === 'Recreate' || current >= wanted) return wanted;
  const room = wanted + limitsOf(deployment).surge - total(sets, specReplicas);
  return room <= 0 ? current : Math.min(current + room, wanted);
}

/**
 * Old sets to shrink: first by pods that are not available anyway, then by as many available ones
 * as may be missing.
 */
export function shrinkOld(
  deployment: Deployment,
  newSet: ReplicaSet,
  oldSets: readonly ReplicaSet[],
): Resize[] {
  const minAvailable = wantedReplicas(deployment) - limitsOf(deployment).unavailable;
  const all = [...oldSets, newSet];
  const newUnavailable = specReplicas(newSet) - availableReplicas(newSet);
  let mayGo = total(all, specReplicas) - minAvailable - newUnavailable;
  if (total(oldSets, specReplicas) === 0 || mayGo <= 0 || !all.every(isReported)) return [];
  const left = new Map(oldSets.map((set) => [set, specReplicas(set)]));
  const take = (set: ReplicaSet, most: number): number => {
    const before = left.get(set) ?? 0;
    const taken = Math.max(0, Math.min(before, most, mayGo));
    left.set(set, before - taken);
    mayGo -= taken;
    return taken;
  };
  const aged = [...oldSets].sort(byAge);
  for (const set of aged) take(set, specReplicas(set) - availableReplicas(set));
  let spare = total(all, lastingReplicas) - minAvailable;
  for (const set of aged) spare -= take(set, spare);
  return oldSets
    .map((set) => ({ set, replicas: left.get(set) ?? 0 }))
    .filter(({ set, replicas }) => replicas !== specReplicas(set));
}

/**
 * Spreads a change of the wanted number over the sets that have pods, by their share, so that an
 * update that is under way goes on as it was. The remainder of rounding goes to the largest.
 */
export function spread(deployment: Deployment, active: readonly ReplicaSet[]): Resize[] {
  const wanted = wantedReplicas(deployment);
  const allowed = wanted === 0 ? 0 : wanted + limitsOf(deployment).surge;
  const toAdd = allowed - total(active, specReplicas);
  // Of equal sets, growth favours the newest, shrinking the oldest.
  const aged = [...active].sort(toAdd > 0 ? (a, b) => byAge(b, a) : byAge);
  const sorted = aged.sort((a, b) => specReplicas(b) - specReplicas(a));
  let added = 0;
  const sizes = sorted.map((set) => {
    const room = toAdd - added;
    const share = room === 0 ? 0 : shareOf(deployment, set, allowed);
    const change = toAdd > 0 ? Math.min(share, room) : Math.max(share, room);
    added += change;
    return { set, replicas: specReplicas(set) + change };
  });
  return sizes.map(({ set, replicas }, index) => ({
    set,
    replicas: Math.max(0, index === 0 ? replicas + toAdd - added : replicas),
  }));
}

function shareOf(deployment: Deployment, set: ReplicaSet, allowed: number): number {
  const current = specReplicas(set);
  if (wantedReplicas(deployment) === 0) return -current;
  const before = numberOf(set.metadata.annotations, MAX) ?? deployment.status?.replicas ?? 0;
  return before === 0 ? 0 : Math.round((current * allowed) / before) - current;
}

/** The wanted number was changed since the sets were last sized. */
export function isScaling(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  const wanted = wantedReplicas(deployment);
  return sets.some((set) => {
    if (specReplicas(set) === 0) return false;
    return (numberOf(set.metadata.annotations, DESIRED) ?? wanted) !== wanted;
  });
}

/** The new set has, and has had since the last change of it, the wanted number. */
export function isSaturated(deployment: Deployment, newSet: ReplicaSet): boolean {
  const sized = numberOf(newSet.metadata.annotations, DESIRED);
  const counts = [sized, specReplicas(newSet), availableReplicas(newSet)];
  return counts.every((count) => count === wantedReplicas(deployment));
}

/** For scaling by shares: how many pods there were to be when a set was last sized. */
export function sizeAnnotations(deployment: Deployment): Readonly<Record<string, string>> {
  const wanted = wantedReplicas(deployment);
  return { [DESIRED]: String(wanted), [MAX]: String(wanted + limitsOf(deployment).surge) };
}
