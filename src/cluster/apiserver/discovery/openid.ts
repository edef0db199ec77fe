/** Documents by which others verify tokens of service accounts (OpenID Connect Discovery 1.0). */
import type { ServiceAccountTokens } from '../auth/service-account-tokens.js';
import type { Step } from '../pipeline/exchange.js';
import { jsonAnswer } from './media.js';

const CACHED = { 'cache-control': 'public, max-age=3600' } as const;

/** `advertised` is host and port of this server, as other machines reach it. */
export function openidStep(tokens: ServiceAccountTokens, advertised: string): Step {
  return ({ info, request }) => {
    if (info.isResource || info.verb !== 'get') return undefined;
    if (info.path === '/openid/v1/jwks')
      return jsonAnswer(request, tokens.jwks(), 'application/jwk-set+json', CACHED);
    if (info.path !== '/.well-known/openid-configuration') return undefined;
    const value = {
      issuer: tokens.issuer,
      jwks_uri: `https://${advertised}/openid/v1/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: tokens.algorithms,
    };
    return jsonAnswer(request, value, 'application/json', CACHED);
  };
}
