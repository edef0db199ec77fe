import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeClient } from '../client/client.js';
import { httpsTransport } from '../client/https/https-transport.js';
import { restClient } from '../client/rest-client.js';
import type { ClusterEnv } from '../env.js';

export interface ApiAccess {
  readonly env: ClusterEnv;
  /** `https://host:port` */
  readonly server: string;
  /** Holds what src/cluster/pki makes. */
  readonly pkiDir: string;
}

/** A client with the identity of `<certificate>.crt`. */
export async function connectAs(
  { env, server, pkiDir }: ApiAccess,
  certificate: string,
  userAgent: string,
): Promise<KubeClient> {
  const pem = (file: string): Promise<Buffer> => readFile(join(pkiDir, file));
  const access = {
    server,
    certificateAuthority: await pem('ca.crt'),
    clientCertificate: {
      certificate: await pem(`${certificate}.crt`),
      key: await pem(`${certificate}.key`),
    },
    insecureSkipTlsVerify: false,
    disableCompression: true,
    namespace: 'default',
  };
  return restClient(httpsTransport({ env, access, userAgent }));
}
