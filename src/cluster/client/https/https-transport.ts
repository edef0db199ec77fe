import { constants, type ClientHttp2Stream, type OutgoingHttpHeaders } from 'node:http2';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { KubeObject } from '../../api/object.js';
import type { ClusterEnv } from '../../env.js';
import { TransportError, type WatchEvent } from '../client.js';
import type { ClusterAccess } from '../kubeconfig.js';
import type { ApiAnswer, ApiCall, Transport, WatchBatches } from '../transport.js';
import { Connections } from './connections.js';
import { JsonLines } from './json-lines.js';
import { tokenSource, type TokenSource } from './token-source.js';

export interface HttpsTransportOptions {
  readonly env: ClusterEnv;
  readonly access: ClusterAccess;
  /** The API server takes the owner of fields from the part before the slash. */
  readonly userAgent: string;
}

/** Calls over HTTP/2 and TLS, many on one connection; a broken connection is replaced on demand. */
export function httpsTransport(options: HttpsTransportOptions): Transport {
  return new HttpsTransport(options);
}

/** A call that the server refused to begin with is safe to repeat (RFC 9113, 8.7). */
const MAX_TRIES = 3;

interface Head {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly stream: ClientHttp2Stream;
}

class HttpsTransport implements Transport {
  readonly #options: HttpsTransportOptions;
  readonly #connections: Connections;
  readonly #token: TokenSource;
  readonly #prefix: string;

  constructor(options: HttpsTransportOptions) {
    this.#options = options;
    this.#connections = new Connections(options.env, options.access);
    this.#token = tokenSource(options.env, options.access);
    this.#prefix = new URL(options.access.server).pathname.replace(/\/$/, '');
  }

  async call(call: ApiCall): Promise<ApiAnswer> {
    const encoding = this.#options.access.disableCompression ? 'identity' : 'gzip';
    const head = await this.#send(call, encoding);
    return answerOf(call, head);
  }

  async watch(call: ApiCall): Promise<ApiAnswer | WatchBatches> {
    const head = await this.#send(call, 'identity');
    return head.code === 200 ? batches(call, head.stream) : answerOf(call, head);
  }

  close(): void {
    this.#connections.close();
  }

  async #send(call: ApiCall, encoding: string): Promise<Head> {
    const token = await this.#tokenFor(call);
    if (call.signal?.aborted === true) throw failure(call, 'aborted');
    const query = call.query === undefined || call.query.size === 0 ? '' : `?${String(call.query)}`;
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const headers: OutgoingHttpHeaders = {
      ':method': call.method,
      ':path': `${this.#prefix}${call.path}${query}`,
      accept: 'application/json',
      'accept-encoding': encoding,
      'user-agent': this.#options.userAgent,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined
        ? {}
        : {
            'content-type': call.contentType ?? 'application/json',
            'content-length': body.length,
          }),
    };
    for (let tries = 1; ; tries += 1) {
      const head = await this.#headOf(call, headers, body, tries < MAX_TRIES);
      if (head !== 'refused') return head;
      // The connection is known to be leaving in the next turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #open(call: ApiCall, headers: OutgoingHttpHeaders, endStream: boolean): ClientHttp2Stream {
    try {
      return this.#connections.open(headers, endStream);
    } catch (cause) {
      throw failure(call, cause);
    }
  }

  async #tokenFor(call: ApiCall): Promise<string | undefined> {
    try {
      return await this.#token();
    } catch (cause) {
      throw failure(call, cause);
    }
  }

  /** `refused`: the server did not begin with it, as when the connection was about to close. */
  #headOf(
    call: ApiCall,
    headers: OutgoingHttpHeaders,
    body: Buffer | undefined,
    mayRepeat: boolean,
  ): Promise<Head | 'refused'> {
    return new Promise((resolve, reject) => {
      const stream = this.#open(call, headers, body === undefined);
      const abort = (): void => stream.close(constants.NGHTTP2_CANCEL);
      call.signal?.addEventListener('abort', abort, { once: true });
      let error: unknown;
      stream.on('error', (cause: unknown) => (error ??= cause));
      stream.on('close', () => {
        call.signal?.removeEventListener('abort', abort);
        const isRefused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
        if (isRefused && mayRepeat && call.signal?.aborted !== true) resolve('refused');
        else reject(failure(call, error ?? 'the connection was closed'));
      });
      stream.on('response', (received) => {
        resolve({ code: received[':status'] ?? 0, headers: received, stream });
      });
      if (body !== undefined) stream.end(body);
    });
  }
}

async function answerOf(call: ApiCall, { code, headers, stream }: Head): Promise<ApiAnswer> {
  const isGzip = headers['content-encoding'] === 'gzip';
  const chunks: Buffer[] = [];
  const source: Readable = isGzip ? unzipped(stream) : stream;
  try {
    for await (const chunk of source) chunks.push(chunk as Buffer);
  } catch (error) {
    throw failure(call, error);
  }
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw failure(call, 'the answer broke off');
  const text = Buffer.concat(chunks).toString('utf8');
  const isJson = String(headers['content-type']).startsWith('application/json');
  const retryAfter = Number(headers['retry-after']);
  return {
    code,
    body: isJson ? parsed(call, text) : text,
    ...(Number.isFinite(retryAfter) ? { retryAfterSeconds: retryAfter } : {}),
  };
}

function unzipped(stream: ClientHttp2Stream): Readable {
  const gunzip = createGunzip();
  stream.on('error', (error: Error) => gunzip.destroy(error));
  stream.on('aborted', () => gunzip.destroy(new Error('the answer broke off')));
  return stream.pipe(gunzip);
}

async function* batches(
  call: ApiCall,
  stream: ClientHttp2Stream,
): AsyncGenerator<readonly WatchEvent<KubeObject>[]> {
  const lines = new JsonLines();
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const texts = lines.push(chunk);
      // Lines of a watch are taken for events unchecked: the server is trusted with its own format.
      if (texts.length > 0) yield texts.map((text) => parsed(call, text) as WatchEvent<KubeObject>);
    }
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !lines.isAtEnd) {
      throw failure(call, 'the watch broke off');
    }
  } catch (error) {
    if (call.signal?.aborted === true) return;
    throw error instanceof TransportError ? error : failure(call, error);
  } finally {
    stream.close(constants.NGHTTP2_CANCEL);
  }
}

function parsed(call: ApiCall, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw failure(call, cause);
  }
}

function failure({ method, path }: ApiCall, cause: unknown): TransportError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new TransportError(`${method} ${path}: ${why}`, { cause });
}
