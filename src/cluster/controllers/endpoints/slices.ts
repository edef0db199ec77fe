/** Slices to write so that they hold the wanted endpoints, with few and small writes. */
import type { Endpoint, EndpointSlice } from '../../../gen/kube-discovery-v1.js';
import { isSameJson } from '../json.js';
import { portsText, type TargetPort } from './ports.js';

/** Endpoints that one slice holds at most. */
const MAX_ENDPOINTS = 100;

/** Pods that have the same ports. */
export interface Group {
  readonly ports: readonly TargetPort[];
  readonly endpoints: readonly Endpoint[];
}

/** New content of a slice, of one that is there or of a new one. */
export interface Content {
  readonly slice: EndpointSlice | undefined;
  readonly ports: readonly TargetPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface Changes {
  readonly write: readonly Content[];
  readonly delete: readonly EndpointSlice[];
  /** Those whose content stays. */
  readonly keep: readonly EndpointSlice[];
}

/**
 * `existing`: the Service's slices of one address type. Without any endpoint one empty slice is
 * kept, by which others see that the Service is known.
 */
export function changesTo(existing: readonly EndpointSlice[], wanted: readonly Group[]): Changes {
  const groups = wanted.length === 0 ? [{ ports: [], endpoints: [] }] : wanted;
  const parts = groups.map((group) => {
    const text = portsText(group.ports);
    return packed(
      existing.filter((slice) => portsText(portsOf(slice)) === text),
      group,
    );
  });
  const used = new Set(parts.flatMap(({ keep, write }) => [...keep, ...write.map(sliceOf)]));
  const spare = existing.filter((slice) => !used.has(slice));
  // Rather than one deletion and one creation, a slice gets other content.
  const write = parts
    .flatMap((part) => part.write)
    .map((content) =>
      content.slice === undefined ? { ...content, slice: spare.shift() } : content,
    );
  return { write, delete: spare, keep: parts.flatMap(({ keep }) => keep) };
}

export function portsOf(slice: EndpointSlice): TargetPort[] {
  return (slice.ports ?? []).map(({ name = '', protocol = 'TCP', port = 0, appProtocol }) => ({
    name,
    protocol,
    port,
    appProtocol,
  }));
}

function sliceOf({ slice }: Content): EndpointSlice | undefined {
  return slice;
}

interface Slot {
  readonly slice: EndpointSlice;
  readonly endpoints: Endpoint[];
  readonly isChanged: boolean;
}

/** Endpoints stay in the slice that they are in; new ones go where something is written anyway. */
function packed(
  slices: readonly EndpointSlice[],
  { ports, endpoints }: Group,
): { readonly write: readonly Content[]; readonly keep: readonly EndpointSlice[] } {
  const missing = new Map(endpoints.map((endpoint) => [identityOf(endpoint), endpoint]));
  const slots = slices.map((slice) => stay(slice, missing));
  const fresh = [...missing.values()];
  for (const { isChanged, endpoints: held } of slots) if (isChanged) fill(held, fresh);
  const filled = new Set<Slot>();
  if (fresh.length > 0 && fresh.length < MAX_ENDPOINTS) {
    const room = slots
      .filter((slot) => !slot.isChanged && slot.endpoints.length + fresh.length <= MAX_ENDPOINTS)
      .sort((a, b) => b.endpoints.length - a.endpoints.length)[0];
    if (room !== undefined) {
      fill(room.endpoints, fresh);
      filled.add(room);
    }
  }
  const created: Content[] = [];
  const isPlaceholder = endpoints.length === 0 && slots.length === 0;
  while (fresh.length > 0 || (isPlaceholder && created.length === 0)) {
    created.push({ slice: undefined, ports, endpoints: fresh.splice(0, MAX_ENDPOINTS) });
  }
  // An empty slice is of use only as the last one.
  const lasting = slots.filter((slot, index) => {
    return slot.endpoints.length > 0 || (endpoints.length === 0 && index === 0);
  });
  const isWritten = (slot: Slot): boolean => slot.isChanged || filled.has(slot);
  const updated = lasting
    .filter(isWritten)
    .map((slot) => ({ slice: slot.slice, ports, endpoints: slot.endpoints }));
  const keep = lasting.filter((slot) => !isWritten(slot)).map(({ slice }) => slice);
  return { write: [...updated, ...created], keep };
}

/** Takes what the slice holds already out of what is missing. */
function stay(slice: EndpointSlice, missing: Map<string, Endpoint>): Slot {
  let isChanged = false;
  const endpoints: Endpoint[] = [];
  for (const known of slice.endpoints ?? []) {
    const identity = identityOf(known);
    const wanted = missing.get(identity);
    missing.delete(identity);
    if (wanted !== undefined) endpoints.push(wanted);
    isChanged ||= wanted === undefined || !isSameJson(known, wanted);
  }
  return { slice, endpoints, isChanged };
}

function fill(held: Endpoint[], fresh: Endpoint[]): void {
  held.push(...fresh.splice(0, MAX_ENDPOINTS - held.length));
}

function identityOf({ targetRef, addresses }: Endpoint): string {
  return [targetRef?.uid ?? '', ...addresses].join();
}
