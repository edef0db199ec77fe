/**
 * JSON value of a YAML 1.1 scalar. Times stay texts, and there are no numbers to the base 60:
 * `12:30` is a text.
 */
import type { Scalar } from 'yaml';
import { BodyError } from './body.js';

const TRUE = ['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'];
const FALSE = ['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'];
const NULL = ['', '~', 'null', 'Null', 'NULL'];
const NOT_IN_JSON = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;

const INTEGER = /^[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)$/;
const FLOAT = /^[-+]?[0-9]*\.?[0-9]+(?:[eE][-+][0-9]+)?$/;

const PREFIX = 'tag:yaml.org,2002:';

const PLAIN: ReadonlyMap<string, boolean | null> = new Map<string, boolean | null>([
  ...TRUE.map((text) => [text, true] as const),
  ...FALSE.map((text) => [text, false] as const),
  ...NULL.map((text) => [text, null] as const),
]);

/** Requires: a scalar read with YAML's failsafe schema. Throws: BodyError. */
export function resolveScalar(node: Scalar): string | number | boolean | null {
  // Not the value: known tags turn it into what they stand for.
  const text = node.source ?? '';
  if (node.tag === `${PREFIX}binary`) return Buffer.from(text, 'base64').toString('utf8');
  const isPlain = node.type === 'PLAIN' && node.tag === undefined;
  const isTyped = node.tag?.startsWith(PREFIX) === true && node.tag !== `${PREFIX}str`;
  return isPlain || isTyped ? resolvePlain(text) : text;
}

function resolvePlain(text: string): string | number | boolean | null {
  const known = PLAIN.get(text);
  if (known !== undefined) return known;
  if (NOT_IN_JSON.test(text)) throw new BodyError(`json: unsupported value: ${notInJson(text)}`);
  const digits = text.replaceAll('_', '');
  if (!/^[-+.0-9]/.test(text)) return text;
  if (INTEGER.test(digits)) return integer(digits);
  return FLOAT.test(digits) ? Number(digits) : text;
}

function integer(digits: string): number {
  const unsigned = digits.replace(/^[-+]/, '').replace(/^0([0-7])/, '0o$1');
  const value = Number(unsigned);
  return digits.startsWith('-') ? -value : value;
}

function notInJson(text: string): string {
  if (/nan/i.test(text)) return 'NaN';
  return text.startsWith('-') ? '-Inf' : '+Inf';
}
