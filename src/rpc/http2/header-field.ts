/** Header fields, classified once when they are decoded, so that fields taken from a table cost no string work. */

/** Meaning of a request field to the server; everything it does not act on is `regular`. */
export const FieldKind = {
  regular: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  contentType: 5,
  timeout: 6,
  encoding: 7,
  contentLength: 8,
  te: 9,
  acceptEncoding: 10,
  /** Not allowed in a request: unknown pseudo field, connection field, or a name or value HTTP/2 forbids. */
  forbidden: 11,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

export interface HeaderField {
  readonly name: string;
  readonly value: string;
  readonly kind: FieldKind;
}

/** Bytes that HPACK and SETTINGS_MAX_HEADER_LIST_SIZE add to the length of name and value. */
export const FIELD_OVERHEAD_BYTES = 32;

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  [':method', FieldKind.method],
  [':scheme', FieldKind.scheme],
  [':authority', FieldKind.authority],
  [':path', FieldKind.path],
  ['content-type', FieldKind.contentType],
  ['grpc-timeout', FieldKind.timeout],
  ['grpc-encoding', FieldKind.encoding],
  ['grpc-accept-encoding', FieldKind.acceptEncoding],
  ['content-length', FieldKind.contentLength],
  ['te', FieldKind.te],
  ['connection', FieldKind.forbidden],
  ['keep-alive', FieldKind.forbidden],
  ['proxy-connection', FieldKind.forbidden],
  ['transfer-encoding', FieldKind.forbidden],
  ['upgrade', FieldKind.forbidden],
]);

const UPPER_A = 0x41;
const UPPER_Z = 0x5a;
const SPACE = 0x20;
const DELETE = 0x7f;
const COLON = 0x3a;
const TAB = 0x09;

export function makeField(name: string, value: string): HeaderField {
  return { name, value, kind: classify(name, value) };
}

/** Bytes the field counts for in a header list and in a dynamic table. */
export function fieldSize(field: HeaderField): number {
  return field.name.length + field.value.length + FIELD_OVERHEAD_BYTES;
}

function classify(name: string, value: string): FieldKind {
  if (!isValidValue(value)) return FieldKind.forbidden;
  const kind = KINDS.get(name);
  if (kind !== undefined) {
    return kind === FieldKind.te && value !== 'trailers' ? FieldKind.forbidden : kind;
  }
  return isValidName(name) ? FieldKind.regular : FieldKind.forbidden;
}

function isValidName(name: string): boolean {
  if (name.length === 0) return false;
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code <= SPACE || code >= DELETE || code === COLON) return false;
    if (code >= UPPER_A && code <= UPPER_Z) return false;
  }
  return true;
}

function isValidValue(value: string): boolean {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if ((code < SPACE && code !== TAB) || code === DELETE) return false;
  }
  return true;
}
