/** /healthz, /livez and /readyz: named checks, each also below its own path (k8s.io/apiserver healthz). */
import type { Answer, Step } from '../pipeline/exchange.js';
import { pageNotFound, TEXT_TYPE, textAnswer } from './media.js';

type Endpoint = 'healthz' | 'livez' | 'readyz';

export interface HealthCheck {
  readonly name: string;
  /** Endpoints that ask it. */
  readonly of: readonly Endpoint[];
  /**
   * Reason of a failure; undefined: all is well. A rejection is a failure as well. The reason is
   * told to administrators only, below the check's own path.
   */
  readonly check: () => Promise<string | undefined> | string | undefined;
}

const ENDPOINTS: ReadonlySet<string> = new Set<Endpoint>(['healthz', 'livez', 'readyz']);

/** `checks` in the order in which they are shown. */
export function healthStep(checks: readonly HealthCheck[]): Step {
  return async ({ info, request }) => {
    const [, endpoint = '', ...rest] = info.path.split('/');
    if (info.isResource || !ENDPOINTS.has(endpoint)) return undefined;
    const own = checks.filter(({ of }) => of.some((name) => name === endpoint));
    const name = rest.join('/');
    return name === ''
      ? checkAll(endpoint, own, request.query)
      : checkOne(own.find((check) => check.name === name));
  };
}

async function checkAll(
  endpoint: string,
  checks: readonly HealthCheck[],
  query: URLSearchParams,
): Promise<Answer> {
  const excluded = new Set(query.getAll('exclude'));
  const lines: string[] = [];
  let isFine = true;
  for (const { name, check } of checks) {
    if (excluded.delete(name)) {
      lines.push(`[+]${name} excluded: ok\n`);
      continue;
    }
    const reason = await reasonOf(check);
    isFine = isFine && reason === undefined;
    lines.push(reason === undefined ? `[+]${name} ok\n` : `[-]${name} failed: reason withheld\n`);
  }
  if (excluded.size > 0) {
    const names = [...excluded].map((name) => JSON.stringify(name)).join(',');
    lines.push(`warn: some health checks cannot be excluded: no matches for ${names}\n`);
  }
  if (!isFine) return textAnswer(500, `${lines.join('')}${endpoint} check failed\n`);
  return textAnswer(
    200,
    query.has('verbose') ? `${lines.join('')}${endpoint} check passed\n` : 'ok',
  );
}

async function checkOne(check: HealthCheck | undefined): Promise<Answer> {
  if (check === undefined) return pageNotFound();
  const reason = await reasonOf(check.check);
  if (reason !== undefined) return textAnswer(500, `internal server error: ${reason}\n`);
  return { type: 'text', status: 200, contentType: TEXT_TYPE, text: 'ok' };
}

async function reasonOf(check: HealthCheck['check']): Promise<string | undefined> {
  try {
    return await check();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
