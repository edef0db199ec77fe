/** The template of a workload's pods, and the selector by which the workload knows them. */
import type { PodTemplateSpec } from '../../../../gen/kube-core-v1.js';
import type { LabelSelector, ObjectMeta } from '../../../../gen/kube-meta-v1.js';
import { labelSelectorMatcher, type LabelMatcher } from '../../selector.js';
import { ApiError, type FieldError } from '../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  when,
} from '../../validation/field-error.js';
import { isEmptySelector, validateLabelSelector } from '../../validation/label-selector.js';
import { validateAnnotations, validateLabels } from '../../validation/object-meta.js';
import {
  validatePodAnnotations,
  validateProfilesMatch,
} from '../core/pod/annotation-validation.js';
import { setPodSpecDefaults } from '../core/pod/defaults.js';
import { validatePodSpec } from '../core/pod/spec-validation.js';

/** Fills in a template, which may be missing as a whole. */
export function withTemplateDefaults(template: PodTemplateSpec | undefined): PodTemplateSpec {
  const result = template ?? {};
  result.spec ??= { containers: [] };
  setPodSpecDefaults(result.spec);
  return result;
}

function validatePodTemplate(template: PodTemplateSpec, path: string): FieldError[] {
  const { metadata = {}, spec = { containers: [] } } = template;
  const at = `${path}.annotations`;
  return [
    ...validateLabels(metadata.labels, `${path}.labels`),
    ...validateAnnotations(metadata.annotations, at),
    ...validatePodAnnotations(metadata.annotations ?? {}, spec, at),
    ...validatePodSpec(spec, '', false, `${path}.spec`),
    ...validateProfilesMatch(metadata, spec, `${path}.spec`),
    ...when((spec.ephemeralContainers ?? []).length > 0, () =>
      fieldForbidden(
        `${path}.spec.ephemeralContainers`,
        'ephemeral containers not allowed in pod template',
      ),
    ),
  ];
}

/** Selector and template of a workload whose pods run for ever. A selector that is null is missing. */
export function validateSelectorAndTemplate(
  given: LabelSelector | null | undefined,
  template: PodTemplateSpec,
): FieldError[] {
  const selector = given ?? undefined;
  const selectorErrors = validateSelector(selector);
  const matches = matcherOf(selector);
  // A selector that cannot be evaluated leaves nothing to say about the template.
  if (matches === undefined)
    return [...selectorErrors, fieldInvalid('spec.selector', selector, 'invalid label selector')];
  const { metadata = {}, spec } = template;
  const path = 'spec.template';
  const policy = spec?.restartPolicy ?? '';
  return [
    ...selectorErrors,
    ...validateMatch(matches, metadata, `${path}.metadata.labels`),
    ...validatePodTemplate(template, path),
    ...when(policy !== 'Always', () =>
      fieldNotSupported(`${path}.spec.restartPolicy`, policy, ['Always']),
    ),
    ...when(spec?.activeDeadlineSeconds !== undefined, () =>
      fieldForbidden(
        `${path}.spec.activeDeadlineSeconds`,
        'activeDeadlineSeconds in ReplicaSet is not Supported',
      ),
    ),
  ];
}

function validateSelector(selector: LabelSelector | undefined): FieldError[] {
  if (selector === undefined) return [fieldRequired('spec.selector')];
  return [
    ...validateLabelSelector(selector, 'spec.selector'),
    ...when(isEmptySelector(selector), () =>
      fieldInvalid('spec.selector', selector, 'empty selector is invalid for deployment'),
    ),
  ];
}

function matcherOf(selector: LabelSelector | undefined): LabelMatcher | undefined {
  try {
    return labelSelectorMatcher(selector);
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

/** Without this the workload would make pods for ever that it does not know as its own. */
function validateMatch(
  matches: LabelMatcher,
  { labels = {} }: ObjectMeta,
  path: string,
): FieldError[] {
  const isNone = Object.keys(labels).length === 0;
  const detail = '`selector` does not match template `labels`';
  return when(!matches(labels), () => fieldInvalid(path, isNone ? undefined : labels, detail));
}
