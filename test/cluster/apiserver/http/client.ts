import * as http2 from 'node:http2';
import * as https from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { KeyAndCert } from '../../support/certificates.js';

export interface Target {
  readonly port: number;
  readonly ca: string;
  readonly identity?: KeyAndCert;
}

export interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface Received {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Sends one request over HTTP/1.1, on a connection of its own unless an agent is given. */
export function sendHttp1(target: Target, sent: Sent, agent?: https.Agent): Promise<Received> {
  return new Promise((resolve, reject) => {
    const request = https.request(
      {
        host: '127.0.0.1',
        port: target.port,
        ca: target.ca,
        ...target.identity,
        method: sent.method ?? 'GET',
        path: sent.path,
        headers: sent.headers ?? {},
        agent: agent ?? false,
      },
      (response: IncomingMessage) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(sent.body);
  });
}

export function connectHttp2(target: Target): http2.ClientHttp2Session {
  const session = http2.connect(`https://127.0.0.1:${target.port}`, {
    ca: target.ca,
    ...target.identity,
  });
  session.on('error', () => undefined);
  return session;
}

export function sendHttp2(session: http2.ClientHttp2Session, sent: Sent): Promise<Received> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ':method': sent.method ?? 'GET', ':path': sent.path, ...sent.headers },
      { endStream: sent.body === undefined },
    );
    const chunks: Buffer[] = [];
    let head: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
    stream.on('response', (headers) => (head = headers));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () =>
      resolve({ status: head[':status'] ?? 0, headers: head, body: Buffer.concat(chunks) }),
    );
    if (sent.body !== undefined) stream.end(sent.body);
  });
}
