/** Objects that recorded answers show. */
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { findResource } from '../../../../src/cluster/api/kinds/registry.js';
import type { JsonObject, JsonValue } from '../../../../src/cluster/api/object.js';
import type { RequestInfo } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import { requestInfo } from '../../../../src/cluster/apiserver/pipeline/request-info.js';
import type { RecordedStep } from '../recording.js';
import { isObject, text } from './translation.js';

/** One state of one object that an answer shows, whole or in part. */
export interface Shown {
  readonly kind: Kind;
  readonly object: JsonObject;
  readonly isGone: boolean;
}

export function infoOf({ request }: RecordedStep): RequestInfo {
  return requestInfo(request.method, request.path, new URLSearchParams({ ...request.query }));
}

export function kindOf(step: RecordedStep): Kind | undefined {
  const { group, version, resource } = infoOf(step);
  return findResource(group, version, resource);
}

/** As `pods/default/web`. */
export function pathOf(kind: Kind, metadata: JsonObject): string {
  const namespace = kind.isNamespaced ? `${text(metadata['namespace'])}/` : '';
  return `${kind.resource}/${namespace}${text(metadata['name'])}`;
}

export function metadataText(object: JsonObject, name: string): string {
  return text(metadataOf(object)[name]);
}

/** Shows objects as they never were. */
export function isDryRun({ request }: RecordedStep): boolean {
  return request.method !== 'DELETE' && request.query?.['dryRun'] !== undefined;
}

export function isChange(step: RecordedStep): boolean {
  return step.request.method !== 'GET' && step.response.status < 300 && !isDryRun(step);
}

export function versionsIn(steps: readonly RecordedStep[]): Shown[] {
  return steps
    .filter((step) => !isDryRun(step))
    .flatMap(shownBy)
    .filter(({ kind, object, isGone }) => !isGone && isWhole(object, kind));
}

function isWhole(object: JsonObject, kind: Kind): boolean {
  return object['kind'] === undefined || object['kind'] === kind.kind;
}

/** Objects of the step's own kind in the recorded answer. */
export function shownBy(step: RecordedStep): Shown[] {
  const { response } = step;
  const kind = kindOf(step);
  if (kind === undefined || response.status >= 300) return [];
  const events = (response.stream ?? []).map(({ event }) => event);
  return [response.body, ...events].flatMap((value) => shownIn((value ?? null) as JsonValue, kind));
}

function shownIn(value: JsonValue, kind: Kind, isGone = false): Shown[] {
  if (!isObject(value)) return [];
  const { type, object, items, rows } = value;
  if (typeof type === 'string' && isObject(object)) {
    if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') return [];
    return shownIn(object, kind, type === 'DELETED');
  }
  if (Array.isArray(items)) {
    return items.flatMap((item) => shownIn(item, kind));
  }
  if (Array.isArray(rows)) {
    const objects = rows.map((row) => (isObject(row) ? (row['object'] ?? null) : null));
    return objects.flatMap((one) => shownIn(one, kind, isGone));
  }
  const kinds: (JsonValue | undefined)[] = [undefined, kind.kind, 'PartialObjectMetadata'];
  const isObjectOf = kinds.includes(value['kind']) && metadataOf(value)['uid'] !== undefined;
  return isObjectOf ? [{ kind, object: value, isGone }] : [];
}

export function metadataOf(object: JsonObject): JsonObject {
  const { metadata } = object;
  return isObject(metadata) ? metadata : {};
}

export function revisionOf(object: JsonObject): number {
  return Number(metadataOf(object)['resourceVersion'] ?? 0);
}

export function isSame(a: JsonObject, b: JsonObject): boolean {
  const one = metadataOf(a);
  const other = metadataOf(b);
  return one['name'] === other['name'] && one['namespace'] === other['namespace'];
}
