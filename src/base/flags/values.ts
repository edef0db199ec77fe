/**
 * Parses flag values as Go's flag package does, so that every spelling in scripts and manifests for
 * etcd means the same here. Each parser returns undefined for a text it does not accept.
 */

const TRUE_TEXTS = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE_TEXTS = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

export function parseBool(text: string): boolean | undefined {
  if (TRUE_TEXTS.has(text)) return true;
  if (FALSE_TEXTS.has(text)) return false;
  return undefined;
}

/** A whole number in [min, max], decimal or with the prefix 0x, 0o, 0b or 0. */
export function parseInteger(text: string, min: number, max: number): number | undefined {
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)$/.exec(text);
  if (match === null) return undefined;
  const digits = match[2] ?? '';
  // Number() reads 0x, 0o and 0b, but takes a bare leading zero for decimal.
  const magnitude = Number(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  const value = match[1] === '-' ? -magnitude : magnitude;
  return value >= min && value <= max ? value : undefined;
}
