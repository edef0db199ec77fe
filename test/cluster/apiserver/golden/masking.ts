/** Takes out of an answer what varies from run to run, so that two answers can be compared. */

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const MASKED: ReadonlySet<string> = new Set([
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'deletionTimestamp',
  'time',
  'lastTransitionTime',
  'lastUpdateTime',
  'continue',
]);
/** Values that are allocated or generated, wherever they stand in a text. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/kube-api-access-[a-z0-9]{5}/g, 'kube-api-access-X'],
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UID'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'TIME'],
];

export function masked(value: unknown): Json {
  return mask(value as Json, '');
}

function mask(value: Json, name: string): Json {
  if (typeof value === 'string') {
    if (MASKED.has(name)) return `<${name}>`;
    return PATTERNS.reduce((text, [pattern, to]) => text.replace(pattern, to), value);
  }
  if (Array.isArray(value)) return value.map((inner) => mask(inner, name));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, mask(inner, key)] as const);
  return Object.fromEntries(entries);
}

/** Paths at which two values differ, with both values, at most ten. */
export function differences(ours: unknown, theirs: unknown, path = ''): string[] {
  if (Object.is(ours, theirs)) return [];
  const bothObjects =
    typeof ours === 'object' && ours !== null && typeof theirs === 'object' && theirs !== null;
  if (!bothObjects || Array.isArray(ours) !== Array.isArray(theirs)) {
    return [`${path}: ours ${short(ours)}, theirs ${short(theirs)}`];
  }
  const a = ours as Readonly<Record<string, unknown>>;
  const b = theirs as Readonly<Record<string, unknown>>;
  const found: string[] = [];
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    found.push(...differences(a[name], b[name], `${path}.${name}`));
  }
  return found.slice(0, 10);
}

function short(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 400);
}
