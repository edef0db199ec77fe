/** Names of field managers (k8s.io/apiserver/pkg/endpoints/handlers). */
/** Bytes of UTF-8. */
const MAX_LENGTH = 128;

/** Printable characters of Go: letters, marks, numbers, punctuation, symbols, the ASCII space. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/**
 * Name of the writer: the `fieldManager` of the query, else the part of User-Agent before its first
 * slash, without unprintable characters and cut to 128 bytes. May be empty.
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
