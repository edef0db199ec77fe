/** Paths of files within a volume. */
import type { FieldError } from '../../../status.js';
import { fieldInvalid, when } from '../../../validation/field-error.js';

export function validateNoBacksteps(target: string, path: string): FieldError[] {
  return when(target.split('/').includes('..'), () =>
    fieldInvalid(path, target, "must not contain '..'"),
  );
}

/** A path that stays below where it begins. */
export function validateDescendingPath(target: string, path: string): FieldError[] {
  return [
    ...when(target.startsWith('/'), () => fieldInvalid(path, target, 'must be a relative path')),
    ...validateNoBacksteps(target, path),
  ];
}

/** A descending path that keeps clear of the names which atomic updates of a volume use. */
export function validateProjectedPath(target: string, path: string): FieldError[] {
  const isReserved = target.startsWith('..') && !target.startsWith('../');
  return [
    ...validateDescendingPath(target, path),
    ...when(isReserved, () => fieldInvalid(path, target, "must not start with '..'")),
  ];
}

/** Permissions of a file. */
export function validateFileMode(mode: number | undefined, path: string): FieldError[] {
  if (mode === undefined || (mode >= 0 && mode <= 0o777)) return [];
  const detail = 'must be a number between 0 and 0777 (octal), both inclusive';
  return [fieldInvalid(path, mode, detail)];
}
