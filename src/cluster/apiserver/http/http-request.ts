/** A request of either protocol as the pipeline sees it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { apiError, badRequest, timeout, type ApiError } from '../../api/status.js';
import type { ApiRequest, ClientCertificate, UpgradeRequest } from '../pipeline/exchange.js';

export type Incoming = IncomingMessage | Http2ServerRequest;
export type Outgoing = ServerResponse | Http2ServerResponse;

/** Longest body of a request (k8s.io/apiserver, MaxRequestBodyBytes). */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

export class HttpRequest implements ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly certificate: ClientCertificate | undefined;
  readonly upgrade: UpgradeRequest | undefined;
  private readonly incoming: Incoming;
  private whenBody: Promise<Uint8Array> | undefined;
  private abort: AbortController | undefined;
  private abortReason: Error | undefined;

  constructor(
    incoming: Incoming,
    certificate: ClientCertificate | undefined,
    upgrade?: UpgradeRequest,
  ) {
    this.incoming = incoming;
    this.certificate = certificate;
    this.upgrade = upgrade;
    this.method = (incoming.method ?? 'GET').toUpperCase();
    const url = originForm(incoming.url ?? '/');
    const at = url.indexOf('?');
    this.path = at === -1 ? url : url.slice(0, at);
    this.query = new URLSearchParams(at === -1 ? '' : url.slice(at + 1));
  }

  header(name: string): string | undefined {
    const value = this.incoming.headers[name];
    return Array.isArray(value) ? value.join(',') : value;
  }

  headerNames(): readonly string[] {
    return Object.keys(this.incoming.headers).filter((name) => !name.startsWith(':'));
  }

  body(): Promise<Uint8Array> {
    this.whenBody ??= this.readBody();
    return this.whenBody;
  }

  get signal(): AbortSignal {
    this.abort ??= new AbortController();
    if (this.abortReason !== undefined) this.abort.abort(this.abortReason);
    return this.abort.signal;
  }

  /** The client has gone, or its time is over. */
  end(reason: Error): void {
    this.abortReason ??= reason;
    this.abort?.abort(this.abortReason);
  }

  /** True when bytes of the body may be left, which the connection would carry in vain. */
  get hasUnreadBody(): boolean {
    return !this.incoming.readableEnded && this.hasBody();
  }

  private hasBody(): boolean {
    if ('stream' in this.incoming) return !this.incoming.stream.endAfterHeaders;
    const { 'content-length': length = '0', 'transfer-encoding': coding } = this.incoming.headers;
    return this.upgrade === undefined && (length !== '0' || coding !== undefined);
  }

  private readBody(): Promise<Uint8Array> {
    if (!this.hasBody()) return Promise.resolve(new Uint8Array());
    const announced = Number(this.header('content-length') ?? '0');
    if (announced > MAX_BODY_BYTES) return Promise.reject(tooLarge());
    return new Promise((resolve, reject) => {
      const { incoming, signal } = this;
      const chunks: Buffer[] = [];
      let size = 0;
      const onAbort = (): void => fail(asError(signal.reason));
      const fail = (error: Error): void => {
        incoming.off('data', onData);
        signal.removeEventListener('abort', onAbort);
        reject(error);
      };
      const onData = (chunk: Buffer): void => {
        size += chunk.length;
        if (size > MAX_BODY_BYTES) fail(tooLarge());
        else chunks.push(chunk);
      };
      incoming.on('data', onData);
      incoming.once('end', () => {
        signal.removeEventListener('abort', onAbort);
        resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
      });
      incoming.once('error', () => fail(clientGone()));
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** Of `https://host/path`, which proxies are sent, the path. */
function originForm(url: string): string {
  const path = url.replace(/^https?:\/\/[^/?]*/i, '');
  return path.startsWith('/') ? path : `/${path}`;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : clientGone();
}

export function clientGone(): ApiError {
  return badRequest('the client closed the request');
}

export function requestTimeout(): ApiError {
  return timeout('Timeout: request did not complete within the allotted timeout');
}

function tooLarge(): ApiError {
  return apiError(
    413,
    'RequestEntityTooLarge',
    `Request entity too large: limit is ${MAX_BODY_BYTES}`,
  );
}

const certificates = new WeakMap<object, { readonly subject: ClientCertificate | undefined }>();

/** Subject of the certificate that the peer proved to have and our authority signed; read once a connection. */
export function certificateOf(incoming: Incoming): ClientCertificate | undefined {
  const connection = 'stream' in incoming ? incoming.stream.session : incoming.socket;
  if (connection === undefined) return undefined;
  let known = certificates.get(connection);
  if (known === undefined) {
    const socket = 'socket' in connection ? connection.socket : connection;
    known = { subject: subjectOf(socket as TLSSocket) };
    certificates.set(connection, known);
  }
  return known.subject;
}

function subjectOf(socket: TLSSocket): ClientCertificate | undefined {
  if (!socket.authorized) return undefined;
  // A text or a list of texts, whatever the declaration says; empty for no certificate.
  const { subject, fingerprint256 = '' } = socket.getPeerCertificate() as {
    subject?: Readonly<Record<string, string | string[] | undefined>>;
    fingerprint256?: string;
  };
  if (subject === undefined) return undefined;
  const { CN: commonName, O: organization = [] } = subject;
  if (typeof commonName !== 'string' || commonName === '') return undefined;
  const fingerprint = fingerprint256.replaceAll(':', '').toLowerCase();
  return { commonName, organizations: [organization].flat(), fingerprint };
}
