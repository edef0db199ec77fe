import type { NamespaceCondition } from '../../../gen/kube-core-v1.js';
import { formatTime } from '../../api/time.js';
import { isSameJson } from '../json.js';
import type { Remaining } from './content.js';

/** Failures while the content of a namespace was deleted, and the content that is left. */
export interface Findings {
  readonly discoveryFailures: readonly string[];
  readonly errors: readonly string[];
  readonly remaining: readonly Remaining[];
}

type Report = readonly [type: string, isTrue: boolean, reason: string, message: string];

/** The conditions that say how far a deletion has come; `known` itself when they say so already. */
export function conditionsOf(
  known: readonly NamespaceCondition[],
  findings: Findings,
  nowMs: number,
): readonly NamespaceCondition[] {
  const reports = [
    discovery(findings.discoveryFailures),
    report('NamespaceDeletionGroupVersionParsingFailure', undefined, [
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ]),
    content(findings.errors),
    instances(findings.remaining),
    finalizers(findings.remaining),
  ];
  const types = new Set(reports.map(([type]) => type));
  const next = reports.map((one) => conditionOf(known, one, nowMs));
  const all = [...known.filter(({ type }) => !types.has(type)), ...next];
  return isSameJson(all, known) ? known : all;
}

function conditionOf(
  known: readonly NamespaceCondition[],
  [type, isTrue, reason, message]: Report,
  nowMs: number,
): NamespaceCondition {
  const current = known.find((condition) => condition.type === type);
  const status = isTrue ? 'True' : 'False';
  const since = current?.status === status ? current.lastTransitionTime : undefined;
  return { type, status, lastTransitionTime: since ?? formatTime(nowMs), reason, message };
}

/** True with `trouble`, else False with `fine`. */
function report(
  type: string,
  trouble: readonly [reason: string, message: string] | undefined,
  fine: readonly [reason: string, message: string],
): Report {
  const [reason, message] = trouble ?? fine;
  return [type, trouble !== undefined, reason, message];
}

function discovery(failures: readonly string[]): Report {
  const message = `Discovery failed for some groups, ${failures.length} failing: `;
  return report(
    'NamespaceDeletionDiscoveryFailure',
    failures.length === 0 ? undefined : ['DiscoveryFailed', message + failures.join(', ')],
    ['ResourcesDiscovered', 'All resources successfully discovered'],
  );
}

function content(errors: readonly string[]): Report {
  const message = `Failed to delete all resource types, ${errors.length} remaining: `;
  return report(
    'NamespaceDeletionContentFailure',
    errors.length === 0 ? undefined : ['ContentDeletionFailed', message + errors.join(', ')],
    ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization'],
  );
}

function instances(remaining: readonly Remaining[]): Report {
  const list = remaining
    .map(({ type, count }) => `${type.resource}.${type.group} has ${count} resource instances`)
    .sort();
  const message = `Some resources are remaining: ${list.join(', ')}`;
  return report(
    'NamespaceContentRemaining',
    list.length === 0 ? undefined : ['SomeResourcesRemain', message],
    ['ContentRemoved', 'All content successfully removed'],
  );
}

function finalizers(remaining: readonly Remaining[]): Report {
  const counts = new Map<string, number>();
  for (const finalizer of remaining.flatMap((one) => one.finalizers)) {
    counts.set(finalizer, (counts.get(finalizer) ?? 0) + 1);
  }
  const list = [...counts].map(([name, count]) => `${name} in ${count} resource instances`).sort();
  const message = `Some content in the namespace has finalizers remaining: ${list.join(', ')}`;
  return report(
    'NamespaceFinalizersRemaining',
    list.length === 0 ? undefined : ['SomeFinalizersRemain', message],
    ['ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
  );
}
