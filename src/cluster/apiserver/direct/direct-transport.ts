/**
 * Calls into an API server of the same process: the same pipeline as over HTTPS, with the same
 * authentication and authorization, but objects come back as the cache holds them, frozen and
 * shared. The caller shows the identity that its client certificate would.
 */
import { setMaxListeners } from 'node:events';
import { ApiError, expired } from '../../api/status.js';
import { apiVersionOf, type KubeObject } from '../../api/object.js';
import type { WatchEvent } from '../../client/client.js';
import { TransportError } from '../../client/client.js';
import type { ApiAnswer, ApiCall, Transport, WatchBatches } from '../../client/transport.js';
import type { Subscription, WatchItem } from '../cache/subscription.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { ClusterEnv } from '../../env.js';
import { turnsOf } from '../../turns.js';
import type { Answer, ApiRequest, ClientCertificate } from '../pipeline/exchange.js';

/** Runs the pipeline. Never rejects. */
export type Run = (request: ApiRequest) => Promise<Answer | ApiError>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const NO_BYTES = new Uint8Array(0);

export class DirectTransport implements Transport {
  private readonly run: Run;
  private readonly identity: ClientCertificate;
  private readonly userAgent: string;
  private readonly env: ClusterEnv;
  private readonly closing = new AbortController();

  constructor(run: Run, identity: ClientCertificate, userAgent: string, env: ClusterEnv) {
    this.env = env;
    this.run = run;
    this.identity = identity;
    this.userAgent = userAgent;
    // One for each watch.
    setMaxListeners(0, this.closing.signal);
  }

  async call(call: ApiCall): Promise<ApiAnswer> {
    const answer = await this.ask(call);
    if (answer instanceof ApiError) return answerOfError(answer);
    if (answer.type === 'list') return await this.answerOfList(answer);
    return answerOf(answer);
  }

  async watch(call: ApiCall): Promise<ApiAnswer | WatchBatches> {
    const answer = await this.ask(call);
    if (answer instanceof ApiError) return answerOfError(answer);
    if (answer.type === 'list') return await this.answerOfList(answer);
    if (answer.type !== 'watch') return answerOf(answer);
    return new Batches(answer.kind, answer.subscription, call.signal, this.closing.signal);
  }

  close(): void {
    this.closing.abort();
  }

  private async ask(call: ApiCall): Promise<Answer | ApiError> {
    if (this.closing.signal.aborted) throw new TransportError('the client is closed');
    const signals = [this.closing.signal, ...(call.signal === undefined ? [] : [call.signal])];
    const running = this.run(this.requestOf(call));
    return await new Promise((resolve, reject) => {
      let isLeft = false;
      const leave = (): void => {
        isLeft = true;
        reject(new TransportError('the call was ended'));
      };
      if (signals.some(({ aborted }) => aborted)) leave();
      for (const signal of signals) signal.addEventListener('abort', leave, { once: true });
      void running.then((answer) => {
        for (const signal of signals) signal.removeEventListener('abort', leave);
        if (!isLeft) resolve(answer);
        else if (!(answer instanceof ApiError) && answer.type === 'watch') {
          answer.subscription.close();
        }
      });
    });
  }

  private async answerOfList(answer: Extract<Answer, { type: 'list' }>): Promise<ApiAnswer> {
    const { kind, page } = answer;
    const turns = turnsOf(this.env);
    const items: KubeObject[] = [];
    for (const stored of page.items) {
      const pause = turns.pause();
      if (pause !== undefined) await pause;
      items.push(stored.object);
    }
    const body = {
      kind: `${kind.kind}List`,
      apiVersion: apiVersionOf(kind.group, kind.version),
      metadata: {
        resourceVersion: page.resourceVersion,
        ...(page.continue === '' ? {} : { continue: page.continue }),
        ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
      },
      items,
    };
    return { code: 200, body };
  }

  private requestOf(call: ApiCall): ApiRequest {
    const { body } = call;
    const headers: Readonly<Record<string, string>> = {
      'content-type': call.contentType ?? 'application/json',
      'user-agent': this.userAgent,
    };
    return {
      method: call.method,
      path: call.path,
      query: call.query ?? new URLSearchParams(),
      header: (name) => headers[name],
      headerNames: () => Object.keys(headers),
      body: () =>
        Promise.resolve(body === undefined ? NO_BYTES : encoder.encode(JSON.stringify(body))),
      certificate: this.identity,
      signal: call.signal ?? this.closing.signal,
      upgrade: undefined,
    };
  }
}

function answerOfError(error: ApiError): ApiAnswer {
  const retry = error.status.details?.retryAfterSeconds;
  const body = error.status;
  return { code: error.code, body, ...(retry === undefined ? {} : { retryAfterSeconds: retry }) };
}

function answerOf(answer: Exclude<Answer, { type: 'list' }>): ApiAnswer {
  switch (answer.type) {
    case 'object':
      return { code: answer.status, body: answer.stored.object };
    case 'value':
      return { code: answer.status, body: answer.value };
    case 'text':
      return { code: answer.status, body: valueOf(answer) };
    case 'watch':
    case 'stream':
    case 'upgraded':
      throw new TransportError(`an answer of type ${answer.type} is not for calls`);
  }
}

/** The body as a client over HTTPS reads it: JSON as a value, anything else as text. */
function valueOf({ text, contentType }: Extract<Answer, { type: 'text' }>): unknown {
  const body = typeof text === 'string' ? text : decoder.decode(text);
  return contentType.startsWith('application/json') ? (JSON.parse(body) as unknown) : body;
}

/** Batches that have come and were not asked for yet, as an async iterator. */
class Batches implements AsyncIterable<readonly WatchEvent<KubeObject>[]> {
  private readonly kind: Kind;
  private readonly subscription: Subscription;
  private readonly signals: readonly AbortSignal[];
  private readonly waiting: (readonly WatchEvent<KubeObject>[])[] = [];
  private hasEnded = false;
  private wake: () => void = () => {};

  constructor(
    kind: Kind,
    subscription: Subscription,
    signal: AbortSignal | undefined,
    closing: AbortSignal,
  ) {
    this.kind = kind;
    this.subscription = subscription;
    this.signals = signal === undefined ? [closing] : [signal, closing];
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly WatchEvent<KubeObject>[]> {
    const end = (): void => {
      this.hasEnded = true;
      this.wake();
    };
    for (const signal of this.signals) signal.addEventListener('abort', end, { once: true });
    try {
      this.subscription.start((items) => {
        this.waiting.push(items.map((item) => this.eventOf(item)));
        // One batch at a time: the next one is read when this one has been taken.
        this.subscription.pause();
        this.wake();
      }, end);
      if (this.signals.some((signal) => signal.aborted)) return;
      for (;;) {
        const batch = this.waiting.shift();
        if (batch !== undefined) {
          yield batch;
          continue;
        }
        if (this.isOver()) return;
        this.subscription.resume();
        if (this.waiting.length > 0 || this.isOver()) continue;
        await new Promise<void>((resolve) => (this.wake = resolve));
      }
    } finally {
      this.subscription.close();
      for (const signal of this.signals) signal.removeEventListener('abort', end);
    }
  }

  private isOver(): boolean {
    return this.hasEnded || this.signals.some((signal) => signal.aborted);
  }

  private eventOf(item: WatchItem): WatchEvent<KubeObject> {
    if (item.type === 'EXPIRED') return { type: 'ERROR', object: expired(item.message).status };
    if (item.type !== 'BOOKMARK') return { type: item.type, object: item.stored.object };
    const { kind, group, version } = this.kind;
    return {
      type: 'BOOKMARK',
      object: {
        kind,
        apiVersion: apiVersionOf(group, version),
        metadata: {
          resourceVersion: String(item.revision),
          ...(item.isInitialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
        },
      },
    };
  }
}
