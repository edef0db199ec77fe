import { isDeepStrictEqual } from 'node:util';

/** Equal as the API stores it: what is undefined is absent, and the order of names is nothing. */
export function isSameJson(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(plain(a), plain(b));
}

function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
