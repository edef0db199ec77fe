/**
 * Continue tokens of lists: base64url of {"v":"meta.k8s.io/v1","rv":REVISION,"start":"/KEY\0"}, as
 * the real server makes them (k8s.io/apiserver/pkg/storage/continue.go). A revision of -1 means "at
 * the newest one", which makes the list inconsistent.
 */
import { JsonSyntaxError, quotedByte, readJson } from '../../api/codec/json-reader.js';
import { badRequest } from '../../api/status.js';

const VERSION = 'meta.k8s.io/v1';

export interface ContinueToken {
  readonly revision: number;
  /** First key of the page, relative to the list's prefix. */
  readonly start: string;
}

export function encodeContinue({ revision, start }: ContinueToken): string {
  const text = JSON.stringify({ v: VERSION, rv: revision, start: `/${start}` });
  return Buffer.from(text).toString('base64url');
}

/** Throws: ApiError 400. */
export function decodeContinue(token: string): ContinueToken {
  const bytes = Buffer.from(token, 'base64url');
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw notValid(syntaxProblem(bytes));
  }
  const { v, rv, start } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly v?: unknown;
    readonly rv?: unknown;
    readonly start?: unknown;
  };
  if (v !== VERSION) {
    throw notValid(`server does not recognize this encoded version ${String(v)}`);
  }
  if (typeof rv !== 'number' || rv === 0) throw notValid('incorrect encoded start resourceVersion');
  if (typeof start !== 'string' || start === '') throw notValid('start key is required');
  // A key that climbs out of the list's prefix is none of this server's.
  const key = start.startsWith('/') ? start : `/${start}`;
  if (key.split('/').some((part) => part === '..' || part === '.')) throw notValid(start);
  return { revision: rv, start: key.slice(1) };
}

function notValid(why: string): Error {
  return badRequest(`invalid continue token: continue key is not valid: ${why}`);
}

/** Go reads JSON byte by byte, and says so. */
function syntaxProblem(bytes: Buffer): string {
  const [first = 0] = bytes;
  if (first > 0x7f) return `invalid character ${quotedByte(first)} looking for beginning of value`;
  try {
    readJson(bytes.toString());
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error.message;
    throw error;
  }
  return 'invalid UTF-8';
}
