import type { Namespace } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import { fieldInvalid, fieldProblems } from '../../validation/field-error.js';
import { qualifiedNameProblems } from '../../validation/names.js';
import { STANDARD_FINALIZERS } from '../../validation/object-meta.js';
import type { StatusSubresource } from '../kind.js';

/** A write of /finalize changes spec.finalizers, which no other write can. */
export const namespaceFinalize: StatusSubresource<Namespace> = {
  prepareUpdate: (next, old) => {
    next.status = old.status;
  },
  validateUpdate: ({ spec }) =>
    (spec.finalizers ?? []).flatMap((name, index) =>
      validateNamespaceFinalizer(`spec.finalizers[${index}]`, name),
    ),
};

export function validateNamespaceFinalizer(field: string, name: string): FieldError[] {
  const isKnown = name.includes('/') || STANDARD_FINALIZERS.has(name);
  const detail = 'name is neither a standard finalizer name nor is it fully qualified';
  return [
    ...fieldProblems(field, name, qualifiedNameProblems(name)),
    ...(isKnown ? [] : [fieldInvalid(field, name, detail)]),
  ];
}
