/**
 * Selectors by label and by field: parsed from query parameters, made from LabelSelector objects,
 * and written back as text (k8s.io/apimachinery pkg/labels and pkg/fields).
 */
import type { LabelSelector } from '../../gen/kube-meta-v1.js';
import {
  isInteger,
  requirementOf,
  type Requirement,
  type SelectorOperator,
} from './requirement.js';
import { SelectorParser } from './selector-parser.js';
import { badRequest, quote } from './status.js';

export type Labels = Readonly<Record<string, string>>;
export type LabelMatcher = (labels: Labels) => boolean;

/** One term of a field selector. */
export interface FieldTerm {
  readonly field: string;
  readonly value: string;
  /** Otherwise the field must differ from the value. */
  readonly isEqual: boolean;
}

/** Matches every object, with or without labels. */
export const everything: LabelMatcher = () => true;
/** Matches no object. */
export const nothing: LabelMatcher = () => false;

/** The `labelSelector` of a query as a function; an empty one selects everything. Throws: ApiError 400. */
export function parseLabelSelector(text: string): LabelMatcher {
  return matcherOf(parseRequirements(text));
}

/** Sorted by key. Throws: ApiError 400. */
export function parseRequirements(text: string): Requirement[] {
  return byKey(new SelectorParser(text).requirements());
}

export function matcherOf(requirements: readonly Requirement[]): LabelMatcher {
  if (requirements.length === 0) return everything;
  return (labels) => requirements.every((requirement) => isMet(requirement, labels));
}

function isMet({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case '=':
    case '==':
    case 'in':
      return value !== undefined && values.includes(value);
    case '!=':
    case 'notin':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    case 'gt':
      return value !== undefined && isInteger(value) && BigInt(value) > BigInt(values[0] ?? 0);
    case 'lt':
      return value !== undefined && isInteger(value) && BigInt(value) < BigInt(values[0] ?? 0);
  }
}

/** An absent selector selects nothing, an empty one everything. Throws: ApiError 400. */
export function labelSelectorMatcher(selector: LabelSelector | undefined): LabelMatcher {
  return selector === undefined ? nothing : matcherOf(requirementsOf(selector));
}

const OBJECT_OPERATORS: ReadonlyMap<string, SelectorOperator> = new Map([
  ['In', 'in'],
  ['NotIn', 'notin'],
  ['Exists', 'exists'],
  ['DoesNotExist', '!'],
]);

/** Sorted by key. Throws: ApiError 400 on an operator, key or value that cannot be. */
export function requirementsOf(selector: LabelSelector): Requirement[] {
  const equal = Object.entries(selector.matchLabels ?? {}).map(([key, value]) =>
    requirementOf(key, '=', [value]),
  );
  const others = (selector.matchExpressions ?? []).map(({ key, operator, values }) => {
    const found = OBJECT_OPERATORS.get(operator);
    if (found === undefined)
      throw badRequest(`${quote(operator)} is not a valid label selector operator`);
    return requirementOf(key, found, values ?? []);
  });
  return byKey([...equal, ...others]);
}

/** `a=b,c in (d,e),!f`, as the parser reads it; empty for everything. */
export function formatSelector(requirements: readonly Requirement[]): string {
  return requirements.map(formatRequirement).join(',');
}

function formatRequirement({ key, operator, values }: Requirement): string {
  const list = values.join(',');
  switch (operator) {
    case 'exists':
      return key;
    case '!':
      return `!${key}`;
    case 'in':
    case 'notin':
      return `${key} ${operator} (${list})`;
    case 'gt':
      return `${key}>${list}`;
    case 'lt':
      return `${key}<${list}`;
    case '=':
    case '==':
    case '!=':
      return `${key}${operator}${list}`;
  }
}

function byKey(requirements: readonly Requirement[]): Requirement[] {
  const compare = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);
  return [...requirements].sort((a, b) => compare(a.key, b.key));
}

/** The `fieldSelector` of a query; an empty one has no terms. Throws: ApiError 400. */
export function parseFieldSelector(text: string): FieldTerm[] {
  const parts = [...text.matchAll(/(?:\\.?|[^,\\])+/gsu)].map(([part]) => part);
  return parts.sort().map((part) => {
    const [, field = '', operator, value = ''] = /^(.*?)(!=|==|=)(.*)$/s.exec(part) ?? [];
    if (operator === undefined)
      throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
    return { field, value: unescapeValue(value), isEqual: operator !== '!=' };
  });
}

/** In values, `\\`, `\,` and `\=` stand for what follows the backslash. */
function unescapeValue(value: string): string {
  return value.replace(/\\(.?)|[,=]/gsu, (match, escaped: string | undefined) => {
    if (escaped === undefined)
      throw badRequest(
        `invalid field selector: unescaped character in value: ${match.codePointAt(0) ?? 0}`,
      );
    if (!'\\,='.includes(escaped) || escaped === '')
      throw badRequest(`invalid field selector: invalid escape sequence: ${match}`);
    return escaped;
  });
}
