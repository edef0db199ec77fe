import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { CallOptions, EtcdClient } from '../../../src/client/client.js';
import {
  decodeWatchResponse,
  encodeWatchRequest,
  type WatchCreateRequestInit,
  type WatchResponse,
} from '../../../src/gen/rpc.js';
import { text } from './targets.js';

const WITHIN_MS = 15_000;

/** One watch stream; answers are taken in the order of their arrival. */
export class WatchStream {
  /** Set once the server ended the stream: `code text`. */
  ended: string | undefined;
  private readonly call: ClientDuplexStream<Uint8Array, Uint8Array>;
  private readonly arrived: WatchResponse[] = [];
  private wake: () => void = () => undefined;

  constructor(client: EtcdClient, options: CallOptions = {}) {
    this.call = client.stream('/etcdserverpb.Watch/Watch', options);
    this.call.on('data', (message: Uint8Array) => {
      this.arrived.push(decodeWatchResponse(message));
      this.wake();
    });
    this.call.on('error', (error: Error & { code?: number; details?: string }) => {
      this.ended = `${error.code ?? ''} ${error.details ?? error.message}`;
      this.wake();
    });
  }

  /** Sends a create request and returns the answer to it. */
  async create(request: WatchCreateRequestInit): Promise<WatchResponse> {
    this.call.write(encodeWatchRequest({ createRequest: request }));
    return this.next((r) => r.created);
  }

  sendCancel(watchId: bigint): void {
    this.call.write(encodeWatchRequest({ cancelRequest: { watchId } }));
  }

  sendProgress(): void {
    this.call.write(encodeWatchRequest({ progressRequest: {} }));
  }

  sendEmpty(): void {
    this.call.write(encodeWatchRequest({}));
  }

  halfClose(): void {
    this.call.end();
  }

  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }

  close(): void {
    this.call.cancel();
  }

  /** The next answer. With `expected`, any other kind of answer is an error. */
  async next(expected: (r: WatchResponse) => boolean = () => true): Promise<WatchResponse> {
    const deadline = performance.now() + WITHIN_MS;
    while (this.arrived.length === 0) {
      if (this.ended !== undefined) throw new Error(`the stream ended: ${this.ended}`);
      await this.arrival(deadline);
    }
    const response = this.arrived.shift() as WatchResponse;
    if (!expected(response)) throw new Error(`unexpected answer: ${show(response)}`);
    return response;
  }

  /** Events until there are `count`, as `PUT key=value` and `DELETE key`. */
  async events(count: number): Promise<string[]> {
    const all: string[] = [];
    while (all.length < count) {
      const response = await this.next((r) => r.events.length > 0);
      for (const event of response.events) all.push(eventText(event));
    }
    return all;
  }

  async end(): Promise<string> {
    const deadline = performance.now() + WITHIN_MS;
    while (this.ended === undefined) await this.arrival(deadline);
    return this.ended;
  }

  private arrival(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error('no answer in time')),
        deadline - performance.now(),
      );
      this.wake = (): void => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export function eventText(event: WatchResponse['events'][number]): string {
  const key = text(event.kv?.key);
  return event.type === 1 ? `DELETE ${key}` : `PUT ${key}=${text(event.kv?.value)}`;
}

function show(response: WatchResponse): string {
  return JSON.stringify(response, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v));
}
