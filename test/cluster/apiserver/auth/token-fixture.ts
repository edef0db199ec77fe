import { generateKeyPairSync } from 'node:crypto';
import type { KubeObject } from '../../../../src/cluster/api/object.js';
import {
  ServiceAccountTokens,
  type TokenObjects,
} from '../../../../src/cluster/apiserver/auth/service-account-tokens.js';
import type { ClusterEnv } from '../../../../src/cluster/env.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';

export const ISSUER = 'https://kubernetes.default.svc.cluster.local';

export function privateKey(type: 'rsa' | 'ec'): string {
  const options = { privateKeyEncoding: { type: 'pkcs8', format: 'pem' } } as const;
  const publicKeyEncoding = { type: 'spki', format: 'pem' } as const;
  return type === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048, ...options, publicKeyEncoding }).privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256', ...options, publicKeyEncoding }).privateKey;
}

/** Objects that tokens name, and a wall clock that a test moves. */
export class TokenFixture {
  nowMs = Date.UTC(2026, 0, 1);
  readonly objects = new Map<string, KubeObject>();
  readonly env: ClusterEnv = { ...systemClusterEnv(), wallMs: () => this.nowMs };
  readonly getters: TokenObjects = {
    serviceAccount: (namespace, name) => this.get(`serviceaccounts/${namespace}/${name}`),
    pod: (namespace, name) => this.get(`pods/${namespace}/${name}`),
    secret: (namespace, name) => this.get(`secrets/${namespace}/${name}`),
    node: (name) => this.get(`nodes/${name}`),
  };
  readonly tokens: ServiceAccountTokens;

  constructor(signingKey: string, verifyingKeys: readonly string[] = []) {
    const options = { issuer: ISSUER, signingKey, verifyingKeys };
    this.tokens = new ServiceAccountTokens(this.env, options, this.getters);
  }

  /** `path` is `pods/d/p`. The object's uid is made of it. */
  add(path: string, spec: object = {}): { name: string; uid: string } {
    const name = path.slice(path.lastIndexOf('/') + 1);
    const uid = `uid-of-${path}`;
    const object = { apiVersion: 'v1', kind: '', metadata: { name, uid }, spec };
    this.objects.set(path, object);
    return { name, uid };
  }

  private get(path: string): Promise<KubeObject | undefined> {
    return Promise.resolve(this.objects.get(path));
  }
}
