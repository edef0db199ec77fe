import { silentLogger } from '../../base/observe/logger.js';
import type { Pki } from '../../cluster/pki/pki.js';
import type { ResourceType } from '../../cluster/api/kinds/kind.js';
import type { KubeClient } from '../../cluster/client/client.js';
import { httpsTransport } from '../../cluster/client/https/https-transport.js';
import { Informer } from '../../cluster/client/informer.js';
import { restClient } from '../../cluster/client/rest-client.js';
import { systemClusterEnv } from '../../cluster/system-env.js';
import type { Node } from '../../gen/kube-core-v1.js';

const NODES: ResourceType<Node> = {
  group: '',
  version: 'v1',
  kind: 'Node',
  resource: 'nodes',
  isNamespaced: false,
};

/** Follows which nodes are Ready, as the API server knows them. */
export class NodeWatch {
  private readonly client: KubeClient;
  private readonly informer: Informer<Node>;
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
    const client = this.client.resource(NODES);
    this.informer = new Informer({ env, log: silentLogger, client });
    const update = (node: Node): void => {
      const name = node.metadata.name ?? '';
      const wasReady = this.isReady(name);
      this.states.set(name, isReady(node));
      if (wasReady !== this.isReady(name)) onChange(name, this.isReady(name));
    };
    this.informer.addHandler({ onAdd: update, onUpdate: update });
  }

  start(): void {
    this.informer.start();
  }

  isReady(name: string): boolean {
    return this.states.get(name) ?? false;
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.informer.stop();
  }
}

function isReady({ status }: Node): boolean {
  const conditions = status?.conditions ?? [];
  return conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
}
