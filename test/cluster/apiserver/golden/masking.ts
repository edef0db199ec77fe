/** Takes out of an answer what varies from run to run, so that two answers can be compared. */
import type { JsonValue } from '../../../../src/cluster/api/object.js';
import { isObject } from './translation.js';

/** Made of the time or the state of the whole store, or secret. */
const MASKED: ReadonlySet<string> = new Set([
  'creationTimestamp',
  'deletionTimestamp',
  'time',
  'lastTransitionTime',
  'continue',
  'token',
  'expirationTimestamp',
]);
/** Of /version: what was built when, and of what. */
const BUILD: ReadonlySet<string> = new Set([
  'gitVersion',
  'gitCommit',
  'buildDate',
  'goVersion',
  'compiler',
  'platform',
]);
/** Ages are told as of now; descriptions are left out of the recordings. */
const UNTOLD: ReadonlySet<string> = new Set(['description', 'fieldsV1']);
/** Values that are generated, wherever they stand in a text. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/kube-api-access-(?:<HOST>)?[a-z0-9]+/g, 'kube-api-access-X'],
  [/resource version: \d+, current: \d+/g, 'resource version: R, current: R'],
  [/(resourceVersion\\*":\\*")\d+/g, '$1R'],
  [/(too old resource version: )\d+ \(\d+\)/g, '$1R (R)'],
  // A whole text that is a time is a field's value.
  [/(?<=.)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ(?=.)/g, 'TIME'],
  [/<ADVERTISE>|192\.0\.2\.1:0/g, 'ADDRESS'],
  [/(ResourceVersion in record \()\d+/g, '$1R'],
];
const AGE = /^(?:\d+[ydhms]){1,2}$/;

/** `keepsOwnership`: fieldsV1 were recorded and are compared. */
export function masked(value: JsonValue, keepsOwnership: boolean): JsonValue {
  return mask(value, '');

  function mask(inner: JsonValue, name: string): JsonValue {
    if (typeof inner === 'string') {
      if (MASKED.has(name) || BUILD.has(name)) return `<${name}>`;
      if (name === 'cells' && AGE.test(inner)) return '<age>';
      return PATTERNS.reduce((text, [pattern, to]) => text.replace(pattern, to), inner);
    }
    if (Array.isArray(inner)) return inner.map((one) => mask(one, name));
    if (!isObject(inner)) return inner;
    const isOfStore = inner['uid'] === undefined && inner['resourceVersion'] !== undefined;
    const kept = Object.entries(inner).filter(
      ([key]) => !UNTOLD.has(key) || (key === 'fieldsV1' && keepsOwnership),
    );
    return Object.fromEntries(
      kept.map(([key, one]) => {
        if (isOfStore && key === 'resourceVersion') return [key, '<revision>'];
        return [key, mask(one ?? null, key)];
      }),
    );
  }
}

/** Paths at which two values differ, each with both values: ours, theirs. */
export function differences(
  ours: unknown,
  theirs: unknown,
  path = '',
): (readonly [path: string, values: string])[] {
  if (Object.is(ours, theirs)) return [];
  const bothObjects =
    typeof ours === 'object' && ours !== null && typeof theirs === 'object' && theirs !== null;
  if (!bothObjects || Array.isArray(ours) !== Array.isArray(theirs)) {
    return [[path, `ours ${short(ours)}, theirs ${short(theirs)}`]];
  }
  const a = ours as Readonly<Record<string, unknown>>;
  const b = theirs as Readonly<Record<string, unknown>>;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((name) =>
    differences(a[name], b[name], `${path}.${name}`),
  );
}

function short(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 400);
}
