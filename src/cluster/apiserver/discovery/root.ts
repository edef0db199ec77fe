import { apiVersionOf } from '../../api/object.js';
import type { Step } from '../pipeline/exchange.js';
import { ServedGroups } from './documents.js';
import type { DiscoveredKind } from './discovered-kind.js';
import type { HealthCheck } from './health.js';
import { jsonAnswer } from './media.js';

/** GET of /: every path there is, without those of resources. */
export function rootStep(kinds: readonly DiscoveredKind[], checks: readonly HealthCheck[]): Step {
  return ({ info, request }) => {
    if (info.isResource || info.path !== '/' || info.verb !== 'get') return undefined;
    return jsonAnswer(request, { paths: pathsOf(kinds, checks) });
  };
}

function pathsOf(kinds: readonly DiscoveredKind[], checks: readonly HealthCheck[]): string[] {
  const { versions } = new ServedGroups(kinds);
  const groups = [...versions].filter(([group]) => group !== '');
  const paths = [
    '/.well-known/openid-configuration',
    '/api',
    '/api/v1',
    '/apis',
    '/apis/',
    ...groups.flatMap(([group, own]) => [
      `/apis/${group}`,
      ...own.map((version) => `/apis/${apiVersionOf(group, version)}`),
    ]),
    ...['healthz', 'livez', 'readyz'].flatMap((endpoint) => [
      `/${endpoint}`,
      ...checks
        .filter(({ of }) => of.some((name) => name === endpoint))
        .map(({ name }) => `/${endpoint}/${name}`),
    ]),
    '/metrics',
    '/openapi/v3',
    '/openapi/v3/',
    '/openid/v1/jwks',
    '/version',
  ];
  return paths.sort();
}
