/** Names and amounts of resources, and what containers ask for of them. */
import type { ResourceClaim, ResourceRequirements } from '../../../gen/kube-core-v1.js';
import { parseQuantity, QuantityError } from '../quantity.js';
import type { FieldError } from '../status.js';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  when,
} from './field-error.js';
import { dnsLabelProblems, qualifiedNameProblems } from './names.js';

const CONTAINER_RESOURCES: ReadonlySet<string> = new Set(['cpu', 'memory', 'ephemeral-storage']);

/** Resources that are counted, of which there can be no part. */
const COUNTED_RESOURCES: ReadonlySet<string> = new Set([
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
]);

const STANDARD_RESOURCES: ReadonlySet<string> = new Set([
  ...CONTAINER_RESOURCES,
  ...COUNTED_RESOURCES,
  'requests.cpu',
  'requests.memory',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'storage',
  'requests.storage',
]);

/** Every resource without a domain, and those of kubernetes.io, are Kubernetes' own. */
function isNative(name: string): boolean {
  return !name.includes('/') || name.includes('kubernetes.io/');
}

export function isHugePages(name: string): boolean {
  return name.startsWith('hugepages-');
}

function isOvercommitAllowed(name: string): boolean {
  return isNative(name) && !isHugePages(name);
}

/** A resource of any object: one of Kubernetes' own, or a name with a domain. */
function validateResourceName(name: string, path: string): FieldError[] {
  const problems = qualifiedNameProblems(name);
  if (problems.length > 0) return fieldProblems(path, name, problems);
  const isStandard = STANDARD_RESOURCES.has(name) || isHugePages(name.replace(/^requests\./, ''));
  return when(!name.includes('/') && !isStandard, () =>
    fieldInvalid(path, name, 'must be a standard resource type or fully qualified'),
  );
}

/** A resource that containers may ask for. */
function validateContainerResourceName(name: string, path: string): FieldError[] {
  const found = validateResourceName(name, path);
  if (!name.includes('/')) {
    const isKnown = CONTAINER_RESOURCES.has(name) || isHugePages(name);
    const detail = 'must be a standard resource for containers';
    return [...found, ...when(!isKnown, () => fieldInvalid(path, name, detail))];
  }
  const isExtended =
    !name.startsWith('requests.') && qualifiedNameProblems(`requests.${name}`).length === 0;
  const detail = "doesn't follow extended resource name standard";
  const isWrong = !isNative(name) && !isExtended;
  return [...found, ...when(isWrong, () => fieldInvalid(path, name, detail))];
}

/** A resource that a pod as a whole may ask for. */
function validatePodResourceName(name: string, path: string): FieldError[] {
  const found = validateResourceName(name, path);
  if (found.length > 0 || name === 'cpu' || name === 'memory' || isHugePages(name)) return found;
  return [fieldNotSupported(path, name, ['cpu', 'hugepages-', 'memory'])];
}

const ONE = 1_000_000_000n;

export function isWhole(amount: string): boolean {
  return parseQuantity(amount).nanos % ONE === 0n;
}

export function validateResourceAmount(name: string, amount: string, path: string): FieldError[] {
  return [
    ...when(parseQuantity(amount).nanos < 0n, () =>
      fieldInvalid(path, amount, 'must be greater than or equal to 0'),
    ),
    ...when(COUNTED_RESOURCES.has(name) && !isWhole(amount), () =>
      fieldInvalid(path, amount, 'must be an integer'),
    ),
  ];
}

/** Billionths of a byte; zero if the name tells no size. */
function pageSizeOf(name: string): bigint {
  try {
    return parseQuantity(name.slice('hugepages-'.length)).nanos;
  } catch (error) {
    if (error instanceof QuantityError) return 0n;
    throw error;
  }
}

function validateHugePages(name: string, amount: string, path: string): FieldError[] {
  if (!isHugePages(name)) return [];
  const size = pageSizeOf(name);
  const isMultiple = size > 0n && parseQuantity(amount).nanos % size === 0n;
  const detail = `${amount} is not positive integer multiple of ${name}`;
  return when(!isMultiple, () => fieldInvalid(path, amount, detail));
}

/**
 * Findings about the resources of a container, or with `ofPod` of a pod as a whole. `claimNames`
 * are the names of the pod's claims.
 */
export function validateResourceRequirements(
  { limits = {}, requests = {}, claims = [] }: ResourceRequirements,
  claimNames: readonly string[],
  path: string,
  ofPod = false,
): FieldError[] {
  const validateName = ofPod ? validatePodResourceName : validateContainerResourceName;
  const validateEntry = ([name, amount]: [string, string], at: string): FieldError[] => [
    ...validateName(name, at),
    ...validateResourceAmount(name, amount, at),
  ];
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  const hasPagesOnly =
    names.some(isHugePages) && !names.some((name) => name === 'cpu' || name === 'memory');
  return [
    ...Object.entries(limits).flatMap(([name, amount]) => [
      ...validateEntry([name, amount], `${path}.limits[${name}]`),
      ...validateHugePages(name, amount, `${path}.limits[${name}]`),
    ]),
    ...Object.entries(requests).flatMap(([name, amount]) => [
      ...validateEntry([name, amount], `${path}.requests[${name}]`),
      ...validateRequestAgainstLimit(name, amount, limits[name], path),
      ...validateHugePages(name, amount, `${path}.requests[${name}]`),
    ]),
    ...when(hasPagesOnly, () => fieldForbidden(path, 'HugePages require cpu or memory')),
    ...validateClaims(claims, claimNames, `${path}.claims`),
  ];
}

function validateRequestAgainstLimit(
  name: string,
  amount: string,
  limit: string | undefined,
  path: string,
): FieldError[] {
  if (limit === undefined) {
    const detail = 'Limit must be set for non overcommitable resources';
    return when(!isOvercommitAllowed(name), () => fieldRequired(`${path}.limits`, detail));
  }
  const excess = parseQuantity(amount).nanos - parseQuantity(limit).nanos;
  if (excess !== 0n && !isOvercommitAllowed(name))
    return [fieldInvalid(`${path}.requests`, amount, `must be equal to ${name} limit of ${limit}`)];
  const detail = `must be less than or equal to ${name} limit of ${limit}`;
  return when(excess > 0n, () => fieldInvalid(`${path}.requests`, amount, detail));
}

/** A claim may be asked for as a whole, or several of its requests, each once. */
function validateClaims(
  claims: readonly ResourceClaim[],
  known: readonly string[],
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return claims.flatMap(({ name = '', request = '' }, index) => {
    const at = `${path}[${index}]`;
    if (name === '') return [fieldRequired(at), ...unknownClaim(name, known, at)];
    const key = request === '' ? name : `${name}/${request}`;
    const isTaken =
      seen.has(name) ||
      seen.has(key) ||
      (request === '' && [...seen].some((other) => other.startsWith(`${name}/`)));
    seen.add(key);
    return [
      ...(request === '' ? [] : fieldProblems(`${at}.request`, request, dnsLabelProblems(request))),
      ...when(isTaken, () => fieldDuplicate(at, seen.has(name) ? name : key)),
      ...unknownClaim(name, known, at),
    ];
  });
}

function unknownClaim(name: string, known: readonly string[], path: string): FieldError[] {
  if (known.includes(name)) return [];
  const list = known.length === 0 ? ' which is empty' : `: ${[...known].sort().join(', ')}`;
  const found = fieldNotFound(path, name);
  const detail = `must be one of the names in pod.spec.resourceClaims${list}`;
  return [{ ...found, message: `${found.message}: ${detail}` }];
}
