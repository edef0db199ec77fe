/** A whole API server in this process: HTTPS on a free port, direct calls, a store of its own. */
import { generateKeyPairSync } from 'node:crypto';
import { loggerTo } from '../../src/base/observe/logger.js';
import { EtcdClient } from '../../src/client/client.js';
import type { ClientCertificate } from '../../src/cluster/apiserver/pipeline/exchange.js';
import { ApiServer } from '../../src/cluster/apiserver/server.js';
import type { KubeClient } from '../../src/cluster/client/client.js';
import { httpsTransport } from '../../src/cluster/client/https/https-transport.js';
import { restClient } from '../../src/cluster/client/rest-client.js';
import type { Transport } from '../../src/cluster/client/transport.js';
import type { ClusterEnv } from '../../src/cluster/env.js';
import { systemClusterEnv } from '../../src/cluster/system-env.js';
import { makeAuthority, type KeyAndCert } from '../cluster/support/certificates.js';
import { freePorts, startCluster, until, type TestCluster } from './servers.js';

const ADMIN = { commonName: 'admin', organizations: ['system:masters'] };

interface Parts {
  readonly store: TestCluster;
  readonly client: EtcdClient;
  readonly server: ApiServer;
  readonly port: number;
  readonly ca: string;
  readonly admin: KeyAndCert;
}

export class WholeApiServer {
  readonly env: ClusterEnv = systemClusterEnv();
  private readonly parts: Parts;

  private constructor(parts: Parts) {
    this.parts = parts;
  }

  /** Resolves when it is ready. */
  static async start(): Promise<WholeApiServer> {
    const store = await startCluster({ kind: 'mainstay', size: 1 });
    const client = new EtcdClient(store.member(0).endpoint);
    const authority = await makeAuthority();
    const { ca } = authority;
    const tls = await authority.server();
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const [port = 0] = await freePorts(1);
    const server = new ApiServer({
      store: client,
      env: systemClusterEnv(),
      log: loggerTo([], 'error'),
      tls: { ...tls, clientCa: ca },
      kubeletTls: { ...tls, ca },
      serviceAccountKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      serviceCidr: '10.96.0.0/16',
      advertiseAddress: '192.0.2.1',
      port,
    });
    await server.listen('127.0.0.1');
    const admin = await authority.client(ADMIN.commonName, ...ADMIN.organizations);
    const whole = new WholeApiServer({ store, client, server, port, ca, admin });
    const direct = whole.direct();
    await until('the API server is ready', () =>
      direct.getPath('/readyz').then(
        () => true,
        () => null,
      ),
    );
    return whole;
  }

  get target(): { readonly port: number; readonly ca: string; readonly identity: KeyAndCert } {
    const { port, ca, admin } = this.parts;
    return { port, ca, identity: admin };
  }

  direct(): KubeClient {
    return this.client(ADMIN, 'test/1');
  }

  /** Direct calls with the identity of a component. */
  client(identity: ClientCertificate, userAgent: string): KubeClient {
    return this.parts.server.client(identity, userAgent);
  }

  https(): KubeClient {
    return restClient(this.httpsTransport());
  }

  httpsTransport(): Transport {
    const { port, ca, admin } = this.parts;
    return httpsTransport({
      env: this.env,
      userAgent: 'test/1',
      access: {
        server: `https://127.0.0.1:${port}`,
        certificateAuthority: Buffer.from(ca),
        insecureSkipTlsVerify: false,
        disableCompression: true,
        clientCertificate: {
          certificate: Buffer.from(admin.cert),
          key: Buffer.from(admin.key),
        },
        namespace: 'default',
      },
    });
  }

  async stop(): Promise<void> {
    await this.parts.server.stop(1000);
    this.parts.client.close();
    await this.parts.store.stop();
  }
}
