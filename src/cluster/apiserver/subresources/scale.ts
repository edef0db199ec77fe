/** The /scale subresource: autoscaling/v1 Scale as a view of a workload, by the paths its kind names. */
import type { Scale } from '../../../gen/kube-autoscaling-v1.js';
import type { LabelSelector } from '../../../gen/kube-meta-v1.js';
import { AGE_COLUMN, ageText, NAME_COLUMN, numberColumn } from '../../api/kinds/cells.js';
import type { Kind, ScalePaths } from '../../api/kinds/kind.js';
import type { JsonObject, JsonValue, KubeObject } from '../../api/object.js';
import { formatSelector, requirementsOf } from '../../api/selector.js';
import { conflict, invalid, OBJECT_MODIFIED, type FieldError } from '../../api/status.js';
import type { TableView } from '../answer/views.js';

export const SCALE_VIEW: TableView = {
  columns: [
    NAME_COLUMN,
    numberColumn('Desired', 'Number of replicas that is wanted.'),
    numberColumn('Available', 'Number of replicas that there are.'),
    AGE_COLUMN,
  ],
  cells: (object, nowMs) => {
    const { metadata, spec, status } = object as Scale;
    return [
      metadata.name ?? '',
      spec?.replicas ?? 0,
      status?.replicas ?? 0,
      ageText(metadata.creationTimestamp, nowMs),
    ];
  },
};

const OF = { group: 'autoscaling', resource: 'Scale' };

export function scaleOf(paths: ScalePaths, object: KubeObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = numberAt(object, paths.specReplicas);
  const selector = valueAt(object, paths.selector) as LabelSelector | undefined;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: replicas === 0 ? {} : { replicas },
    status: {
      replicas: numberAt(object, paths.statusReplicas),
      ...(selector === undefined ? {} : { selector: formatSelector(requirementsOf(selector)) }),
    },
  };
}

/** The object with the number of replicas that `scale` wants. Throws: ApiError 409, 422. */
export function scaled(
  kind: Kind,
  paths: ScalePaths,
  current: KubeObject,
  scale: Scale,
): KubeObject {
  const name = current.metadata.name ?? '';
  const { resourceVersion = '' } = scale.metadata;
  if (resourceVersion !== '' && resourceVersion !== current.metadata.resourceVersion) {
    throw conflict(kind, name, OBJECT_MODIFIED);
  }
  const replicas = (scale as Partial<Scale>).spec?.replicas ?? 0;
  const errors = replicasErrors(replicas);
  if (errors.length > 0) throw invalid(OF, name, errors);
  const next = structuredClone(current);
  setAt(next, paths.specReplicas, replicas);
  return next;
}

function replicasErrors(replicas: number): FieldError[] {
  if (replicas >= 0) return [];
  const message = `Invalid value: ${replicas}: must be greater than or equal to 0`;
  return [{ reason: 'FieldValueInvalid', field: 'spec.replicas', message }];
}

function numberAt(object: KubeObject, path: string): number {
  const value = valueAt(object, path);
  return typeof value === 'number' ? value : 0;
}

function valueAt(object: KubeObject, path: string): unknown {
  let value: unknown = object;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}

function setAt(object: KubeObject, path: string, to: JsonValue): void {
  const names = path.split('.');
  const last = names.pop() ?? '';
  let parent = object as unknown as JsonObject;
  for (const name of names) {
    const child = (parent[name] ?? {}) as JsonObject;
    parent[name] = child;
    parent = child;
  }
  parent[last] = to;
}
