/** Names of certificate signers: `example.com/signer-name`. */
import type { FieldError } from '../../../status.js';
import {
  fieldInvalid,
  fieldProblems,
  fieldRequired,
  fieldTooLong,
  goQuote,
  when,
} from '../../../validation/field-error.js';
import { dnsLabelProblems, subdomainProblems, type TextRule } from '../../../validation/names.js';

const MAX_DOMAIN_LENGTH = 253;
/** Namespace, dot, name: what may follow a signer's name in permissions. */
const MAX_PATH_LENGTH = 253 + 1 + 63;

export function validateSignerName(name: string, path: string): FieldError[] {
  if (name === '') return [fieldRequired(path)];
  const [domain = '', signer, ...rest] = name.split('/');
  if (signer === undefined || rest.length > 0) {
    const detail =
      "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    return [fieldInvalid(path, name, detail)];
  }
  const detail = 'should be a domain with at least two segments separated by dots';
  return [
    ...when(domain.length > MAX_DOMAIN_LENGTH, () => fieldTooLong(path, MAX_DOMAIN_LENGTH)),
    ...validateLabelsOf(domain, dnsLabelProblems, path),
    ...when(!domain.includes('.'), () => fieldInvalid(path, domain, detail)),
    ...validateLabelsOf(signer, subdomainProblems, path),
    ...when(signer.length > MAX_PATH_LENGTH, () => fieldTooLong(path, MAX_PATH_LENGTH)),
  ];
}

/** Findings about the first bad one of the labels that dots separate. */
function validateLabelsOf(segment: string, rule: TextRule, path: string): FieldError[] {
  for (const label of segment.split('.')) {
    const problems = rule(label).map((problem) => `validating label ${goQuote(label)}: ${problem}`);
    if (problems.length > 0) return fieldProblems(path, segment, problems);
  }
  return [];
}
