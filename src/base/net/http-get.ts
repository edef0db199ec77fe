import { get, type IncomingHttpHeaders } from 'node:http';
import { parseServerUrl } from '../flags/url.js';
import { connectOptions } from './listen-address.js';

/** Longer answers are not read. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/**
 * Asks for `path` at the URL of a listener, which may be a unix socket.
 *
 * Throws: Error when the URL is none, no answer comes within `timeoutMs`, or the answer is too
 * long.
 */
export function httpGet(url: string, path: string, timeoutMs: number): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const where = connectOptions(parseServerUrl(url));
    const at = 'port' in where ? where : { socketPath: where.path };
    const signal = AbortSignal.timeout(timeoutMs);
    const request = get({ ...at, path, signal, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > MAX_BODY_BYTES) response.destroy(new Error(`the answer of ${url} is too long`));
      });
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
    });
    request.on('error', reject);
  });
}
