/**
 * Tokens of service accounts (KEP-1205): signed, good for a time and an audience, and only as long
 * as the account, and the pod or node they are bound to, exist.
 */
import type { KubeObject } from '../../api/object.js';
import type { ClusterEnv } from '../../env.js';
import type { User } from '../pipeline/exchange.js';
import { newUid } from '../registry/metadata.js';
import { JwtSigner, JwtVerifier, type Claims, type Jwk } from './jwt.js';

/** Current objects by namespace and name; undefined when there is none. */
export interface TokenObjects {
  serviceAccount(namespace: string, name: string): Promise<KubeObject | undefined>;
  pod(namespace: string, name: string): Promise<KubeObject | undefined>;
  secret(namespace: string, name: string): Promise<KubeObject | undefined>;
  node(name: string): Promise<KubeObject | undefined>;
}

export interface TokenOptions {
  /** Claim `iss`; also the audience that this server stands for. */
  readonly issuer: string;
  /** Signs; PEM. */
  readonly signingKey: string;
  /** Verify besides the signing key; PEM. */
  readonly verifyingKeys: readonly string[];
}

/** An object as a token names it. */
interface Named {
  readonly name: string;
  readonly uid: string;
}

export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: Named;
  readonly pod?: Named | undefined;
  readonly node?: Named | undefined;
  readonly secret?: Named | undefined;
}

/** An object that is being deleted still vouches for its tokens for this long. */
const DELETION_LEEWAY_MS = 60_000;

/** Signatures that were verified; checking one costs more than all else of a request. */
const MAX_VERIFIED = 4096;

export class ServiceAccountTokens {
  readonly issuer: string;
  private readonly env: ClusterEnv;
  private readonly objects: TokenObjects;
  private readonly signer: JwtSigner;
  private readonly verifier: JwtVerifier;
  private readonly verified = new Map<string, Claims>();

  constructor(env: ClusterEnv, options: TokenOptions, objects: TokenObjects) {
    this.env = env;
    this.objects = objects;
    this.issuer = options.issuer;
    this.signer = new JwtSigner(options.signingKey);
    this.verifier = new JwtVerifier([options.signingKey, ...options.verifyingKeys]);
  }

  /** `seconds` is the time for which it is good. */
  issue(
    subject: TokenSubject,
    audiences: readonly string[],
    seconds: number,
  ): { readonly token: string; readonly expiresAtMs: number } {
    const now = Math.floor(this.env.wallMs() / 1000);
    const { namespace, serviceAccount, pod, node, secret } = subject;
    const token = this.signer.sign({
      aud: audiences,
      exp: now + seconds,
      iat: now,
      iss: this.issuer,
      jti: newUid(this.env),
      'kubernetes.io': {
        namespace,
        ...(node === undefined ? {} : { node }),
        ...(pod === undefined ? {} : { pod }),
        ...(secret === undefined ? {} : { secret }),
        serviceaccount: serviceAccount,
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    });
    return { token, expiresAtMs: (now + seconds) * 1000 };
  }

  /** User of a token; undefined when it is not good, for whatever reason. */
  async authenticate(token: string): Promise<User | undefined> {
    const claims = this.claimsOf(token);
    if (claims === undefined || !this.isInTime(claims)) return undefined;
    if (claims['iss'] !== this.issuer || !includesAudience(claims['aud'], this.issuer))
      return undefined;
    const subject = subjectOf(claims);
    if (subject === undefined || !(await this.exists(subject))) return undefined;
    return userOf(subject, claims['jti']);
  }

  jwks(): { readonly keys: readonly Jwk[] } {
    return this.verifier.jwks();
  }

  /** Names of the algorithms that tokens are signed with, of all keys. */
  get algorithms(): readonly string[] {
    return this.verifier.algorithms;
  }

  private claimsOf(token: string): Claims | undefined {
    const known = this.verified.get(token);
    if (known !== undefined) return known;
    const claims = this.verifier.verify(token);
    if (claims === undefined) return undefined;
    if (this.verified.size >= MAX_VERIFIED) this.verified.clear();
    this.verified.set(token, claims);
    return claims;
  }

  private isInTime({ exp, nbf, iat }: Claims): boolean {
    const now = this.env.wallMs() / 1000;
    const begins = [nbf, iat].every((time) => time === undefined || Number(time) <= now);
    return typeof exp === 'number' && now < exp && begins;
  }

  private async exists(subject: TokenSubject): Promise<boolean> {
    const { namespace, serviceAccount, pod, node, secret } = subject;
    const { objects } = this;
    const checks: [Named | undefined, (name: string) => Promise<KubeObject | undefined>][] = [
      [serviceAccount, (name) => objects.serviceAccount(namespace, name)],
      [pod, (name) => objects.pod(namespace, name)],
      [secret, (name) => objects.secret(namespace, name)],
      // A token of a pod outlives the node's object; one that is bound to the node alone does not.
      [pod === undefined ? node : undefined, (name) => objects.node(name)],
    ];
    for (const [named, get] of checks) {
      if (named === undefined) continue;
      const object = await get(named.name);
      if (object === undefined || object.metadata.uid !== named.uid) return false;
      const { deletionTimestamp } = object.metadata;
      if (deletionTimestamp === undefined) continue;
      if (Date.parse(deletionTimestamp) + DELETION_LEEWAY_MS < this.env.wallMs()) return false;
    }
    return true;
  }
}

function includesAudience(claim: unknown, audience: string): boolean {
  return claim === audience || (Array.isArray(claim) && claim.includes(audience));
}

/** Subject by the private claims; undefined when they lack a part or contradict `sub`. */
function subjectOf(claims: Claims): TokenSubject | undefined {
  const own = claims['kubernetes.io'] as Record<string, unknown> | undefined;
  const namespace = own?.['namespace'];
  const serviceAccount = namedOf(own?.['serviceaccount']);
  if (typeof namespace !== 'string' || serviceAccount === undefined) return undefined;
  if (claims['sub'] !== `system:serviceaccount:${namespace}:${serviceAccount.name}`)
    return undefined;
  return {
    namespace,
    serviceAccount,
    pod: namedOf(own?.['pod']),
    node: namedOf(own?.['node']),
    secret: namedOf(own?.['secret']),
  };
}

function namedOf(value: unknown): Named | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { name, uid } = value as { name?: unknown; uid?: unknown };
  return typeof name === 'string' && typeof uid === 'string' ? { name, uid } : undefined;
}

const EXTRA = 'authentication.kubernetes.io/';

function userOf({ namespace, serviceAccount, pod, node }: TokenSubject, jti: unknown): User {
  const extra: Record<string, string[]> = {};
  if (typeof jti === 'string') extra[`${EXTRA}credential-id`] = [`JTI=${jti}`];
  if (node !== undefined) {
    extra[`${EXTRA}node-name`] = [node.name];
    extra[`${EXTRA}node-uid`] = [node.uid];
  }
  if (pod !== undefined) {
    extra[`${EXTRA}pod-name`] = [pod.name];
    extra[`${EXTRA}pod-uid`] = [pod.uid];
  }
  return {
    name: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    uid: serviceAccount.uid,
    groups: [
      'system:serviceaccounts',
      `system:serviceaccounts:${namespace}`,
      'system:authenticated',
    ],
    extra,
  };
}
