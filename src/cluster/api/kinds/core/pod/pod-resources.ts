/** Resources of a pod as a whole (KEP-2837), beside those of its containers. */
import type { PodSpec } from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  type Quantity,
} from '../../../quantity.js';
import { fieldForbidden, fieldInvalid, when } from '../../../validation/field-error.js';
import { isHugePages, validateResourceRequirements } from '../../../validation/resources.js';
import { isSidecar, type AnyContainer } from './containers.js';

type Amounts = ReadonlyMap<string, Quantity>;
type Side = 'limits' | 'requests';

/**
 * Amounts that the containers need together: those that run at the same time add up. Init
 * containers that end need as much as the hungriest of them, beside the sidecars started before it.
 */
function containerSums(spec: PodSpec, side: Side): Amounts {
  let sidecars: Amounts = new Map();
  let peak: Amounts = new Map();
  for (const container of spec.initContainers ?? []) {
    const own = plus(sidecars, amountsOf(container, side));
    if (isSidecar(container)) sidecars = own;
    peak = largest(peak, own);
  }
  const running = (spec.containers ?? []).reduce<Amounts>(
    (sum, container) => plus(sum, amountsOf(container, side)),
    sidecars,
  );
  return largest(running, peak);
}

function amountsOf(container: AnyContainer, side: Side): Amounts {
  const entries = Object.entries(container.resources?.[side] ?? {});
  return new Map(entries.map(([name, amount]) => [name, parseQuantity(amount)]));
}

function plus(a: Amounts, b: Amounts): Amounts {
  return merged(a, b, addQuantities);
}

function largest(a: Amounts, b: Amounts): Amounts {
  return merged(a, b, (left, right) => (compareQuantities(left, right) < 0 ? right : left));
}

function merged(a: Amounts, b: Amounts, merge: (a: Quantity, b: Quantity) => Quantity): Amounts {
  const result = new Map(a);
  for (const [name, amount] of b) {
    const other = result.get(name);
    result.set(name, other === undefined ? amount : merge(other, amount));
  }
  return result;
}

function isPodResource(name: string): boolean {
  return name === 'cpu' || name === 'memory' || isHugePages(name);
}

/** Fills in what follows from the containers once the pod asks for something as a whole. */
export function setPodResourceDefaults(spec: PodSpec): void {
  const { resources } = spec;
  if (resources === undefined) return;
  const { limits = {}, requests = {} } = resources;
  if (Object.keys(limits).length + Object.keys(requests).length === 0) return;
  for (const [name, amount] of containerSums(spec, 'limits'))
    if (isHugePages(name) && requests[name] === undefined) limits[name] ??= formatQuantity(amount);
  if (Object.keys(limits).length > 0) {
    resources.limits = limits;
    for (const [name, amount] of containerSums(spec, 'requests'))
      if (name === 'cpu' || name === 'memory') requests[name] ??= formatQuantity(amount);
    for (const [name, amount] of Object.entries(limits))
      if (isPodResource(name)) requests[name] ??= amount;
  }
  if (Object.keys(requests).length > 0) resources.requests = requests;
}

export function validatePodResources(spec: PodSpec, path: string): FieldError[] {
  const { resources } = spec;
  if (resources === undefined) return [];
  if (spec.os?.name === 'windows')
    return [fieldForbidden(path, 'may not be set for a windows pod')];
  const names = (spec.resourceClaims ?? []).map(({ name }) => name);
  return [
    ...when(resources.claims !== undefined, () =>
      fieldForbidden(`${path}.claims`, 'claims may not be set for Resources at pod-level'),
    ),
    ...validateResourceRequirements(resources, names, path, true),
    ...validateSums(spec, 'requests', isPodResource, path),
    ...validateSums(spec, 'limits', isHugePages, path),
    ...validateContainerLimits(spec, path),
  ];
}

/** The pod cannot ask for less than its containers do together. */
function validateSums(
  spec: PodSpec,
  side: Side,
  counts: (name: string) => boolean,
  path: string,
): FieldError[] {
  return [...containerSums(spec, side)].flatMap(([name, sum]) => {
    const amount = spec.resources?.[side]?.[name];
    if (amount === undefined || !counts(name)) return [];
    const detail = `must be greater than or equal to aggregate container ${side} of ${formatQuantity(sum)}`;
    return when(compareQuantities(sum, parseQuantity(amount)) > 0, () =>
      fieldInvalid(`${path}.${side}[${name}]`, amount, detail),
    );
  });
}

/** No container may use more than the whole pod. */
function validateContainerLimits({ containers, resources }: PodSpec, path: string): FieldError[] {
  return containers.flatMap((container, index) =>
    Object.entries(container.resources?.limits ?? {}).flatMap(([name, amount]) => {
      const limit = resources?.limits?.[name];
      if (limit === undefined) return [];
      const isMore = compareQuantities(parseQuantity(amount), parseQuantity(limit)) > 0;
      const at = `${path}.containers[${index}][${name}].limits`;
      const detail = `must be less than or equal to pod limits of ${limit}`;
      return when(isMore, () => fieldInvalid(at, amount, detail));
    }),
  );
}
