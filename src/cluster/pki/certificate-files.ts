import { createPrivateKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import type { ClusterEnv } from '../env.js';
import type { KeyPair, Subject } from './issuer.js';
import { readIfThere, writePrivateFile } from './private-file.js';

/** A certificate with its key: PEM texts, and the files that hold them. */
export interface Credential extends KeyPair {
  readonly certificatePath: string;
  readonly keyPath: string;
}

const DAY_MS = 24 * 3600 * 1000;
const AUTHORITY_LIFE_MS = 3650 * DAY_MS;
const CERTIFICATE_LIFE_MS = 365 * DAY_MS;
/** Clocks of clients may be behind. */
const BACKDATED_MS = 5 * 60 * 1000;
/** A certificate with less than this part of its life left is replaced. */
const RENEWAL_PART = 1 / 3;

/** `<dir>/<name>.crt` and `.key`, signed by the authority in `ca.crt` and `ca.key` beside them. */
export class CertificateFiles {
  readonly #env: ClusterEnv;
  readonly #dir: string;
  readonly #authority: Credential;

  /** The authority is made when there is none. Rejects with StartupError when it cannot be used. */
  static async open(env: ClusterEnv, dir: string): Promise<CertificateFiles> {
    const paths = pathsOf(dir, 'ca');
    const [certificate, key] = await Promise.all([
      readIfThere(paths.certificatePath),
      readIfThere(paths.keyPath),
    ]);
    if (certificate === undefined)
      return new CertificateFiles(env, dir, await newAuthority(env, dir));
    const authority = { certificate, key: key ?? '', ...paths };
    checkAuthority(authority, env.wallMs());
    return new CertificateFiles(env, dir, authority);
  }

  private constructor(env: ClusterEnv, dir: string, authority: Credential) {
    this.#env = env;
    this.#dir = dir;
    this.#authority = authority;
  }

  get authority(): Credential {
    return this.#authority;
  }

  /** The certificate in its place if it still does; a new one otherwise. */
  async ensure(name: string, subject: Subject): Promise<Credential> {
    const paths = pathsOf(this.#dir, name);
    const [certificate, key] = await Promise.all([
      readIfThere(paths.certificatePath),
      readIfThere(paths.keyPath),
    ]);
    if (certificate !== undefined && key !== undefined) {
      const pair = { certificate, key };
      if (this.#stillDoes(pair, subject)) return { ...pair, ...paths };
    }
    return this.#issue(name, subject);
  }

  async #issue(name: string, subject: Subject): Promise<Credential> {
    if (this.#authority.key === '') {
      throw new StartupError(
        `the certificate ${name} must be made, but ${this.#authority.keyPath} does not exist`,
        'put the key of the certificate authority there, or a valid certificate in place',
      );
    }
    const { issueCertificate } = await import('./issuer.js');
    const nowMs = this.#env.wallMs();
    const authorityEndsMs = Date.parse(new X509Certificate(this.#authority.certificate).validTo);
    const untilMs = Math.min(nowMs + CERTIFICATE_LIFE_MS, authorityEndsMs);
    const validity = { fromMs: nowMs - BACKDATED_MS, untilMs };
    const pair = await issueCertificate(this.#authority, subject, validity);
    return writePair(this.#dir, name, pair);
  }

  #stillDoes(pair: KeyPair, subject: Subject): boolean {
    const certificate = parsed(pair.certificate);
    const issuer = new X509Certificate(this.#authority.certificate);
    return (
      certificate?.verify(issuer.publicKey) === true &&
      holdsKey(certificate, pair.key) &&
      certificate.subject === subjectText(subject) &&
      subject.names.every((name) => certificate.checkHost(name) !== undefined) &&
      subject.ips.every((ip) => certificate.checkIP(ip) !== undefined) &&
      lifeLeft(certificate, this.#env.wallMs()) >= RENEWAL_PART
    );
  }
}

async function newAuthority(env: ClusterEnv, dir: string): Promise<Credential> {
  const { issueAuthority } = await import('./issuer.js');
  const nowMs = env.wallMs();
  const validity = { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + AUTHORITY_LIFE_MS };
  return writePair(dir, 'ca', await issueAuthority('mainstay-ca', validity));
}

/** The key first: a certificate without its key would be kept for an authority that lives elsewhere. */
async function writePair(dir: string, name: string, pair: KeyPair): Promise<Credential> {
  const paths = pathsOf(dir, name);
  await writePrivateFile(paths.keyPath, pair.key);
  await writePrivateFile(paths.certificatePath, pair.certificate);
  return { ...pair, ...paths };
}

function pathsOf(dir: string, name: string): Pick<Credential, 'certificatePath' | 'keyPath'> {
  return { certificatePath: join(dir, `${name}.crt`), keyPath: join(dir, `${name}.key`) };
}

/** An authority is never replaced by itself: everything it signed would stop working. */
function checkAuthority(authority: Credential, nowMs: number): void {
  const { certificatePath, keyPath } = authority;
  const certificate = parsed(authority.certificate);
  const wrong = (what: string): StartupError =>
    new StartupError(
      what,
      `put a valid certificate authority there, or remove its directory to have all certificates made anew`,
    );
  if (certificate === undefined) throw wrong(`${certificatePath} holds no certificate`);
  if (!certificate.ca) throw wrong(`the certificate in ${certificatePath} is not an authority's`);
  if (nowMs >= Date.parse(certificate.validTo)) {
    throw wrong(`the certificate authority in ${certificatePath} has expired`);
  }
  if (authority.key !== '' && !holdsKey(certificate, authority.key)) {
    throw wrong(`the key in ${keyPath} is not that of the certificate in ${certificatePath}`);
  }
}

function parsed(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function holdsKey(certificate: X509Certificate, pem: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch {
    return false;
  }
}

/** As Node prints the name of a certificate's subject. */
function subjectText({ organizations, commonName }: Subject): string {
  return [...organizations.map((name) => `O=${name}`), `CN=${commonName}`].join('\n');
}

function lifeLeft(certificate: X509Certificate, nowMs: number): number {
  const [fromMs, untilMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  return (untilMs - nowMs) / (untilMs - fromMs);
}
