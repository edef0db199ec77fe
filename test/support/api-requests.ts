/** Requests to an ApiCore as a client sends them: JSON in and out, watches as lists of events. */
import type { KubeObject } from '../../src/cluster/api/object.js';
import { isWatchBody, type RenderedAnswer } from '../../src/cluster/apiserver/http/rendered.js';
import type { ApiCore, PlainRequest } from './api-core.js';
import { until } from './until.js';

export interface Reply<T = KubeObject> {
  readonly status: number;
  readonly body: T;
}

export interface SeenEvent {
  readonly type: string;
  readonly object: KubeObject;
}

export interface List {
  readonly kind: string;
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly KubeObject[];
}

type Extras = Pick<PlainRequest, 'query' | 'headers' | 'body'>;

export async function send<T = KubeObject>(
  api: ApiCore,
  method: string,
  path: string,
  extras: Extras = {},
): Promise<Reply<T>> {
  const answer = await api.send({ method, path, ...extras });
  return { status: answer.status, body: JSON.parse(textOf(answer)) as T };
}

/** The whole body of an answer that has an end. */
export function textOf({ body }: RenderedAnswer): string {
  if (body instanceof Uint8Array) return Buffer.from(body).toString();
  if (Array.isArray(body)) return Buffer.concat(body as Uint8Array[]).toString();
  throw new Error('this answer has no end');
}

/** An open watch. `events` grows. */
export class OpenWatch {
  readonly events: SeenEvent[] = [];
  hasEnded = false;
  private readonly close: () => void;

  private constructor(answer: RenderedAnswer) {
    const { body } = answer;
    if (!isWatchBody(body)) throw new Error(`no watch: ${answer.status} ${textOf(answer)}`);
    let rest = '';
    body.start(
      (chunks) => {
        const lines = (rest + Buffer.concat(chunks).toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.events.push(JSON.parse(line) as SeenEvent);
        return true;
      },
      () => (this.hasEnded = true),
    );
    this.close = () => body.close();
  }

  static async open(
    api: ApiCore,
    path: string,
    query: Readonly<Record<string, string>> = {},
  ): Promise<OpenWatch> {
    const answer = await api.send({ method: 'GET', path, query: { watch: '1', ...query } });
    return new OpenWatch(answer);
  }

  /** Waits until it has shown at least so many events. */
  async shown(count: number): Promise<void> {
    await until(() => this.events.length >= count);
  }

  stop(): void {
    this.close();
  }
}

export function revisionOf({
  metadata,
}: {
  readonly metadata: { readonly resourceVersion?: string | undefined };
}): number {
  return Number(metadata.resourceVersion);
}
