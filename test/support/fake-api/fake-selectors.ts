import type { JsonObject, JsonValue, KubeObject } from '../../../src/cluster/api/object.js';
import { parseFieldSelector, parseLabelSelector } from '../../../src/cluster/api/selector.js';

/** True when an object is selected. */
export type Selector = (object: KubeObject) => boolean;

/** By both selectors of a query; a field is any dotted path below the object. */
export function selectorOf(query: URLSearchParams): Selector {
  const matches = parseLabelSelector(query.get('labelSelector') ?? '');
  const terms = parseFieldSelector(query.get('fieldSelector') ?? '');
  return (object) =>
    matches(object.metadata.labels ?? {}) &&
    terms.every(({ field, value, isEqual }) => (textAt(object, field) === value) === isEqual);
}

function textAt(object: KubeObject, path: string): string {
  let at: JsonValue | undefined = object as unknown as JsonObject;
  for (const step of path.split('.')) {
    at = typeof at === 'object' && at !== null && !Array.isArray(at) ? at[step] : undefined;
  }
  return typeof at === 'object' || at === undefined ? '' : String(at);
}
