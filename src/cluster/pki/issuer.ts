/**
 * Makes certificates. Loaded only when one is needed: the library is large, and most starts find
 * all certificates in their place.
 */
// The library's dependency injection needs it, and before the library.
import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
} from '@peculiar/x509';
import { createPrivateKey, webcrypto } from 'node:crypto';
import { invariant } from '../../base/invariant.js';

/** PEM texts. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** Holder of a certificate, and its usages. */
export interface Subject {
  readonly commonName: string;
  /** The groups of a client. */
  readonly organizations: readonly string[];
  /** DNS names and addresses under which a server is reached. */
  readonly names: readonly string[];
  readonly ips: readonly string[];
  readonly usages: readonly ('client' | 'server')[];
}

export interface Validity {
  /** Milliseconds since the epoch. */
  readonly fromMs: number;
  readonly untilMs: number;
}

const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256' };
const SHA256 = 'SHA-256';

/** A certificate authority of its own, with an ECDSA key on P-256. */
export async function issueAuthority(commonName: string, validity: Validity): Promise<KeyPair> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: [{ CN: [commonName] }],
      keys,
      signingAlgorithm: { ...ECDSA_P256, hash: SHA256 },
      ...dates(validity),
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(
          KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature,
          true,
        ),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

/** A certificate for `subject` with a new ECDSA key on P-256, signed by `authority`. */
export async function issueCertificate(
  authority: KeyPair,
  subject: Subject,
  validity: Validity,
): Promise<KeyPair> {
  const issuer = new X509Certificate(authority.certificate);
  const signer = await signingKey(authority.key);
  const keys = await newKeys();
  const organizations = subject.organizations.map((name) => ({ O: [name] }));
  const certificate = await X509CertificateGenerator.create(
    {
      subject: [...organizations, { CN: [subject.commonName] }],
      issuer: issuer.subjectName.toJSON(),
      publicKey: keys.publicKey,
      signingKey: signer.key,
      signingAlgorithm: signer.algorithm,
      ...dates(validity),
      extensions: await extensions(issuer, subject, keys.publicKey),
    },
    webcrypto,
  );
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

async function extensions(
  issuer: X509Certificate,
  { names, ips, usages }: Subject,
  key: webcrypto.CryptoKey,
): Promise<Extension[]> {
  const alternatives = [
    ...names.map((value) => ({ type: 'dns' as const, value })),
    ...ips.map((value) => ({ type: 'ip' as const, value })),
  ];
  const purposes = usages.map((usage) =>
    usage === 'client' ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth,
  );
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
    new ExtendedKeyUsageExtension(purposes),
    await SubjectKeyIdentifierExtension.create(key, false, webcrypto),
    await AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto),
    ...(alternatives.length === 0 ? [] : [new SubjectAlternativeNameExtension(alternatives)]),
  ];
}

interface Signer {
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: { name: string; hash: string; namedCurve?: string };
}

/** Names of OpenSSL and of Web Cryptography for the curves of both. */
const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** The key of an authority, which may be somebody's own: RSA or ECDSA. */
async function signingKey(pem: string): Promise<Signer> {
  const key = createPrivateKey(pem);
  const type = key.asymmetricKeyType;
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  invariant(type === 'rsa' || curve !== undefined, 'an authority has an RSA or an ECDSA key');
  const algorithm =
    curve === undefined
      ? { name: 'RSASSA-PKCS1-v1_5', hash: SHA256 }
      : { name: 'ECDSA', hash: SHA256, namedCurve: curve };
  const bytes = key.export({ type: 'pkcs8', format: 'der' });
  const imported = await webcrypto.subtle.importKey('pkcs8', bytes, algorithm, false, ['sign']);
  return { key: imported, algorithm };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const bytes = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${PemConverter.encode(bytes, 'PRIVATE KEY')}\n`;
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

function dates({ fromMs, untilMs }: Validity): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(fromMs), notAfter: new Date(untilMs) };
}
