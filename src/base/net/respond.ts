import type { IncomingMessage, ServerResponse } from 'node:http';

/** Answers one request for one path. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse, url: URL) => void;

const TEXT = 'text/plain; charset=utf-8';

/** Sends a complete answer; a HEAD request gets its headers alone. */
export function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
  isError = false,
): void {
  const bytes = Buffer.from(body);
  response.statusCode = status;
  response.setHeader('Content-Type', contentType);
  if (isError) response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Content-Length', bytes.length);
  response.end(response.req.method === 'HEAD' ? undefined : bytes);
}

export function sendText(response: ServerResponse, status: number, body: string): void {
  send(response, status, TEXT, body);
}

/** An answer that browsers must not take for a page: errors, and the results of /livez and /readyz. */
export function sendPlain(response: ServerResponse, status: number, body: string): void {
  send(response, status, TEXT, body, true);
}

export function sendNotFound(response: ServerResponse): void {
  sendPlain(response, 404, '404 page not found\n');
}

/** Answers 405 to anything but GET. Returns whether the request may go on. */
export function allowGetOnly(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method === 'GET') return true;
  response.setHeader('Allow', 'GET');
  sendPlain(response, 405, 'Method Not Allowed\n');
  return false;
}

/** The request's path and query; undefined when they cannot be read. */
export function requestUrl(request: IncomingMessage): URL | undefined {
  const path = request.url ?? '/';
  const base = 'http://localhost';
  return URL.canParse(path, base) ? new URL(path, base) : undefined;
}
