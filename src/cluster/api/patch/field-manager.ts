/** Names of field managers (k8s.io/apiserver/pkg/endpoints/handlers; metav1.ValidateFieldManager). */
import type { FieldError } from '../status.js';

/** Bytes of UTF-8. */
const MAX_LENGTH = 128;

/** What Go counts as printable: letters, marks, numbers, punctuation, symbols and the ASCII space. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/**
 * Who writes: the `fieldManager` of the query, or else what stands before the first slash of
 * User-Agent, without what cannot be printed and cut to 128 bytes. May be empty.
 */
export function managerName(fieldManager: string, userAgent: string): string {
  if (fieldManager !== '') return fieldManager;
  let name = '';
  let length = 0;
  for (const char of userAgent.split('/', 1).join('')) {
    if (!PRINTABLE.test(char)) continue;
    length += Buffer.byteLength(char);
    if (length > MAX_LENGTH) break;
    name += char;
  }
  return name;
}

/** Findings about the `fieldManager` of a request; one that is left out is valid. */
export function validateFieldManager(fieldManager: string): FieldError[] {
  const errors: FieldError[] = [];
  const add = (reason: FieldError['reason'], message: string) =>
    errors.push({ reason, field: 'fieldManager', message });
  if (Buffer.byteLength(fieldManager) > MAX_LENGTH)
    add('FieldValueTooLong', `Too long: may not be more than ${MAX_LENGTH} bytes`);
  let position = 0;
  for (const char of fieldManager) {
    if (!PRINTABLE.test(char))
      add(
        'FieldValueInvalid',
        `Invalid value: ${goQuote(fieldManager)}: invalid character ${codePoint(char)} (at position ${position})`,
      );
    position += Buffer.byteLength(char);
  }
  return errors;
}

function codePoint(char: string): string {
  return `U+${hexOf(char).toUpperCase().padStart(4, '0')}`;
}

function hexOf(char: string): string {
  return (char.codePointAt(0) ?? 0).toString(16);
}

const GO_ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

/** A text as Go's %q writes it. */
function goQuote(text: string): string {
  const chars = [...text].map((char) => {
    const known = GO_ESCAPES[char];
    if (known !== undefined) return known;
    if (PRINTABLE.test(char)) return char;
    const hex = hexOf(char);
    if (hex.length <= 2 && char <= '\x7f') return `\\x${hex.padStart(2, '0')}`;
    return hex.length <= 4 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
  });
  return `"${chars.join('')}"`;
}
