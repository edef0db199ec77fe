import type {
  ApiAnswer,
  ApiCall,
  Transport,
  WatchBatches,
} from '../../../src/cluster/client/transport.js';
import { TransportError } from '../../../src/cluster/client/client.js';
import { sleep, type ClusterEnv } from '../../../src/cluster/env.js';

const MAX_CALL_MS = 5;
const MAX_EVENT_MS = 60;

export interface Death {
  /** Number of writes that come through. */
  readonly writes: number;
  /** The last one is done, but its answer does not come back. */
  readonly losesAnswer: boolean;
}

/**
 * The way of one process to the API server: answers take a little, events longer, so that caches
 * are behind. It can end in the process being killed after some writes: nothing comes through then.
 */
export class RemoteTransport implements Transport {
  private readonly env: ClusterEnv;
  private readonly inner: Transport;
  private readonly losesAnswer: boolean;
  private left: number;

  constructor(env: ClusterEnv, inner: Transport, { writes, losesAnswer }: Death) {
    this.env = env;
    this.inner = inner;
    this.left = writes;
    this.losesAnswer = losesAnswer;
  }

  get isDead(): boolean {
    return this.left <= 0;
  }

  async call(call: ApiCall): Promise<ApiAnswer> {
    await this.wait(MAX_CALL_MS);
    if (this.isDead) throw new TransportError('killed');
    if (call.method !== 'GET') this.left -= 1;
    if (this.isDead && !this.losesAnswer) throw new TransportError('killed');
    const answer = await this.inner.call(call);
    await this.wait(MAX_CALL_MS);
    if (this.isDead) throw new TransportError('killed');
    return answer;
  }

  async watch(call: ApiCall): Promise<ApiAnswer | WatchBatches> {
    await this.wait(MAX_CALL_MS);
    if (this.isDead) throw new TransportError('killed');
    const answer = await this.inner.watch(call);
    return 'code' in answer ? answer : this.delayed(answer);
  }

  close(): void {
    this.left = 0;
  }

  private async *delayed(batches: WatchBatches): WatchBatches {
    for await (const batch of batches) {
      await this.wait(MAX_EVENT_MS);
      if (this.isDead) return;
      yield batch;
    }
  }

  private wait(maxMs: number): Promise<void> {
    return sleep(this.env, this.env.randomU32() % maxMs);
  }
}
