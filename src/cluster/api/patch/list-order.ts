/** Order of lists that a strategic merge patch merged (KEP "preserve order in strategic merge patch"). */
import type { JsonValue } from '../object.js';

/** Key by which an item of a list is known; `mergeKey` is empty for a list of scalars. */
export function keyOf(item: JsonValue, mergeKey: string): JsonValue | undefined {
  if (mergeKey === '') return item;
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return undefined;
  return item[mergeKey];
}

/**
 * Items that the patch names come in its order, the others in the order they had. The two are
 * interleaved so that an item which was before another stays so, as long as their own orders allow.
 */
export function orderMerged(
  merged: readonly JsonValue[],
  patchOrder: readonly JsonValue[],
  liveOrder: readonly JsonValue[],
  mergeKey: string,
): JsonValue[] {
  const inPatch = positions(patchOrder, mergeKey);
  const inLive = positions(liveOrder, mergeKey);
  const place = (order: ReadonlyMap<JsonValue | undefined, number>, item: JsonValue) =>
    order.get(keyOf(item, mergeKey)) ?? -1;
  const sorted = (items: JsonValue[], order: ReadonlyMap<JsonValue | undefined, number>) =>
    items.sort((a, b) => place(order, a) - place(order, b));
  const named = sorted(
    merged.filter((item) => place(inPatch, item) >= 0),
    inPatch,
  );
  const others = sorted(
    merged.filter((item) => place(inPatch, item) < 0),
    inLive,
  );
  const ordered: JsonValue[] = [];
  let next = 0;
  for (const item of others) {
    const at = place(inLive, item);
    // A named item that is new, or was before this one, goes first.
    for (; next < named.length; next++) {
      const candidate = named[next] ?? null;
      const was = place(inLive, candidate);
      if (was > at && at >= 0) break;
      ordered.push(candidate);
    }
    ordered.push(item);
  }
  return [...ordered, ...named.slice(next)];
}

function positions(
  list: readonly JsonValue[],
  mergeKey: string,
): ReadonlyMap<JsonValue | undefined, number> {
  const places = new Map<JsonValue | undefined, number>();
  list.forEach((item, at) => {
    const key = keyOf(item, mergeKey);
    if (!places.has(key)) places.set(key, at);
  });
  return places;
}
