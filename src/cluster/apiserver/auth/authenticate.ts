/**
 * User of a request: the subject of a client certificate, or the service account of a bearer token.
 * A request with neither may read health and version; a bad token is refused everywhere.
 */
import { apiError, forbidden, unauthorized } from '../../api/status.js';
import type { ApiRequest, Exchange, Step, User } from '../pipeline/exchange.js';
import type { ServiceAccountTokens } from './service-account-tokens.js';

const ANONYMOUS: User = {
  name: 'system:anonymous',
  uid: '',
  groups: ['system:unauthenticated'],
  extra: {},
};

const PUBLIC_PATHS: ReadonlySet<string> = new Set(['/healthz', '/livez', '/readyz', '/version']);

/** Sets the user. Throws: ApiError 401, and for impersonation 400 and 403. */
export function authenticationStep(tokens: ServiceAccountTokens): Step {
  return async (exchange) => {
    exchange.user = await authenticate(exchange, tokens);
    refuseImpersonation(exchange);
    return undefined;
  };
}

async function authenticate(
  { request, info }: Exchange,
  tokens: ServiceAccountTokens,
): Promise<User> {
  const { certificate } = request;
  if (certificate !== undefined) {
    const groups = new Set([...certificate.organizations, 'system:authenticated']);
    const extra: User['extra'] =
      certificate.fingerprint === undefined
        ? {}
        : {
            'authentication.kubernetes.io/credential-id': [`X509SHA256=${certificate.fingerprint}`],
          };
    return { name: certificate.commonName, uid: '', groups: [...groups], extra };
  }
  const token = bearerToken(request);
  if (token !== undefined) {
    const user = await tokens.authenticate(token);
    if (user === undefined) throw unauthorized();
    return user;
  }
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!info.isResource && isRead && PUBLIC_PATHS.has(info.path)) return ANONYMOUS;
  throw unauthorized();
}

/** Undefined when there is none: another scheme, or a word without a token. */
function bearerToken(request: ApiRequest): string | undefined {
  const [scheme = '', token = ''] = (request.header('authorization') ?? '').trim().split(/ +/, 2);
  return scheme.toLowerCase() === 'bearer' && token !== '' ? token : undefined;
}

/** Nobody may act as somebody else. Such a request is refused: to ignore the wish would act as the wrong user. */
function refuseImpersonation({ request, user }: Exchange): void {
  const asked = request.headerNames().filter((name) => name.startsWith('impersonate-'));
  if (asked.length === 0) return;
  const name = request.header('impersonate-user') ?? '';
  if (name === '')
    throw apiError(400, 'BadRequest', `requested ${asked.join(', ')} without impersonating a user`);
  const why = `User "${user.name}" cannot impersonate resource "users" in API group "" at the cluster scope`;
  throw forbidden({ group: '', resource: 'users' }, name, why);
}
