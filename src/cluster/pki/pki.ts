import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import type { ClusterEnv } from '../env.js';
import { CertificateFiles, type Credential } from './certificate-files.js';
import type { Subject } from './issuer.js';
import { readIfThere, writePrivateFile } from './private-file.js';

export interface PkiNode {
  readonly name: string;
  /** Under which its kubelet is reached. */
  readonly ips: readonly string[];
}

export interface PkiOptions {
  readonly env: ClusterEnv;
  /** Of the API server, besides those of the Service `kubernetes` and of the loop-back address. */
  readonly names: readonly string[];
  /** Addresses of the API server; the first of the Services' is among them. */
  readonly ips: readonly string[];
  readonly nodes: readonly PkiNode[];
  /** `cluster.local` when left out. */
  readonly clusterDomain?: string;
}

export interface NodeCredentials {
  /** Of the kubelet as a client: user `system:node:<name>`, group `system:nodes`. */
  readonly client: Credential;
  /** Of the kubelet's own API. */
  readonly server: Credential;
}

export interface Pki {
  readonly authority: Credential;
  readonly apiServer: Credential;
  /** Of the API server as a client of kubelets. */
  readonly apiServerKubeletClient: Credential;
  /** Group `system:masters`. */
  readonly admin: Credential;
  readonly controllerManager: Credential;
  readonly scheduler: Credential;
  readonly proxy: Credential;
  readonly nodes: ReadonlyMap<string, NodeCredentials>;
  readonly serviceAccount: ServiceAccountKey;
}

/** Signs the tokens of service accounts: ES256. PEM texts. */
export interface ServiceAccountKey {
  readonly privateKey: string;
  readonly publicKey: string;
  readonly privateKeyPath: string;
  readonly publicKeyPath: string;
}

/**
 * Everything by which the parts of a cluster know one another, in `dir`: names of files as kubeadm
 * has them, mode 0600. Files that are there and still do are kept. A certificate is made anew when
 * less than a third of its life is left, its names or its authority changed, or it is damaged.
 *
 * An authority of one's own in `ca.crt` and `ca.key` is used; without `ca.key` all certificates
 * must be there. Rejects with StartupError that says what to do.
 */
export async function ensurePki(dir: string, options: PkiOptions): Promise<Pki> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  const files = await CertificateFiles.open(options.env, dir);
  const client = (name: string, user: string, group?: string): Promise<Credential> =>
    files.ensure(name, clientSubject(user, group));
  const masters = 'system:masters';
  const [apiServer, apiServerKubeletClient, admin, controllerManager, scheduler, proxy] =
    await Promise.all([
      files.ensure('apiserver', apiServerSubject(options)),
      client('apiserver-kubelet-client', 'kube-apiserver-kubelet-client', masters),
      client('admin', 'kubernetes-admin', masters),
      client('controller-manager', 'system:kube-controller-manager'),
      client('scheduler', 'system:kube-scheduler'),
      client('kube-proxy', 'system:kube-proxy'),
    ]);
  const nodes = await Promise.all(options.nodes.map((node) => nodeCredentials(files, node)));
  return {
    authority: files.authority,
    ...{ apiServer, apiServerKubeletClient, admin, controllerManager, scheduler, proxy },
    nodes: new Map(nodes),
    serviceAccount: await ensureServiceAccountKey(dir),
  };
}

async function nodeCredentials(
  files: CertificateFiles,
  { name, ips }: PkiNode,
): Promise<readonly [name: string, credentials: NodeCredentials]> {
  const user = `system:node:${name}`;
  const group = 'system:nodes';
  const [client, server] = await Promise.all([
    files.ensure(`kubelet-client-${name}`, clientSubject(user, group)),
    files.ensure(`kubelet-${name}`, {
      commonName: user,
      organizations: [group],
      names: [name],
      ips,
      usages: ['server'],
    }),
  ]);
  return [name, { client, server }];
}

function clientSubject(user: string, group?: string): Subject {
  const organizations = group === undefined ? [] : [group];
  return { commonName: user, organizations, names: [], ips: [], usages: ['client'] };
}

function apiServerSubject({ names, ips, clusterDomain = 'cluster.local' }: PkiOptions): Subject {
  const service = 'kubernetes.default.svc';
  const own = ['kubernetes', 'kubernetes.default', service, `${service}.${clusterDomain}`];
  return {
    commonName: 'kube-apiserver',
    organizations: [],
    names: [...new Set([...own, 'localhost', ...names])],
    ips: [...new Set(['127.0.0.1', ...ips])],
    usages: ['server'],
  };
}

async function ensureServiceAccountKey(dir: string): Promise<ServiceAccountKey> {
  const [privateKeyPath, publicKeyPath] = [join(dir, 'sa.key'), join(dir, 'sa.pub')];
  const known = await readIfThere(privateKeyPath);
  const privateKey = known ?? newSigningKey();
  let publicKey: string;
  try {
    publicKey = createPublicKey(createPrivateKey(privateKey))
      .export({ type: 'spki', format: 'pem' })
      .toString();
  } catch (cause) {
    throw new StartupError(
      `${privateKeyPath} holds no private key`,
      'restore it; without it all tokens of service accounts become invalid, and a new one is made',
      { cause },
    );
  }
  if (known === undefined) await writePrivateFile(privateKeyPath, privateKey);
  if ((await readIfThere(publicKeyPath)) !== publicKey) {
    await writePrivateFile(publicKeyPath, publicKey);
  }
  return { privateKey, publicKey, privateKeyPath, publicKeyPath };
}

function newSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}
