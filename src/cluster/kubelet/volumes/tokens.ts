import type { Pod, ServiceAccountTokenProjection } from '../../../gen/kube-core-v1.js';
import type { TokenRequest } from '../../../gen/kube-authentication-v1.js';
import type { KubeClient } from '../../client/client.js';
import type { ClusterEnv } from '../../env.js';
import { uidOf } from '../pods/pod-spec.js';
import { messageOf } from '../pods/start-error.js';
import { SERVICE_ACCOUNTS } from '../../client/resource-types.js';

const DEFAULT_SECONDS = 3600;
/** A token is replaced when so much of its life is over, or after a day. */
const USED_LIFE = 0.8;
const MAX_AGE_MS = 24 * 3600 * 1000;

interface Held {
  readonly token: string;
  readonly refreshAtMs: number;
  readonly expiresAtMs: number;
}

/** Tokens of service accounts for pods, each good for one pod alone (TokenRequest). */
export class Tokens {
  readonly #env: ClusterEnv;
  readonly #client: KubeClient;
  /** By pod, account, audience and life. */
  readonly #held = new Map<string, Held>();

  constructor(env: ClusterEnv, client: KubeClient) {
    this.#env = env;
    this.#client = client;
  }

  /** A token with some life left. Rejects with an Error in the words of the API server. */
  async get(pod: Pod, projection: ServiceAccountTokenProjection): Promise<string> {
    const { audience = '', expirationSeconds = DEFAULT_SECONDS } = projection;
    const account = pod.spec.serviceAccountName ?? 'default';
    const key = [uidOf(pod), account, audience, expirationSeconds].join('/');
    const held = this.#held.get(key);
    const nowMs = this.#env.wallMs();
    if (held !== undefined && nowMs < held.refreshAtMs) return held.token;
    try {
      const fresh = await this.#request(pod, account, audience, expirationSeconds);
      this.#held.set(key, fresh);
      return fresh.token;
    } catch (error) {
      // The old one serves while it lives.
      if (held !== undefined && nowMs < held.expiresAtMs) return held.token;
      throw new Error(`failed to fetch token: ${messageOf(error)}`);
    }
  }

  forget(uid: string): void {
    for (const key of this.#held.keys()) if (key.startsWith(`${uid}/`)) this.#held.delete(key);
  }

  async #request(
    pod: Pod,
    account: string,
    audience: string,
    expirationSeconds: number,
  ): Promise<Held> {
    const { name = '', namespace = '', uid = '' } = pod.metadata;
    const nowMs = this.#env.wallMs();
    const reply = await this.#client
      .resource(SERVICE_ACCOUNTS, namespace)
      .createSubresource<TokenRequest>(account, 'token', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: {},
        spec: {
          ...(audience === '' ? {} : { audiences: [audience] }),
          expirationSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      });
    const { token = '', expirationTimestamp = '' } = reply.status ?? {};
    if (token === '') throw new Error('the API server gave no token');
    const expiresAtMs = Date.parse(expirationTimestamp);
    const lifeMs = Number.isNaN(expiresAtMs) ? expirationSeconds * 1000 : expiresAtMs - nowMs;
    const refreshAtMs = nowMs + Math.min(MAX_AGE_MS, lifeMs * USED_LIFE);
    return { token, refreshAtMs, expiresAtMs: nowMs + lifeMs };
  }
}
