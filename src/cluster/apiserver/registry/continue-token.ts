/**
 * Continue tokens of lists: base64url of {"v":"meta.k8s.io/v1","rv":REVISION,"start":"/KEY\0"}, as
 * the real server makes them (k8s.io/apiserver/pkg/storage/continue.go). A revision of -1 means "at
 * the newest one", which makes the list inconsistent.
 */
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
  const text = Buffer.from(token, 'base64url').toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw notValid(`invalid character ${characterText(text)} looking for beginning of value`);
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

/** As Go's %q shows a byte that does not begin a JSON value. */
function characterText(text: string): string {
  const [first = ''] = text;
  const code = first.codePointAt(0) ?? 0;
  if (code >= 0x20 && code < 0x7f) return `'${first}'`;
  return `'\\u${code.toString(16).padStart(4, '0')}'`;
}
