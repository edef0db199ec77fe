import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';

/** Address of an API server, and credentials of its user. */
export interface ClusterAccess {
  /** `https://host:port`, maybe with a path before that of each request. */
  readonly server: string;
  /** PEM; those of the system when left out. */
  readonly certificateAuthority?: Uint8Array;
  /** The server's certificate is accepted unseen. */
  readonly insecureSkipTlsVerify: boolean;
  /** The name to expect in the server's certificate in place of the host of `server`. */
  readonly tlsServerName?: string;
  /** Answers are asked for as they are, without gzip. */
  readonly disableCompression: boolean;
  /** PEM, both. */
  readonly clientCertificate?: { readonly certificate: Uint8Array; readonly key: Uint8Array };
  readonly token?: string;
  /** Holds the token; read again from time to time. It wins over `token`. */
  readonly tokenFile?: string;
  /** Of the context; `default` when it names none. */
  readonly namespace: string;
}

type Mapping = Readonly<Record<string, unknown>>;

/** Fields of a user that other clients know; a file that has one is refused here. */
const UNSUPPORTED_USER_FIELDS = ['exec', 'auth-provider', 'username', 'password', 'as'];

/**
 * Reads a kubeconfig file (k8s.io/client-go/tools/clientcmd/api/v1): the cluster, user and
 * namespace of `context`, or of the current context. Paths in it are relative to its directory.
 *
 * Rejects with StartupError that names the file and what is wrong.
 */
export async function readKubeconfig(path: string, context?: string): Promise<ClusterAccess> {
  const file = new KubeconfigFile(path, await parse(path));
  const contextName = context ?? file.text(file.root, 'current-context', 'the file');
  if (contextName === undefined || contextName === '') {
    throw file.wrong('it has no current-context');
  }
  const chosen = file.named('contexts', 'context', contextName);
  const where = `context ${JSON.stringify(contextName)}`;
  const clusterName = file.text(chosen, 'cluster', where) ?? '';
  const userName = file.text(chosen, 'user', where) ?? '';
  const cluster = file.named('clusters', 'cluster', clusterName);
  const user = userName === '' ? {} : file.named('users', 'user', userName);
  return {
    ...(await clusterPart(file, cluster, `cluster ${JSON.stringify(clusterName)}`)),
    ...(await userPart(file, user, `user ${JSON.stringify(userName)}`)),
    namespace: file.text(chosen, 'namespace', where) ?? 'default',
  };
}

type ClusterPart = Omit<ClusterAccess, 'namespace' | 'clientCertificate' | 'token' | 'tokenFile'>;

async function clusterPart(
  file: KubeconfigFile,
  cluster: Mapping,
  where: string,
): Promise<ClusterPart> {
  const server = file.text(cluster, 'server', where) ?? '';
  if (!server.startsWith('https://') || !URL.canParse(server)) {
    throw file.wrong(`${where} has the server ${JSON.stringify(server)}, not an https:// URL`);
  }
  const certificateAuthority = await file.content(cluster, 'certificate-authority', where);
  const tlsServerName = file.text(cluster, 'tls-server-name', where);
  const insecureSkipTlsVerify = file.flag(cluster, 'insecure-skip-tls-verify', where);
  if (insecureSkipTlsVerify && certificateAuthority !== undefined) {
    const why = 'a certificate authority cannot be combined with insecure-skip-tls-verify';
    throw file.wrong(`${where}: ${why}`);
  }
  return {
    server,
    insecureSkipTlsVerify,
    disableCompression: file.flag(cluster, 'disable-compression', where),
    ...(certificateAuthority === undefined ? {} : { certificateAuthority }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
  };
}

async function userPart(
  file: KubeconfigFile,
  user: Mapping,
  where: string,
): Promise<Pick<ClusterAccess, 'clientCertificate' | 'token' | 'tokenFile'>> {
  const unsupported = UNSUPPORTED_USER_FIELDS.find((name) => user[name] !== undefined);
  if (unsupported !== undefined) {
    throw file.wrong(`${where} uses ${JSON.stringify(unsupported)}, which is not supported`);
  }
  const certificate = await file.content(user, 'client-certificate', where);
  const key = await file.content(user, 'client-key', where);
  if ((certificate === undefined) !== (key === undefined)) {
    throw file.wrong(`${where} needs both, client-certificate and client-key`);
  }
  const token = file.text(user, 'token', where);
  const tokenFile = file.text(user, 'tokenFile', where);
  return {
    ...(certificate === undefined || key === undefined
      ? {}
      : { clientCertificate: { certificate, key } }),
    ...(token === undefined ? {} : { token }),
    ...(tokenFile === undefined ? {} : { tokenFile: file.resolve(tokenFile) }),
  };
}

async function parse(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new StartupError(`cannot read the kubeconfig ${path}`, 'check the path', { cause });
  }
  // Loaded only here: most of a process's life needs no YAML.
  const yaml = await import('yaml');
  try {
    return yaml.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new StartupError(`the kubeconfig ${path} is not YAML: ${why}`, 'mend the file', {
      cause,
    });
  }
}

class KubeconfigFile {
  readonly path: string;
  readonly root: Mapping;

  constructor(path: string, root: unknown) {
    this.path = path;
    if (!isMapping(root)) throw this.wrong('it is empty, or not a mapping');
    this.root = root;
  }

  /** The entry `name` of one of the three lists of named things. */
  named(list: string, field: string, name: string): Mapping {
    const entries = this.root[list];
    const found = Array.isArray(entries)
      ? (entries as unknown[]).find((entry) => isMapping(entry) && entry['name'] === name)
      : undefined;
    const value = isMapping(found) ? found[field] : undefined;
    if (!isMapping(value)) throw this.wrong(`${list} has no entry ${JSON.stringify(name)}`);
    return value;
  }

  text(of: Mapping, field: string, where: string): string | undefined {
    const value = of[field];
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'string') throw this.wrong(`${field} of ${where} is not a text`);
    return value;
  }

  flag(of: Mapping, field: string, where: string): boolean {
    const value = of[field];
    if (value === undefined || value === null) return false;
    if (typeof value !== 'boolean') throw this.wrong(`${field} of ${where} is not true or false`);
    return value;
  }

  /** `<field>-data` holds it in base64, `<field>` names a file; the first wins. */
  async content(of: Mapping, field: string, where: string): Promise<Uint8Array | undefined> {
    const data = this.text(of, `${field}-data`, where);
    if (data !== undefined) {
      const bytes = Buffer.from(data, 'base64');
      if (bytes.length > 0) return bytes;
      throw this.wrong(`${field}-data of ${where} is not base64`);
    }
    const path = this.text(of, field, where);
    if (path === undefined) return undefined;
    try {
      return await readFile(this.resolve(path));
    } catch (cause) {
      throw this.wrong(`${field} of ${where} cannot be read`, cause);
    }
  }

  resolve(path: string): string {
    return resolve(dirname(this.path), path);
  }

  wrong(why: string, cause?: unknown): StartupError {
    return new StartupError(`the kubeconfig ${this.path} cannot be used: ${why}`, 'mend the file', {
      cause,
    });
  }
}

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
