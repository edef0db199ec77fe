import { ApiCore } from './api-core.js';
import { send } from './api-requests.js';
import { startCluster, type TestCluster } from './servers.js';

/** A store of one member with API servers on it, for one suite of tests. */
export class OneStore {
  readonly store: TestCluster;
  private readonly servers: ApiCore[] = [];

  private constructor(store: TestCluster) {
    this.store = store;
  }

  static async start(): Promise<OneStore> {
    return new OneStore(await startCluster({ kind: 'mainstay', size: 1 }));
  }

  get endpoint(): string {
    return this.store.member(0).endpoint;
  }

  /** One more API server whose caches are filled. */
  async server(setup: ConstructorParameters<typeof ApiCore>[2] = {}): Promise<ApiCore> {
    const server = new ApiCore(this.endpoint, [], setup);
    this.servers.push(server);
    await server.core.start();
    return server;
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.store.stop();
  }
}

/** Makes a namespace with the service account that pods run as. Returns its path. */
export async function namespaceOf(api: ApiCore, name: string): Promise<string> {
  const path = `/api/v1/namespaces/${name}`;
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
  await send(api, 'POST', '/api/v1/namespaces', { body });
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } };
  await send(api, 'POST', `${path}/serviceaccounts`, { body: account });
  return path;
}
