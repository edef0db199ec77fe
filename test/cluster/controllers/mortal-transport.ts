import type {
  ApiAnswer,
  ApiCall,
  Transport,
  WatchBatches,
} from '../../../src/cluster/client/transport.js';
import { TransportError } from '../../../src/cluster/client/client.js';

/**
 * The way to the API server of a process that is killed after some writes: the last one may be done
 * without its answer, and nothing comes through after it.
 */
export class MortalTransport implements Transport {
  private readonly inner: Transport;
  private readonly losesAnswer: boolean;
  private left: number;

  constructor(inner: Transport, writes: number, losesAnswer: boolean) {
    this.inner = inner;
    this.left = writes;
    this.losesAnswer = losesAnswer;
  }

  get isDead(): boolean {
    return this.left <= 0;
  }

  async call(call: ApiCall): Promise<ApiAnswer> {
    if (this.isDead) throw new TransportError('killed');
    if (call.method === 'GET') return this.inner.call(call);
    this.left -= 1;
    if (!this.isDead) return this.inner.call(call);
    if (this.losesAnswer) await this.inner.call(call);
    throw new TransportError('killed');
  }

  async watch(call: ApiCall): Promise<ApiAnswer | WatchBatches> {
    if (this.isDead) throw new TransportError('killed');
    return this.inner.watch(call);
  }

  close(): void {
    this.left = 0;
  }
}
