/** Fields of a pod about the nodes it may run on. */
import type {
  Affinity,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinity,
  PodAffinityTerm,
  PodSchedulingGate,
  Toleration,
  TopologySpreadConstraint,
} from '../../../../../gen/kube-core-v1.js';
import type { LabelSelector } from '../../../../../gen/kube-meta-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  validateUnique,
  when,
} from '../../../validation/field-error.js';
import {
  validateLabelSelector,
  validateOperatorValues,
} from '../../../validation/label-selector.js';
import {
  dnsLabelProblems,
  labelValueProblems,
  qualifiedNameProblems,
  subdomainProblems,
} from '../../../validation/names.js';
import { validateOneOf } from '../../../validation/values.js';

const TAINT_EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
const REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution';
const PREFERRED = 'preferredDuringSchedulingIgnoredDuringExecution';

export function validateTolerations(
  tolerations: readonly Toleration[],
  path: string,
): FieldError[] {
  return tolerations.flatMap((toleration, index) =>
    validateToleration(toleration, `${path}[${index}]`),
  );
}

function validateToleration(toleration: Toleration, path: string): FieldError[] {
  const { key = '', operator = '', effect = '', tolerationSeconds } = toleration;
  return [
    ...fieldProblems(`${path}.key`, key, key === '' ? [] : qualifiedNameProblems(key)),
    ...when(key === '' && operator !== 'Exists', () =>
      fieldInvalid(
        `${path}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ),
    ),
    ...when(tolerationSeconds !== undefined && effect !== 'NoExecute', () =>
      fieldInvalid(
        `${path}.effect`,
        effect,
        "effect must be 'NoExecute' when `tolerationSeconds` is set",
      ),
    ),
    ...validateTolerationValue(toleration, `${path}.operator`),
    ...(effect === '' ? [] : validateOneOf(`${path}.effect`, effect, TAINT_EFFECTS)),
  ];
}

function validateTolerationValue(
  { operator = '', value = '' }: Toleration,
  path: string,
): FieldError[] {
  switch (operator) {
    case '':
    case 'Equal': {
      const problems = labelValueProblems(value);
      return when(problems.length > 0, () => fieldInvalid(path, value, problems.join(';')));
    }
    case 'Exists':
      return when(value !== '', () =>
        fieldInvalid(path, value, "value must be empty when `operator` is 'Exists'"),
      );
    case 'Lt':
    case 'Gt':
      return [fieldNotSupported(path, operator, ['Equal', 'Exists', 'Lt', 'Gt'])];
    default:
      return [fieldNotSupported(path, operator, ['Equal', 'Exists'])];
  }
}

export function validateAffinity(affinity: Affinity | undefined, path: string): FieldError[] {
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity ?? {};
  const required = nodeAffinity?.[REQUIRED];
  const nodePath = `${path}.nodeAffinity`;
  return [
    ...(required === undefined
      ? []
      : validateNodeSelectorTerms(required.nodeSelectorTerms ?? [], `${nodePath}.${REQUIRED}`)),
    ...(nodeAffinity?.[PREFERRED] ?? []).flatMap(({ weight, preference = {} }, index) => {
      const at = `${nodePath}.${PREFERRED}[${index}]`;
      // Values of a preference may be anything: one that fits no label only never matches.
      return [
        ...validateWeight(weight, at),
        ...validateNodeSelectorTerm(preference, `${at}.preference`, false),
      ];
    }),
    ...validatePodAffinity(podAffinity, `${path}.podAffinity`),
    ...validatePodAffinity(podAntiAffinity, `${path}.podAntiAffinity`),
  ];
}

function validateWeight(weight: number | undefined, path: string): FieldError[] {
  const value = weight ?? 0;
  return when(value <= 0 || value > 100, () =>
    fieldInvalid(`${path}.weight`, value, 'must be in the range 1-100'),
  );
}

/** The terms of a node selector, any of which may match. */
function validateNodeSelectorTerms(terms: readonly NodeSelectorTerm[], path: string): FieldError[] {
  const at = `${path}.nodeSelectorTerms`;
  if (terms.length === 0) return [fieldRequired(at, 'must have at least one node selector term')];
  return terms.flatMap((term, index) => validateNodeSelectorTerm(term, `${at}[${index}]`, true));
}

function validateNodeSelectorTerm(
  term: NodeSelectorTerm,
  path: string,
  checksValues: boolean,
): FieldError[] {
  return [
    ...(term.matchExpressions ?? []).flatMap((requirement, index) =>
      validateNodeRequirement(requirement, `${path}.matchExpressions[${index}]`, checksValues),
    ),
    ...(term.matchFields ?? []).flatMap((requirement, index) =>
      validateNodeField(requirement, `${path}.matchFields[${index}]`),
    ),
  ];
}

function validateNodeRequirement(
  { key = '', operator = '', values = [] }: NodeSelectorRequirement,
  path: string,
  checksValues: boolean,
): FieldError[] {
  const detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
  return [
    ...(operator === 'Gt' || operator === 'Lt'
      ? when(values.length !== 1, () => fieldRequired(`${path}.values`, detail))
      : validateOperatorValues(operator, values, path)),
    ...fieldProblems(`${path}.key`, key, qualifiedNameProblems(key)),
    ...(checksValues ? values : []).flatMap((value, index) =>
      fieldProblems(`${path}.values[${index}]`, value, labelValueProblems(value)),
    ),
  ];
}

/** The only field of nodes that can be selected is their name. */
function validateNodeField(
  { key = '', operator = '', values = [] }: NodeSelectorRequirement,
  path: string,
): FieldError[] {
  const isOperatorKnown = operator === 'In' || operator === 'NotIn';
  const detail =
    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
  return [
    ...when(isOperatorKnown && values.length !== 1, () => fieldRequired(`${path}.values`, detail)),
    ...when(!isOperatorKnown, () =>
      fieldInvalid(`${path}.operator`, operator, 'not a valid selector operator'),
    ),
    ...(key === 'metadata.name'
      ? values.flatMap((value, index) =>
          fieldProblems(`${path}.values[${index}]`, value, subdomainProblems(value)),
        )
      : [fieldInvalid(`${path}.key`, key, 'not a valid field selector key')]),
  ];
}

/** Affinity and anti-affinity have the same form. */
function validatePodAffinity(affinity: PodAffinity | undefined, path: string): FieldError[] {
  return [
    ...(affinity?.[REQUIRED] ?? []).flatMap((term, index) =>
      validatePodAffinityTerm(term, `${path}.${REQUIRED}[${index}]`),
    ),
    ...(affinity?.[PREFERRED] ?? []).flatMap(({ weight, podAffinityTerm }, index) => {
      const at = `${path}.${PREFERRED}[${index}]`;
      return [
        ...validateWeight(weight, at),
        ...validatePodAffinityTerm(podAffinityTerm, `${at}.podAffinityTerm`),
      ];
    }),
  ];
}

function validatePodAffinityTerm(term: PodAffinityTerm | undefined, path: string): FieldError[] {
  const { topologyKey = '', labelSelector, matchLabelKeys, mismatchLabelKeys } = term ?? {};
  return [
    ...validateLabelSelector(labelSelector, `${path}.labelSelector`),
    ...validateLabelSelector(term?.namespaceSelector, `${path}.namespaceSelector`),
    ...(term?.namespaces ?? []).flatMap((name) =>
      fieldProblems(`${path}.namespace`, name, dnsLabelProblems(name)),
    ),
    ...validateLabelKeys(matchLabelKeys ?? [], mismatchLabelKeys ?? [], labelSelector, path),
    ...when(topologyKey === '', () => fieldRequired(`${path}.topologyKey`, 'can not be empty')),
    ...fieldProblems(`${path}.topologyKey`, topologyKey, qualifiedNameProblems(topologyKey)),
  ];
}

/** Keys of labels whose values the selector takes from the pod itself. */
function validateLabelKeys(
  match: readonly string[],
  mismatch: readonly string[],
  selector: LabelSelector | undefined,
  path: string,
): FieldError[] {
  const missing = 'must not be specified when labelSelector is not set';
  const names = (keys: readonly string[], at: string): FieldError[] => {
    if (keys.length > 0 && selector === undefined) return [fieldForbidden(at, missing)];
    return keys.flatMap((key, index) =>
      fieldProblems(`${at}[${index}]`, key, qualifiedNameProblems(key)),
    );
  };
  return [
    ...names(match, `${path}.matchLabelKeys`),
    ...names(mismatch, `${path}.mismatchLabelKeys`),
    ...validateNoSecondUse(match, selector, path),
    ...match.flatMap((key, index) =>
      when(mismatch.includes(key), () =>
        fieldInvalid(
          `${path}.matchLabelKeys[${index}]`,
          key,
          'exists in both matchLabelKeys and mismatchLabelKeys',
        ),
      ),
    ),
  ];
}

/**
 * The server adds an expression for each key at creation, so that one use of a key besides it is
 * right; a second is the client's own.
 */
function validateNoSecondUse(
  keys: readonly string[],
  selector: LabelSelector | undefined,
  path: string,
): FieldError[] {
  const used = new Set(Object.keys(selector?.matchLabels ?? {}));
  return (selector?.matchExpressions ?? []).flatMap(({ key }) => {
    const index = keys.lastIndexOf(key);
    const isSecond = index !== -1 && used.has(key);
    used.add(key);
    const detail = 'exists in both matchLabelKeys and labelSelector';
    return when(isSecond, () => fieldInvalid(`${path}[${index}]`, key, detail));
  });
}

export function validateSpreadConstraints(
  constraints: readonly TopologySpreadConstraint[],
  path: string,
): FieldError[] {
  return constraints.flatMap((constraint, index) => {
    const { topologyKey = '', whenUnsatisfiable = '', maxSkew = 0 } = constraint;
    const at = `${path}[${index}]`;
    const isRepeated = constraints
      .slice(index + 1)
      .some(
        (other) =>
          other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable,
      );
    return [
      ...when(maxSkew <= 0, () =>
        fieldInvalid(`${at}.maxSkew`, maxSkew, 'must be greater than zero'),
      ),
      ...when(topologyKey === '', () => fieldRequired(`${at}.topologyKey`, 'can not be empty')),
      ...validateOneOf(`${at}.whenUnsatisfiable`, whenUnsatisfiable, [
        'DoNotSchedule',
        'ScheduleAnyway',
      ]),
      ...when(isRepeated, () =>
        fieldDuplicate(
          `${at}.{topologyKey, whenUnsatisfiable}`,
          `{${topologyKey}, ${whenUnsatisfiable}}`,
        ),
      ),
      ...validateMinDomains(constraint, `${at}.minDomains`),
      ...validateInclusion(constraint.nodeAffinityPolicy, `${at}.nodeAffinityPolicy`),
      ...validateInclusion(constraint.nodeTaintsPolicy, `${at}.nodeTaintsPolicy`),
      ...validateLabelKeys(constraint.matchLabelKeys ?? [], [], constraint.labelSelector, at),
      ...validateLabelSelector(constraint.labelSelector, `${at}.labelSelector`),
    ];
  });
}

function validateMinDomains(
  { minDomains, whenUnsatisfiable }: TopologySpreadConstraint,
  path: string,
): FieldError[] {
  if (minDomains === undefined) return [];
  const detail = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`;
  return [
    ...when(minDomains <= 0, () => fieldInvalid(path, minDomains, 'must be greater than zero')),
    ...when(whenUnsatisfiable !== 'DoNotSchedule', () => fieldInvalid(path, minDomains, detail)),
  ];
}

function validateInclusion(policy: string | undefined, path: string): FieldError[] {
  return policy === undefined ? [] : validateOneOf(path, policy, ['Honor', 'Ignore']);
}

export function validateSchedulingGates(
  gates: readonly PodSchedulingGate[],
  path: string,
): FieldError[] {
  const names = gates.map(({ name = '' }) => name);
  const pathOf = (index: number): string => `${path}[${index}]`;
  return [
    ...names.flatMap((name, index) =>
      fieldProblems(pathOf(index), name, qualifiedNameProblems(name)),
    ),
    ...validateUnique(names, pathOf),
  ];
}
