/** JSON values as Go's fmt and reflect write them: error texts of Kubernetes hold such texts. */
import type { JsonValue } from '../object.js';

/** As %v: `map[image:x name:c]`, `[a b]`, `<nil>`. */
export function goText(value: JsonValue | undefined): string {
  if (value === null || value === undefined) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  if (typeof value === 'object') {
    const names = Object.keys(value).filter((name) => value[name] !== undefined);
    return `map[${names
      .sort()
      .map((name) => `${name}:${goText(value[name])}`)
      .join(' ')}]`;
  }
  return typeof value === 'number' ? goNumber(value) : String(value);
}

function goNumber(value: number): string {
  const size = Math.abs(value);
  if (Number.isSafeInteger(value) || (size >= 1e-4 && size < 1e21)) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

/** Type of a decoded value, as reflect names it. */
export function goType(value: JsonValue | undefined): string {
  if (value === null || value === undefined) return '%!s(<nil>)';
  if (Array.isArray(value)) return '[]interface {}';
  switch (typeof value) {
    case 'object':
      return 'map[string]interface {}';
    case 'boolean':
      return 'bool';
    case 'string':
      return 'string';
    default:
      return Number.isInteger(value) ? 'int64' : 'float64';
  }
}
