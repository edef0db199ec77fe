/** Common rules of ConfigMaps and Secrets. */
import type { FieldError } from '../../status.js';
import { fieldForbidden, isSameValue } from '../../validation/field-error.js';

/** All values of a ConfigMap or Secret together. */
export const MAX_DATA_BYTES = 1024 * 1024;

/** Number of bytes that a base64 text stands for. */
export function base64Bytes(text: string): number {
  return Buffer.byteLength(text, 'base64');
}

/** An object with `immutable: true` keeps the named maps, and stays immutable. */
export function validateFrozenData<Name extends string>(
  next: { readonly immutable?: boolean | undefined } & { readonly [name in Name]?: unknown },
  old: typeof next,
  names: readonly Name[],
): FieldError[] {
  if (old.immutable !== true) return [];
  const detail = 'field is immutable when `immutable` is set';
  return [
    ...(next.immutable === true ? [] : [fieldForbidden('immutable', detail)]),
    ...names
      .filter((name) => !isSameValue(next[name], old[name]))
      .map((name) => fieldForbidden(name, detail)),
  ];
}
