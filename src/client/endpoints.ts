import { status as grpcStatus } from '@grpc/grpc-js';
import {
  Channel,
  ClientError,
  type ByteStream,
  type CallOptions,
  type Caller,
  type ChannelOptions,
} from './channel.js';

/** Codes of calls that another member may answer. */
const TRY_NEXT: ReadonlySet<number> = new Set([
  grpcStatus.UNAVAILABLE,
  grpcStatus.DEADLINE_EXCEEDED,
]);

/**
 * The members of a cluster as one caller. Calls go to one of them until it cannot be reached or
 * does not answer in time. The next call then goes to the next one, in the order given and round
 * again. The call that failed is not repeated: its effect is unknown, and only its caller can
 * decide if it may happen twice.
 */
export class Endpoints implements Caller {
  private readonly channels: readonly Channel[];
  private at = 0;

  /** Requires: at least one endpoint. */
  constructor(endpoints: readonly string[], options: ChannelOptions) {
    if (endpoints.length === 0) throw new Error('a client needs at least one endpoint');
    this.channels = endpoints.map((endpoint) => new Channel(endpoint, options));
  }

  async unary(path: string, request: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    const { at } = this;
    try {
      return await this.channel.unary(path, request, options);
    } catch (error) {
      if (error instanceof ClientError) this.failed(at, error.code);
      throw error;
    }
  }

  stream(path: string, options?: CallOptions): ByteStream {
    const { at } = this;
    const stream = this.channel.stream(path, options);
    stream.on('error', (error: Error & { readonly code?: number }) => {
      this.failed(at, error.code ?? grpcStatus.UNKNOWN);
    });
    return stream;
  }

  close(): void {
    for (const channel of this.channels) channel.close();
  }

  private get channel(): Channel {
    return this.channels[this.at] as Channel;
  }

  /** Moves on, unless another call that failed at the same endpoint did already. */
  private failed(at: number, code: number): void {
    if (at === this.at && TRY_NEXT.has(code)) this.at = (at + 1) % this.channels.length;
  }
}
