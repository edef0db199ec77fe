/** Requirements of label selectors, and what is wrong with them (k8s.io/apimachinery pkg/labels). */
import { badRequest } from './status.js';
import { labelValueProblems, qualifiedNameProblems } from './validation/names.js';

export type SelectorOperator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

/** Condition on the value of one label. All requirements of a selector have to hold. */
export interface Requirement {
  readonly key: string;
  readonly operator: SelectorOperator;
  /** Sorted, none twice. */
  readonly values: readonly string[];
}

/** Throws: ApiError 400 on a key or value that cannot be. */
export function requirementOf(
  key: string,
  operator: SelectorOperator,
  given: readonly string[],
): Requirement {
  const values = [...new Set(given)].sort();
  const problems = [...keyProblems('key', key), ...valueProblems(operator, key, values)];
  const [first = '', ...others] = problems;
  if (others.length > 0) throw badRequest(`[${[...new Set(problems)].join(', ')}]`);
  if (first !== '') throw badRequest(first);
  return { key, operator, values };
}

/** `path` is empty where Kubernetes has none. */
export function keyProblems(path: string, key: string): string[] {
  const problems = qualifiedNameProblems(key);
  return problems.length === 0 ? [] : [invalidValue(path, key, problems.join('; '))];
}

function valueProblems(
  operator: SelectorOperator,
  key: string,
  values: readonly string[],
): string[] {
  return [
    ...countProblems(operator, values),
    ...values.flatMap((value, index) => {
      const problems = labelValueProblems(value);
      if (problems.length === 0) return [];
      return [invalidValue(`values[${index}][${key}]`, value, problems.join('; '))];
    }),
  ];
}

function countProblems(operator: SelectorOperator, values: readonly string[]): string[] {
  const isUnary = operator === 'exists' || operator === '!';
  if (isUnary && values.length > 0)
    return [
      invalidValue('values', values, 'values set must be empty for exists and does not exist'),
    ];
  if ((operator === 'in' || operator === 'notin') && values.length === 0)
    return [
      invalidValue('values', values, "for 'in', 'notin' operators, values set can't be empty"),
    ];
  if (operator !== 'gt' && operator !== 'lt') return [];
  const detail = "for 'Gt', 'Lt' operators, the value must be an integer";
  return values
    .map((value, index) =>
      isInteger(value) ? '' : invalidValue(`values[${index}]`, value, detail),
    )
    .filter((problem) => problem !== '');
}

function invalidValue(path: string, value: unknown, detail: string): string {
  return `${path === '' ? '<nil>' : path}: Invalid value: ${JSON.stringify(value)}: ${detail}`;
}

/** A value that the operators `gt` and `lt` compare: an int64. */
export function isInteger(text: string): boolean {
  return /^[+-]?[0-9]+$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}
