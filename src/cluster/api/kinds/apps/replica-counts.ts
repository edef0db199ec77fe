/** Numbers of pods that workloads report, and the columns that their tables share. */
import type { PodTemplateSpec } from '../../../../gen/kube-core-v1.js';
import type { LabelSelector } from '../../../../gen/kube-meta-v1.js';
import { formatSelector, requirementsOf } from '../../selector.js';
import { ApiError, type FieldError } from '../../status.js';
import { fieldInvalid, when } from '../../validation/field-error.js';
import { validateNonNegative } from '../../validation/values.js';
import { textColumn } from '../cells.js';
import type { Column } from '../kind.js';

/** `names`: fields that must not be negative. `parts`: fields that cannot be more than `replicas`. */
export function validateCounts<T extends object>(
  status: T,
  names: readonly (keyof T & string)[],
  parts: readonly (keyof T & string)[],
): FieldError[] {
  const count = (name: string): number | undefined => {
    const value = (status as Readonly<Record<string, unknown>>)[name];
    return typeof value === 'number' ? value : undefined;
  };
  const replicas = count('replicas') ?? 0;
  const available = count('availableReplicas') ?? 0;
  return [
    ...names.flatMap((name) => validateNonNegative(`status.${name}`, count(name))),
    ...parts.flatMap((name) =>
      when((count(name) ?? 0) > replicas, () =>
        fieldInvalid(`status.${name}`, count(name), 'cannot be greater than status.replicas'),
      ),
    ),
    ...when(available > (count('readyReplicas') ?? 0), () =>
      fieldInvalid('status.availableReplicas', available, 'cannot be greater than readyReplicas'),
    ),
  ];
}

export const TEMPLATE_COLUMNS: readonly Column[] = [
  textColumn('Containers', 'Names of the containers of a pod.', 1),
  textColumn('Images', 'Images of the containers of a pod.', 1),
  textColumn('Selector', 'Labels of the pods.', 1),
];

/** Cells of the first two of TEMPLATE_COLUMNS. */
export function templateCells(template: PodTemplateSpec | undefined): string[] {
  const containers = template?.spec?.containers ?? [];
  return [
    containers.map(({ name }) => name).join(','),
    containers.map(({ image = '' }) => image).join(','),
  ];
}

/** The cell of the third of TEMPLATE_COLUMNS. */
export function selectorCell(selector: LabelSelector, ifWrong: string): string {
  try {
    return formatSelector(requirementsOf(selector));
  } catch (error) {
    if (error instanceof ApiError) return ifWrong;
    throw error;
  }
}
