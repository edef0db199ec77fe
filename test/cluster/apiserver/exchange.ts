import type {
  ApiRequest,
  ClientCertificate,
  Exchange,
  Step,
  User,
} from '../../../src/cluster/apiserver/pipeline/exchange.js';
import { requestInfo } from '../../../src/cluster/apiserver/pipeline/request-info.js';
import { ApiError } from '../../../src/cluster/api/status.js';

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Names in any case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly certificate?: ClientCertificate;
  readonly user?: User;
}

export const NOBODY: User = { name: '', uid: '', groups: [], extra: {} };

/** A user as authentication would make it of a certificate. */
export function userOf(name: string, ...groups: string[]): User {
  return { name, uid: '', groups: [...groups, 'system:authenticated'], extra: {} };
}

/** An exchange as a transport begins it. */
export function exchangeOf(asked: Asked): Exchange {
  const { method = 'GET', path, certificate, user = NOBODY } = asked;
  const headers = new Map(
    Object.entries(asked.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const query = new URLSearchParams(asked.query);
  const body = typeof asked.body === 'string' ? asked.body : JSON.stringify(asked.body ?? {});
  const request: ApiRequest = {
    method,
    path,
    query,
    header: (name) => headers.get(name),
    headerNames: () => [...headers.keys()],
    body: () => Promise.resolve(Buffer.from(body)),
    certificate,
    signal: new AbortController().signal,
    upgrade: undefined,
  };
  const info = requestInfo(method, path, query);
  return { request, info, user, kind: undefined, warnings: [] };
}

export interface Outcome {
  readonly code: number;
  readonly body: unknown;
}

/** Runs one step. An answer as code and value, a Status for an error, code 0 when the step passed it on. */
export async function run(step: Step, exchange: Exchange): Promise<Outcome> {
  try {
    const answer = await step(exchange);
    if (answer === undefined) return { code: 0, body: undefined };
    if (answer.type === 'value') return { code: answer.status, body: answer.value };
    if (answer.type === 'text') {
      const text = answer.text;
      return { code: answer.status, body: typeof text === 'string' ? text : Buffer.from(text) };
    }
    return { code: 200, body: answer };
  } catch (error) {
    if (error instanceof ApiError) return { code: error.code, body: error.status };
    throw error;
  }
}
