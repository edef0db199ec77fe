import type { Node, Taint } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
} from '../../validation/field-error.js';
import { parseIpBlock, validateCidrLoosely } from '../../validation/ip.js';
import { labelValueProblems, qualifiedNameProblems } from '../../validation/names.js';
import { validateResourceAmount } from '../../validation/resources.js';

const EFFECTS: readonly string[] = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
const POD_CIDRS = 'spec.podCIDRs';
const MAX_FEATURE_BYTES = 253;

export function validateNode(node: Node): FieldError[] {
  const { spec, status } = node;
  const swap = status?.nodeInfo?.swap?.capacity;
  return [
    // The fields' odd names are those of Kubernetes.
    ...validateTaints(spec.taints ?? [], 'metadata.taints'),
    ...validateAmounts(node),
    ...(swap === undefined || swap > 0
      ? []
      : [fieldInvalid('metadata.nodeSwapStatus.capacity', swap, 'must be greater than zero')]),
    ...validateDeclaredFeatures(status?.declaredFeatures ?? []),
    ...validatePodCidrs(spec.podCIDRs ?? []),
  ];
}

/** Of a changed node or of its changed status; names some findings of `validateNode` once more. */
export function validateNodeUpdate(next: Node, old: Node): FieldError[] {
  const change = (field: string, what: string): FieldError =>
    fieldForbidden(field, `node updates may not change ${what} except from "" to valid`);
  const { providerID = '' } = old.spec;
  return [
    ...validateAmounts(next),
    ...validateDeclaredFeatures(next.status?.declaredFeatures ?? []),
    ...validateAddresses(next),
    ...changedPodCidrs(next, old).map(() => change(POD_CIDRS, 'podCIDR')),
    ...(providerID !== '' && providerID !== next.spec.providerID
      ? [change('spec.providerID', 'providerID')]
      : []),
    ...validateTaints(next.spec.taints ?? [], 'metadata.taints'),
    ...((next.spec.externalID ?? '') === (old.spec.externalID ?? '')
      ? []
      : [fieldForbidden('spec.externalID', 'may not be updated')]),
  ];
}

function validateTaints(taints: readonly Taint[], path: string): FieldError[] {
  const seen = new Set<string>();
  return taints.flatMap((taint, index) => {
    const { key, value = '', effect } = taint;
    const field = `${path}[${index}]`;
    const pair = `${key}:${effect}`;
    const isTaken = seen.has(pair);
    seen.add(pair);
    const valueProblems = labelValueProblems(value);
    return [
      ...fieldProblems(`${field}.key`, key, qualifiedNameProblems(key)),
      ...(valueProblems.length === 0
        ? []
        : [fieldInvalid(`${field}.value`, value, valueProblems.join(';'))]),
      ...validateEffect(`${field}.effect`, effect),
      ...(isTaken ? [duplicateTaint(field, taint)] : []),
    ];
  });
}

function validateEffect(field: string, effect: string): FieldError[] {
  if (effect === '') return [fieldRequired(field)];
  return EFFECTS.includes(effect) ? [] : [fieldNotSupported(field, effect, EFFECTS)];
}

function duplicateTaint(field: string, { key, value, effect, timeAdded }: Taint): FieldError {
  const shown = { Key: key, Value: value ?? '', Effect: effect, TimeAdded: timeAdded ?? null };
  const finding = fieldDuplicate(field, shown);
  return {
    ...finding,
    message: `${finding.message}: taints must be unique by key and effect pair`,
  };
}

function validateAmounts({ status }: Node): FieldError[] {
  return (['capacity', 'allocatable'] as const).flatMap((list) =>
    Object.entries(status?.[list] ?? {}).flatMap(([name, amount]) =>
      validateResourceAmount(name, amount, `status.${list}.${name}`),
    ),
  );
}

function validateDeclaredFeatures(features: readonly string[]): FieldError[] {
  return features.flatMap((feature, index) => {
    const field = `status.declaredFeatures[${index}]`;
    const problem = featureProblem(feature);
    const before = features[index - 1];
    return [
      ...(before === feature ? [fieldDuplicate(field, feature)] : []),
      ...(before !== undefined && before > feature
        ? [fieldInvalid(field, feature, 'list must be sorted alphabetically')]
        : []),
      ...(problem === ''
        ? []
        : [fieldInvalid(field, feature, `invalid feature name "${feature}": ${problem}`)]),
    ];
  });
}

function featureProblem(feature: string): string {
  if (Buffer.byteLength(feature) > MAX_FEATURE_BYTES)
    return `must be no more than ${MAX_FEATURE_BYTES} characters`;
  if (/^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z][a-zA-Z0-9]*)*$/.test(feature)) return '';
  return "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";
}

function validatePodCidrs(cidrs: readonly string[]): FieldError[] {
  const families = new Set(cidrs.map((cidr) => parseIpBlock(cidr)?.address.family));
  return [
    ...cidrs.flatMap((cidr, index) => validateCidrLoosely(`${POD_CIDRS}[${index}]`, cidr)),
    ...(cidrs.length > families.size
      ? [fieldInvalid(POD_CIDRS, cidrs, 'may specify no more than one CIDR for each IP family')]
      : []),
  ];
}

function validateAddresses({ status }: Node): FieldError[] {
  const addresses = status?.addresses ?? [];
  const keys = addresses.map(({ type, address }) => `${type}/${address}`);
  return addresses.flatMap(({ type, address }, index) =>
    keys.indexOf(`${type}/${address}`) < index
      ? [fieldDuplicate(`status.addresses[${index}]`, { Type: type, Address: address })]
      : [],
  );
}

/** Pod CIDRs are set once. */
function changedPodCidrs(next: Node, old: Node): readonly string[] {
  const held = old.spec.podCIDRs ?? [];
  const given = next.spec.podCIDRs ?? [];
  if (held.length === 0) return [];
  if (held.length !== given.length) return held.slice(0, 1);
  return held.filter((cidr, index) => cidr !== given[index]);
}
