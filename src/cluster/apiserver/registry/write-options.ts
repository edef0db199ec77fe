/** Query options of writes: dryRun, fieldManager, fieldValidation (meta/v1 CreateOptions and its like). */
import type { FieldValidation } from '../../api/codec/field-validation.js';
import { managerName } from '../../api/patch/field-manager.js';
import type { FieldError } from '../../api/status.js';
import { invalid } from '../../api/status.js';
import { validateManager } from '../../api/validation/object-meta.js';

export interface WriteQuery {
  readonly isDryRun: boolean;
  /** Owner of what the write changes: as given, or the first part of the user agent. */
  readonly manager: string;
  readonly fieldValidation: FieldValidation;
}

const MODES: readonly string[] = ['Ignore', 'Strict', 'Warn'];

/** `options` names the message in errors: CreateOptions, UpdateOptions, PatchOptions. Throws: ApiError 422. */
export function parseWriteQuery(
  query: URLSearchParams,
  userAgent: string | undefined,
  options: string,
): WriteQuery {
  const dryRun = query.getAll('dryRun');
  const given = query.get('fieldManager') ?? '';
  const mode = query.get('fieldValidation') ?? '';
  const errors: FieldError[] = [
    ...validateManager(given, 'fieldManager'),
    ...dryRunErrors(dryRun),
    ...(mode === '' || MODES.includes(mode)
      ? []
      : [notSupported('fieldValidation', mode, ['', ...MODES])]),
  ];
  if (errors.length > 0) throw invalid({ group: 'meta.k8s.io', resource: options }, '', errors);
  return {
    isDryRun: dryRun.length > 0,
    manager: managerName(given, userAgent ?? ''),
    fieldValidation: mode === '' ? 'Warn' : (mode as FieldValidation),
  };
}

/** Of `dryRun` wherever it stands: All or nothing. */
export function dryRunErrors(values: readonly string[]): FieldError[] {
  if (values.every((value) => value === 'All')) return [];
  return [notSupported('dryRun', values, ['All'])];
}

export function notSupported(
  field: string,
  value: string | readonly string[],
  supported: readonly string[],
): FieldError {
  const list = supported.map((one) => JSON.stringify(one)).join(', ');
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { reason: 'FieldValueNotSupported', field, message };
}
