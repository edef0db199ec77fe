/** JSON Web Tokens (RFC 7519) signed with RS256 or ES256 (RFC 7518), the two that Kubernetes issues. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';

export type Claims = Readonly<Record<string, unknown>>;

type Algorithm = 'RS256' | 'ES256';

/** A public key in the form of RFC 7517. */
export type Jwk = Readonly<Record<string, string | undefined>>;

export class JwtVerifier {
  private readonly keys: ReadonlyMap<string, { readonly key: KeyObject; readonly alg: Algorithm }>;

  /** `pems` are public or private keys; several, so that a new one can be introduced beside the old. */
  constructor(pems: readonly string[]) {
    const keys = pems.map((pem) => createPublicKey(pem));
    this.keys = new Map(keys.map((key) => [keyId(key), { key, alg: algorithmOf(key) }]));
  }

  /** Claims of a token, if one of the keys signed it; else undefined. Times are not looked at. */
  verify(token: string): Claims | undefined {
    const [head = '', body = '', signature = '', ...rest] = token.split('.');
    const header = parsePart(head);
    if (rest.length > 0 || header === undefined) return undefined;
    const { kid } = header;
    for (const [id, { key, alg }] of this.keys) {
      // The key decides on the algorithm, never the token.
      if (header['alg'] !== alg || (kid !== undefined && kid !== id)) continue;
      const data = Buffer.from(`${head}.${body}`);
      const bytes = Buffer.from(signature, 'base64url');
      if (verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, bytes)) return parsePart(body);
    }
    return undefined;
  }

  /** The key set that others verify tokens with. */
  jwks(): { readonly keys: readonly Jwk[] } {
    const keys = [...this.keys].map(([kid, { key, alg }]): Jwk => {
      const { kty, n, e, crv, x, y } = key.export({ format: 'jwk' });
      const parts = kty === 'RSA' ? { n, e } : { crv, x, y };
      return { use: 'sig', kty: kty ?? '', kid, alg, ...parts };
    });
    return { keys };
  }

  get algorithms(): readonly string[] {
    return [...new Set([...this.keys.values()].map(({ alg }) => alg))];
  }
}

export class JwtSigner {
  private readonly key: KeyObject;
  private readonly head: string;

  /** `pem` is an RSA key, or one of the curve P-256. Throws: for other keys. */
  constructor(pem: string) {
    this.key = createPrivateKey(pem);
    const publicKey = createPublicKey(this.key);
    this.head = encodePart({ alg: algorithmOf(publicKey), kid: keyId(publicKey) });
  }

  sign(claims: Claims): string {
    const data = `${this.head}.${encodePart(claims)}`;
    const signature = sign('sha256', Buffer.from(data), {
      key: this.key,
      dsaEncoding: 'ieee-p1363',
    });
    return `${data}.${signature.toString('base64url')}`;
  }
}

function algorithmOf(key: KeyObject): Algorithm {
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256';
  throw new Error('a key for service-account tokens is an RSA key or one of the curve P-256');
}

/** Hash of the public key, as Kubernetes names its keys. */
function keyId(key: KeyObject): string {
  const der = key.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64url');
}

function encodePart(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function parsePart(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
