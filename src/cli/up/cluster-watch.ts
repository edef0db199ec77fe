import { silentLogger } from '../../base/observe/logger.js';
import type { Pki } from '../../cluster/pki/pki.js';
import type { KubeClient } from '../../cluster/client/client.js';
import { httpsTransport } from '../../cluster/client/https/https-transport.js';
import { Informer } from '../../cluster/client/informer.js';
import { NODES, SERVICE_ACCOUNTS } from '../../cluster/client/resource-types.js';
import { restClient } from '../../cluster/client/rest-client.js';
import { systemClusterEnv } from '../../cluster/system-env.js';
import type { Node, ServiceAccount } from '../../gen/kube-core-v1.js';

/**
 * Follows, as the API server knows them, which nodes are Ready, and whether pods may be made: the
 * API server refuses them until their namespace has its default account.
 */
export class ClusterWatch {
  private readonly client: KubeClient;
  private readonly nodes: Informer<Node>;
  private readonly accounts: Informer<ServiceAccount>;
  private readonly states = new Map<string, boolean>();

  /** `onChange` is called when a node becomes Ready or ceases to be. */
  constructor(server: string, pki: Pki, onChange: (name: string, isReady: boolean) => void) {
    const env = systemClusterEnv();
    const access = {
      server,
      certificateAuthority: Buffer.from(pki.authority.certificate),
      clientCertificate: {
        certificate: Buffer.from(pki.admin.certificate),
        key: Buffer.from(pki.admin.key),
      },
      insecureSkipTlsVerify: false,
      disableCompression: true,
      namespace: 'default',
    };
    this.client = restClient(httpsTransport({ env, access, userAgent: 'mainstay-up' }));
    const about = { env, log: silentLogger };
    this.nodes = new Informer({ ...about, client: this.client.resource(NODES) });
    const accounts = this.client.resource(SERVICE_ACCOUNTS, access.namespace);
    this.accounts = new Informer({ ...about, client: accounts });
    const update = (node: Node): void => {
      const name = node.metadata.name ?? '';
      const wasReady = this.isReady(name);
      this.states.set(name, isReady(node));
      if (wasReady !== this.isReady(name)) onChange(name, this.isReady(name));
    };
    this.nodes.addHandler({ onAdd: update, onUpdate: update });
  }

  start(): void {
    this.nodes.start();
    this.accounts.start();
  }

  isReady(name: string): boolean {
    return this.states.get(name) ?? false;
  }

  /** Of the namespace `default`. */
  get takesPods(): boolean {
    return this.accounts.get('default', 'default') !== undefined;
  }

  async stop(): Promise<void> {
    this.client.close();
    await Promise.all([this.nodes.stop(), this.accounts.stop()]);
  }
}

function isReady({ status }: Node): boolean {
  const conditions = status?.conditions ?? [];
  return conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
}
