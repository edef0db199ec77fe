/** Filter of a list or watch: a scope of keys, and selectors. */
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import type { StoredObject } from '../storage/stored-object.js';

/** One term of a field selector. */
export interface FieldTerm {
  readonly field: string;
  readonly value: string;
  readonly isEqual: boolean;
}

export interface ObjectFilter {
  /** Prefix of keys: empty, `namespace/`, or a whole key. */
  readonly prefix: string;
  /** `prefix` is a whole key. */
  readonly isSingle: boolean;
  /** Undefined: all. */
  readonly labels: ((labels: Readonly<Record<string, string>>) => boolean) | undefined;
  readonly fields: readonly FieldTerm[];
}

export function hasSelectors(filter: ObjectFilter): boolean {
  return filter.labels !== undefined || filter.fields.length > 0;
}

export function matches(filter: ObjectFilter, stored: StoredObject): boolean {
  const { prefix, isSingle, labels, fields } = filter;
  if (isSingle ? stored.key !== prefix : !stored.key.startsWith(prefix)) return false;
  if (labels === undefined && fields.length === 0) return true;
  const { object, kind } = stored;
  if (labels !== undefined && !labels(object.metadata.labels ?? {})) return false;
  return fields.every(
    ({ field, value, isEqual }) => (fieldOf(kind, object, field) === value) === isEqual,
  );
}

/** Value of a selectable field. Requires: the kind has it. */
export function fieldOf(kind: Kind, object: KubeObject, field: string): string {
  if (field === 'metadata.name') return object.metadata.name ?? '';
  if (field === 'metadata.namespace') return object.metadata.namespace ?? '';
  return kind.selectableFields[field]?.(object) ?? '';
}
