/**
 * Endpoints of the service default/kubernetes: the addresses of all API servers that live. Each
 * holds a key in the store on a lease and writes what all keys say
 * (k8s.io/kubernetes/pkg/controlplane/reconcilers, lease endpoint reconciler).
 */
import type { EtcdClient } from '../../../client/client.js';
import type { Endpoints } from '../../../gen/kube-core-v1.js';
import type { EndpointSlice } from '../../../gen/kube-discovery-v1.js';
import type { Logger } from '../../../base/observe/logger.js';
import { endpoints } from '../../api/kinds/core/endpoints.js';
import { endpointSlice } from '../../api/kinds/discovery/endpointslice.js';
import type { KubeObject } from '../../api/object.js';
import { SERVICE_NAME_LABEL } from '../../api/service-names.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient, ResourceClient } from '../../client/client.js';
import { sleep, type ClusterEnv } from '../../env.js';

const PREFIX = '/registry/masterleases/';
const TTL_SECONDS = 15;
const EVERY_MS = 10_000;
const RETRY_MS = 1000;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface ApiEndpointsSetup {
  readonly store: EtcdClient;
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  /** Address at which others reach this API server. */
  readonly address: string;
  readonly port: number;
}

export class ApiEndpoints {
  private readonly setup: ApiEndpointsSetup;
  private readonly stopping = new AbortController();
  private lease: bigint | undefined;

  constructor(setup: ApiEndpointsSetup) {
    this.setup = setup;
  }

  start(): void {
    void this.run();
  }

  /** Takes this server off the list, as far as the store answers. */
  async stop(): Promise<void> {
    this.stopping.abort();
    if (this.lease === undefined) return;
    const { store, log } = this.setup;
    await store.lease.revoke(this.lease).catch((error: unknown) => {
      log.warn('this API server stays in the endpoints until its lease ends', { error });
    });
  }

  private async run(): Promise<void> {
    const { env, log } = this.setup;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      let pauseMs = EVERY_MS;
      try {
        await this.round();
      } catch (error) {
        pauseMs = RETRY_MS;
        log.warn('endpoints of the API server were not written', { error });
      }
      await sleep(env, pauseMs, signal);
    }
  }

  private async round(): Promise<void> {
    const { store, address } = this.setup;
    const { ID } = await store.lease.grant({ TTL: TTL_SECONDS });
    this.lease = ID;
    if (this.stopping.signal.aborted) return;
    const key = encoder.encode(`${PREFIX}${address}`);
    await store.kv.put({ key, value: encoder.encode(address), lease: ID });
    const found = await store.kv.range({
      key: encoder.encode(PREFIX),
      rangeEnd: encoder.encode(`${PREFIX.slice(0, -1)}0`),
    });
    await this.publish(found.kvs.map(({ value }) => decoder.decode(value)).sort());
  }

  private async publish(addresses: readonly string[]): Promise<void> {
    const { client, port } = this.setup;
    await write(client.resource(endpoints, 'default'), endpointsOf(addresses, port));
    await write(client.resource(endpointSlice, 'default'), sliceOf(addresses, port));
  }
}

/** Creates the object, or replaces one that differs. */
async function write<T extends KubeObject>(resource: ResourceClient<T>, object: T): Promise<void> {
  try {
    await resource.update(object);
  } catch (error) {
    if (!isApiError(error, 'NotFound')) throw error;
    await resource.create(object);
  }
}

function endpointsOf(addresses: readonly string[], port: number): Endpoints {
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    subsets: [
      {
        addresses: addresses.map((ip) => ({ ip })),
        ports: [{ name: 'https', port, protocol: 'TCP' }],
      },
    ],
  };
}

function sliceOf(addresses: readonly string[], port: number): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { [SERVICE_NAME_LABEL]: 'kubernetes' },
    },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({
      addresses: [address],
      conditions: { ready: true },
    })),
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  };
}
