/** Names of field managers (k8s.io/apiserver/pkg/endpoints/handlers). */
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
