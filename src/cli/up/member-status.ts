import { Client, credentials } from '@grpc/grpc-js';
import { decodeStatusResponse, encodeStatusRequest } from '../../gen/rpc.js';
import type { StatusResponse } from '../../gen/rpc.js';

const TIMEOUT_MS = 1000;

/** Asks members for their status over the API that all clients use. */
export class StatusClient {
  private readonly client: Client;

  /** `address` is host:port. */
  constructor(address: string) {
    this.client = new Client(address, credentials.createInsecure(), {
      // A member that is being restarted is back within a second; the library's own pauses are much longer.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
    });
  }

  /** The member's answer, or undefined when it gives none. */
  status(): Promise<StatusResponse | undefined> {
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        '/etcdserverpb.Maintenance/Status',
        (request: Uint8Array) => Buffer.from(request),
        (reply) => decodeStatusResponse(reply),
        encodeStatusRequest({}),
        { deadline: Date.now() + TIMEOUT_MS },
        (error, reply) => resolve(error === null ? reply : undefined),
      );
    });
  }

  close(): void {
    this.client.close();
  }
}
