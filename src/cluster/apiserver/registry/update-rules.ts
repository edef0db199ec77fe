/** Rules of an update, by the part of the object that is written: the main resource, or /status. */
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import type { FieldSet } from '../../api/patch/field-set.js';
import { resetFieldsOf } from '../../api/patch/managed-fields.js';
import type { FieldError } from '../../api/status.js';

/** How an update is settled and checked, beyond what holds for all. */
export interface UpdateRules {
  /** Puts back what may not be changed here. */
  readonly prepareUpdate: (next: KubeObject, old: KubeObject) => void;
  readonly validateUpdate: (next: KubeObject, old: KubeObject) => FieldError[];
  /** A change of anything but metadata and status raises the generation. */
  readonly countsGeneration: boolean;
  /** Fields that nobody can own through here; undefined: the write is not tracked at all. */
  readonly resetFields: FieldSet | undefined;
}

export function updateRulesOf(kind: Kind, subresource: string): UpdateRules {
  const resetFields = resetFieldsOf(kind, subresource);
  if (subresource === 'status' && kind.status !== undefined) {
    return { ...kind.status, countsGeneration: false, resetFields };
  }
  return {
    prepareUpdate: kind.strategy.prepareUpdate,
    validateUpdate: (next, old) => [...kind.validate(next, old), ...kind.validateUpdate(next, old)],
    countsGeneration: true,
    resetFields,
  };
}
