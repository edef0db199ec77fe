import type { JsonValue } from '../object.js';

/** Deep equality of JSON values. A member that is undefined counts as absent; order of members does not count. */
export function jsonEqual(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((value, at) => jsonEqual(value, b[at]));
  }
  let members = 0;
  for (const name of Object.keys(a)) {
    if (a[name] === undefined) continue;
    members++;
    if (!jsonEqual(a[name], b[name])) return false;
  }
  for (const name of Object.keys(b)) if (b[name] !== undefined) members--;
  return members === 0;
}
