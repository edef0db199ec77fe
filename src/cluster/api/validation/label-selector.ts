/** Label selectors in objects (k8s.io/apimachinery pkg/apis/meta/v1/validation). */
import type { LabelSelector, LabelSelectorRequirement } from '../../../gen/kube-meta-v1.js';
import type { FieldError } from '../status.js';
import { fieldForbidden, fieldInvalid, fieldProblems, fieldRequired } from './field-error.js';
import { labelValueProblems, qualifiedNameProblems } from './names.js';
import { validateLabels } from './object-meta.js';

export function validateLabelSelector(
  selector: LabelSelector | undefined,
  path: string,
): FieldError[] {
  if (selector === undefined) return [];
  return [
    ...validateLabels(selector.matchLabels, `${path}.matchLabels`),
    ...(selector.matchExpressions ?? []).flatMap((requirement, index) =>
      validateRequirement(requirement, `${path}.matchExpressions[${index}]`),
    ),
  ];
}

/** A selector without any requirement selects everything. */
export function isEmptySelector(selector: LabelSelector): boolean {
  const labels = Object.keys(selector.matchLabels ?? {});
  return labels.length === 0 && (selector.matchExpressions ?? []).length === 0;
}

/** Operators of label and of node selectors agree on when values must be there. */
export function validateOperatorValues(
  operator: string,
  values: readonly string[],
  path: string,
): FieldError[] {
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length > 0) return [];
    const detail = "must be specified when `operator` is 'In' or 'NotIn'";
    return [fieldRequired(`${path}.values`, detail)];
  }
  if (operator === 'Exists' || operator === 'DoesNotExist') {
    if (values.length === 0) return [];
    const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
    return [fieldForbidden(`${path}.values`, detail)];
  }
  return [fieldInvalid(`${path}.operator`, operator, 'not a valid selector operator')];
}

function validateRequirement(requirement: LabelSelectorRequirement, path: string): FieldError[] {
  const { key = '', operator = '', values = [] } = requirement as Partial<LabelSelectorRequirement>;
  return [
    ...validateOperatorValues(operator, values, path),
    ...fieldProblems(`${path}.key`, key, qualifiedNameProblems(key)),
    ...values.flatMap((value, index) =>
      fieldProblems(`${path}.values[${index}]`, value, labelValueProblems(value)),
    ),
  ];
}
