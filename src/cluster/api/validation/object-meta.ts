/** Metadata of every object (k8s.io/apimachinery pkg/api/validation). */
import type { ManagedFieldsEntry, ObjectMeta, OwnerReference } from '../../../gen/kube-meta-v1.js';
import { splitApiVersion, type KubeObject } from '../object.js';
import type { FieldError } from '../status.js';
import type { Strategy } from '../kinds/kind.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldProblems,
  fieldRequired,
  fieldTooLong,
  goQuote,
  validateImmutable,
} from './field-error.js';
import {
  dnsLabel1035Problems,
  dnsLabelProblems,
  labelValueProblems,
  pathSegmentPrefixProblems,
  pathSegmentProblems,
  qualifiedNameProblems,
  subdomainProblems,
  type TextRule,
} from './names.js';
import { validateNonNegative } from './values.js';

type NameRule = Strategy<KubeObject>['nameRule'];

const NAME_RULES: Readonly<Record<NameRule, TextRule>> = {
  subdomain: subdomainProblems,
  label: dnsLabelProblems,
  label1035: dnsLabel1035Problems,
  pathSegment: pathSegmentProblems,
};

/** All keys and values of an object's annotations together. */
const MAX_ANNOTATION_BYTES = 256 * 1024;
const MAX_MANAGER_BYTES = 128;
const MAX_SUBRESOURCE_BYTES = 256;
/** Finalizers without a domain that objects may have. */
export const STANDARD_FINALIZERS: ReadonlySet<string> = new Set([
  'kubernetes',
  'foregroundDeletion',
  'orphan',
]);

/** Of a new object whose generated name is filled in already. */
export function validateObjectMeta(
  meta: ObjectMeta,
  nameRule: NameRule,
  isNamespaced: boolean,
  path = 'metadata',
): FieldError[] {
  return [
    ...validateNames(meta, nameRule, path),
    ...validateNamespace(meta.namespace ?? '', isNamespaced, `${path}.namespace`),
    ...validateNonNegative(`${path}.generation`, meta.generation),
    ...validateLabels(meta.labels, `${path}.labels`),
    ...validateAnnotations(meta.annotations, `${path}.annotations`),
    ...validateOwnerReferences(meta.ownerReferences ?? [], `${path}.ownerReferences`),
    ...validateFinalizers(meta.finalizers ?? [], `${path}.finalizers`),
    ...validateManagedFields(meta.managedFields ?? [], `${path}.managedFields`),
    ...validateFinalizerScopes(meta.finalizers ?? [], `${path}.finalizers`),
  ];
}

/**
 * Of a changed object. Kubernetes checks this once for all kinds and once more for the kind, and its
 * answers name each finding twice; so does this.
 */
export function validateObjectMetaUpdate(
  next: ObjectMeta,
  old: ObjectMeta,
  path = 'metadata',
): FieldError[] {
  const found = [
    ...validateNoNewFinalizers(next, old, path),
    ...(next.resourceVersion === undefined || next.resourceVersion === ''
      ? [fieldInvalid(`${path}.resourceVersion`, '', 'must be specified for an update')]
      : []),
    ...((next.generation ?? 0) < (old.generation ?? 0)
      ? [fieldInvalid(`${path}.generation`, next.generation ?? 0, 'must not be decremented')]
      : []),
    ...IMMUTABLE_FIELDS.flatMap((name) =>
      validateImmutable(`${path}.${name}`, next[name], old[name]),
    ),
    ...validateLabels(next.labels, `${path}.labels`),
    ...validateAnnotations(next.annotations, `${path}.annotations`),
    ...validateOwnerReferences(next.ownerReferences ?? [], `${path}.ownerReferences`),
    ...validateManagedFields(next.managedFields ?? [], `${path}.managedFields`),
  ];
  return [
    ...found,
    ...found,
    ...validateFinalizerScopes(next.finalizers ?? [], `${path}.finalizers`),
  ];
}

const IMMUTABLE_FIELDS = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
] as const;

/** A name that clients may give with a dash at its end, since a random text follows. */
function prefixProblems(rule: NameRule, prefix: string): string[] {
  if (rule === 'pathSegment') return pathSegmentPrefixProblems(prefix);
  const stem = prefix.length > 1 && prefix.endsWith('-') ? `${prefix.slice(0, -2)}a` : prefix;
  return NAME_RULES[rule](stem);
}

function validateNames(meta: ObjectMeta, rule: NameRule, path: string): FieldError[] {
  const { name = '', generateName = '' } = meta;
  const prefix = generateName === '' ? [] : prefixProblems(rule, generateName);
  return [
    ...fieldProblems(`${path}.generateName`, generateName, prefix),
    ...(name === ''
      ? [fieldRequired(`${path}.name`, 'name or generateName is required')]
      : fieldProblems(`${path}.name`, name, NAME_RULES[rule](name))),
  ];
}

function validateNamespace(namespace: string, isNamespaced: boolean, path: string): FieldError[] {
  if (!isNamespaced)
    return namespace === '' ? [] : [fieldForbidden(path, 'not allowed on this type')];
  if (namespace === '') return [fieldRequired(path)];
  return fieldProblems(path, namespace, dnsLabelProblems(namespace));
}

/** Labels of an object, or a map that selects by them. */
export function validateLabels(
  labels: Readonly<Record<string, string>> | undefined,
  path: string,
): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...fieldProblems(path, key, qualifiedNameProblems(key)),
    ...fieldProblems(path, value, labelValueProblems(value)),
  ]);
}

export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  path: string,
): FieldError[] {
  const entries = Object.entries(annotations ?? {});
  const bytes = entries.reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  return [
    ...entries.flatMap(([key]) =>
      fieldProblems(path, key, qualifiedNameProblems(key.toLowerCase())),
    ),
    ...(bytes > MAX_ANNOTATION_BYTES ? [fieldTooLong(path, MAX_ANNOTATION_BYTES)] : []),
  ];
}

function validateOwnerReferences(owners: readonly OwnerReference[], path: string): FieldError[] {
  const found: FieldError[] = [];
  let controller = '';
  for (const owner of owners) {
    found.push(...validateOwnerReference(owner, path));
    if (owner.controller !== true) continue;
    const name = `${owner.kind}/${owner.name}`;
    if (controller === '') controller = name;
    else
      found.push(
        fieldInvalid(
          path,
          owners,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`,
        ),
      );
  }
  return found;
}

function validateOwnerReference(owner: OwnerReference, path: string): FieldError[] {
  const { apiVersion = '', kind = '', name = '', uid = '' } = owner as Partial<OwnerReference>;
  const empty = (field: string, value: string): FieldError[] =>
    value === '' ? [fieldInvalid(`${path}.${field}`, value, 'must not be empty')] : [];
  return [
    ...(splitApiVersion(apiVersion).version === ''
      ? [fieldInvalid(`${path}.apiVersion`, apiVersion, 'version must not be empty')]
      : []),
    ...empty('kind', kind),
    ...empty('name', name),
    ...empty('uid', uid),
    ...(apiVersion === 'v1' && kind === 'Event'
      ? [fieldInvalid(path, owner, '/v1, Kind=Event is disallowed from being an owner')]
      : []),
  ];
}

function validateFinalizers(finalizers: readonly string[], path: string): FieldError[] {
  const found = finalizers.flatMap((name) =>
    fieldProblems(path, name, qualifiedNameProblems(name)),
  );
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    const detail = 'finalizer orphan and foregroundDeletion cannot be both set';
    found.push(fieldInvalid(path, finalizers, detail));
  }
  return found;
}

/** Built-in kinds take no finalizer without a domain, besides Kubernetes' own. */
function validateFinalizerScopes(finalizers: readonly string[], path: string): FieldError[] {
  const detail = 'name is neither a standard finalizer name nor is it fully qualified';
  return finalizers.flatMap((name, index) =>
    name.includes('/') || STANDARD_FINALIZERS.has(name)
      ? []
      : [fieldInvalid(`${path}[${index}]`, name, detail)],
  );
}

function validateNoNewFinalizers(next: ObjectMeta, old: ObjectMeta, path: string): FieldError[] {
  if (old.deletionTimestamp === undefined) return [];
  const known = new Set(old.finalizers);
  const added = [...new Set(next.finalizers)].filter((name) => !known.has(name)).sort();
  if (added.length === 0) return [];
  const list = `[]string{${added.map(goQuote).join(', ')}}`;
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`;
  return [fieldForbidden(`${path}.finalizers`, detail)];
}

function validateManagedFields(entries: readonly ManagedFieldsEntry[], path: string): FieldError[] {
  return entries.flatMap((entry, index) => {
    const at = `${path}[${index}]`;
    const { operation = '', fieldsType = '', manager = '', subresource = '' } = entry;
    return [
      ...(operation === 'Apply' || operation === 'Update'
        ? []
        : [fieldInvalid(`${at}.operation`, operation, 'must be `Apply` or `Update`')]),
      ...(fieldsType === '' || fieldsType === 'FieldsV1'
        ? []
        : [fieldInvalid(`${at}.fieldsType`, fieldsType, 'must be `FieldsV1`')]),
      ...validateManager(manager, `${at}.manager`),
      ...(Buffer.byteLength(subresource) > MAX_SUBRESOURCE_BYTES
        ? [fieldTooLong(`${at}.subresource`, MAX_SUBRESOURCE_BYTES)]
        : []),
    ];
  });
}

/** The name of a field manager, also as the request parameter `fieldManager`. */
export function validateManager(manager: string, path: string): FieldError[] {
  const found: FieldError[] = [];
  if (Buffer.byteLength(manager) > MAX_MANAGER_BYTES)
    found.push(fieldTooLong(path, MAX_MANAGER_BYTES));
  let at = 0;
  for (const char of manager) {
    if (!/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char)) {
      const code = (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
      found.push(fieldInvalid(path, manager, `invalid character U+${code} (at position ${at})`));
    }
    at += Buffer.byteLength(char);
  }
  return found;
}
