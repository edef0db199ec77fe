import type { Status } from '../../../src/gen/kube-meta-v1.js';
import type { KubeObject } from '../../../src/cluster/api/object.js';
import type { WatchEvent } from '../../../src/cluster/client/client.js';
import type { Selector } from './fake-selectors.js';
import type { Change, Target } from './fake-store.js';

type Batch = readonly WatchEvent<KubeObject>[];

export interface WatchRequest {
  readonly target: Target;
  readonly selects: Selector;
  readonly allowsBookmarks: boolean;
  readonly onEnd: () => void;
}

/** One open watch of a FakeApi. */
export class FakeWatch implements AsyncIterable<Batch>, AsyncIterator<Batch> {
  readonly #request: WatchRequest;
  #events: WatchEvent<KubeObject>[] = [];
  #waiting:
    { resolve: (result: IteratorResult<Batch>) => void; reject: (e: Error) => void } | undefined;
  #hasEnded = false;
  #error: Error | undefined;

  constructor(request: WatchRequest) {
    this.#request = request;
  }

  [Symbol.asyncIterator](): AsyncIterator<Batch> {
    return this;
  }

  next(): Promise<IteratorResult<Batch>> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#handOver();
    });
  }

  return(): Promise<IteratorResult<Batch>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** A selector makes objects come and go while they change. */
  show({ type, collection, object, previous }: Change): void {
    const { target, selects } = this.#request;
    if (collection !== target.collection) return;
    if (target.namespace !== '' && object.metadata.namespace !== target.namespace) return;
    const was = previous !== undefined && selects(previous);
    const is = type !== 'DELETED' && selects(object);
    if (is) this.#push({ type: was ? 'MODIFIED' : 'ADDED', object });
    else if (was) this.#push({ type: 'DELETED', object });
  }

  showInitial(object: KubeObject): void {
    if (this.#request.selects(object)) this.#push({ type: 'ADDED', object });
  }

  endInitial(revision: number, kind: { apiVersion: string; kind: string }): void {
    const annotations = { 'k8s.io/initial-events-end': 'true' };
    const metadata = { resourceVersion: String(revision), annotations };
    this.#push({ type: 'BOOKMARK', object: { ...kind, metadata } });
  }

  bookmark(revision: number): void {
    if (!this.#request.allowsBookmarks) return;
    const metadata = { resourceVersion: String(revision) };
    this.#push({ type: 'BOOKMARK', object: { apiVersion: 'v1', kind: '', metadata } });
  }

  fail(status: Status): void {
    this.#push({ type: 'ERROR', object: status });
    this.end();
  }

  end(error?: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#error = error;
    this.#request.onEnd();
    this.#handOver();
  }

  #push(event: WatchEvent<KubeObject>): void {
    if (this.#hasEnded) return;
    this.#events.push(event);
    this.#handOver();
  }

  #handOver(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || (this.#events.length === 0 && !this.#hasEnded)) return;
    this.#waiting = undefined;
    const events = this.#events;
    this.#events = [];
    if (events.length > 0) waiting.resolve({ done: false, value: events });
    else if (this.#error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(this.#error);
  }
}
