import type { JsonObject, JsonValue, KubeObject } from '../../../src/cluster/api/object.js';

export interface Selectors {
  readonly labels: string;
  readonly fields: string;
}

/** True when both selectors match; a field is any dotted path below the object. */
export function selects({ labels, fields }: Selectors, object: KubeObject): boolean {
  const own = object.metadata.labels ?? {};
  const byLabels = requirements(labels).every((one) => matchesLabel(one, own));
  return byLabels && requirements(fields).every((one) => matchesField(one, object));
}

/** Commas within parentheses belong to a set. */
function requirements(selector: string): string[] {
  return selector.split(/,(?![^(]*\))/).flatMap((one) => (one.trim() === '' ? [] : [one.trim()]));
}

function matchesLabel(requirement: string, labels: Readonly<Record<string, string>>): boolean {
  const set = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(requirement);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const isIn = list.split(',').some((value) => value.trim() === labels[key]);
    return operator === 'in' ? isIn : !isIn;
  }
  if (requirement.startsWith('!')) return labels[requirement.slice(1)] === undefined;
  const equality = EQUALITY.exec(requirement);
  if (equality === null) return labels[requirement] !== undefined;
  const [, key = '', operator, value = ''] = equality;
  return (labels[key] === value) === (operator !== '!=');
}

const EQUALITY = /^([^=!\s]+)\s*(==|=|!=)\s*(.*)$/;

function matchesField(requirement: string, object: KubeObject): boolean {
  const [, path = '', operator, value = ''] = EQUALITY.exec(requirement) ?? [];
  let at: JsonValue | undefined = object as unknown as JsonObject;
  for (const step of path.split('.')) {
    at = typeof at === 'object' && at !== null && !Array.isArray(at) ? at[step] : undefined;
  }
  const text = typeof at === 'object' || at === undefined ? '' : String(at);
  return (text === value) === (operator !== '!=');
}
