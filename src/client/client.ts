import { authClient, type AuthClient } from './auth.js';
import type { ByteStream, CallOptions, Caller, ChannelOptions } from './channel.js';
import { clusterClient, type ClusterClient } from './cluster.js';
import { Endpoints } from './endpoints.js';
import { kvClient, type KvClient } from './kv.js';
import { leaseClient, type LeaseClient } from './lease.js';
import { maintenanceClient, type MaintenanceClient } from './maintenance.js';
import { watchClient, type WatchClient } from './watch.js';

export { ClientError } from './channel.js';
export type { CallOptions } from './channel.js';

/**
 * A small client of the etcd v3 API on grpc-js, for mainstay's own commands, benches and tests. One
 * file a service, requests and replies as the generated types, one connection an endpoint. It never
 * repeats a call by itself.
 *
 *   const client = new EtcdClient('127.0.0.1:2379');
 *   await client.kv.put({ key, value });
 *   client.close();
 */
export class EtcdClient implements Caller {
  readonly kv: KvClient;
  readonly watch: WatchClient;
  readonly lease: LeaseClient;
  readonly cluster: ClusterClient;
  readonly maintenance: MaintenanceClient;
  readonly auth: AuthClient;
  /** As given: host:port or an http URL each, in the order in which they are used. */
  readonly endpoints: readonly string[];
  private readonly caller: Endpoints;

  constructor(endpoints: string | readonly string[], options: ChannelOptions = {}) {
    this.endpoints = typeof endpoints === 'string' ? [endpoints] : endpoints;
    this.caller = new Endpoints(this.endpoints, options);
    this.kv = kvClient(this.caller);
    this.watch = watchClient(this.caller);
    this.lease = leaseClient(this.caller);
    this.cluster = clusterClient(this.caller);
    this.maintenance = maintenanceClient(this.caller);
    this.auth = authClient(this.caller);
  }

  /** Calls a unary method with encoded bytes. Throws: ClientError. */
  unary(path: string, request: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    return this.caller.unary(path, request, options);
  }

  /** Opens a stream of encoded messages. */
  stream(path: string, options?: CallOptions): ByteStream {
    return this.caller.stream(path, options);
  }

  close(): void {
    this.caller.close();
  }
}
