import { Http2Transport } from '../../rpc/http2/http2-transport.js';
import type { RpcTransport } from '../../rpc/service.js';
import type { TransportSetup } from '../../rpc/transport.js';
import type { ServerConfig } from '../config/server-config.js';

export type CreateTransport = (setup: TransportSetup) => RpcTransport;

/** Loads the reference library only where it serves: that takes as long as the rest of a start. */
export async function chooseTransport({ rpcTransport }: ServerConfig): Promise<CreateTransport> {
  if (rpcTransport === 'http2') return (setup) => new Http2Transport(setup);
  const { GrpcJsTransport } = await import('../../rpc/grpc-js-server.js');
  return (setup) => new GrpcJsTransport(setup);
}
