import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { webcrypto } from 'node:crypto';

/** Key and certificate in PEM. */
export interface KeyAndCert {
  readonly key: string;
  readonly cert: string;
}

export interface TestAuthority {
  readonly ca: string;
  /** Of a server on loopback. */
  server(): Promise<KeyAndCert>;
  client(commonName: string, ...organizations: string[]): Promise<KeyAndCert>;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** An authority for one test file; its certificates are valid for a day. */
export async function makeAuthority(): Promise<TestAuthority> {
  x509.cryptoProvider.set(webcrypto);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const times = {
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 864e5),
  };
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=test-ca',
    keys: keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    ...times,
  });
  const issue = async (
    subject: x509.JsonName,
    usage: x509.ExtendedKeyUsageType,
    names: x509.JsonGeneralNames,
  ): Promise<KeyAndCert> => {
    const own = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: new x509.Name(subject).toString(),
      issuer: ca.subject,
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.ExtendedKeyUsageExtension([usage]),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ],
      ...times,
    });
    const der = await webcrypto.subtle.exportKey('pkcs8', own.privateKey);
    return { key: x509.PemConverter.encode(der, 'PRIVATE KEY'), cert: certificate.toString('pem') };
  };
  return {
    ca: ca.toString('pem'),
    server: () =>
      issue([{ CN: ['kube-apiserver'] }], x509.ExtendedKeyUsage.serverAuth, [
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
    client: (commonName, ...organizations) =>
      issue(
        [...organizations.map((name) => ({ O: [name] })), { CN: [commonName] }],
        x509.ExtendedKeyUsage.clientAuth,
        [],
      ),
  };
}
