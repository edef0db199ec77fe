/**
 * Requests of the machine's user to a node, beside those of the API server: a socket in the
 * directory of the cluster, which its owner alone can reach.
 *
 *   POST /images {"path": "/image.tar"}   200 {"images": ["docker.io/library/a:1"]}
 *
 * Errors are answered with status 400 and {"error": "..."}.
 */
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { LocalRuntime } from '../runtime/local-runtime.js';

const MAX_REQUEST_BYTES = 64 * 1024;

/** Rejects with the operating system's error when the socket cannot be made. */
export async function serveNodeControl(path: string, runtime: LocalRuntime): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify(body));
    };
    loadImage(request, runtime).then(
      (images) => answer(200, { images }),
      (error: unknown) => {
        answer(400, { error: error instanceof Error ? error.message : String(error) });
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return server;
}

async function loadImage(request: IncomingMessage, runtime: LocalRuntime): Promise<string[]> {
  if (request.method !== 'POST' || request.url !== '/images') {
    throw new Error(`${request.method ?? ''} ${request.url ?? ''} is not served`);
  }
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_REQUEST_BYTES) throw new Error('the request is too long');
    parts.push(part);
  }
  const body: unknown = JSON.parse(Buffer.concat(parts).toString());
  const path = typeof body === 'object' && body !== null && 'path' in body ? body.path : undefined;
  if (typeof path !== 'string') throw new Error('the request has no path');
  return runtime.loadImage(path);
}
