import type { IncomingMessage, ServerResponse } from 'node:http';

const TEXT = 'text/plain; charset=utf-8';

/** Sends a complete answer; a HEAD request gets its headers alone. */
export function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string | Uint8Array,
): void {
  const bytes = Buffer.from(body);
  response.statusCode = status;
  response.setHeader('Content-Type', contentType);
  response.setHeader('Content-Length', bytes.length);
  response.end(response.req.method === 'HEAD' ? undefined : bytes);
}

export function sendText(response: ServerResponse, status: number, body: string): void {
  send(response, status, TEXT, body);
}

/** An answer that browsers must not take for a page: errors, and the results of /livez and /readyz. */
export function sendPlain(response: ServerResponse, status: number, body: string): void {
  response.setHeader('X-Content-Type-Options', 'nosniff');
  send(response, status, TEXT, body);
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  send(response, status, 'application/json', JSON.stringify(value));
}

export function sendNoContent(response: ServerResponse): void {
  response.statusCode = 204;
  response.end();
}

export function sendNotFound(response: ServerResponse): void {
  sendPlain(response, 404, '404 page not found\n');
}

/** Sends the client to `location` for good, as http.Redirect of Go's net/http words it. */
export function sendMoved(response: ServerResponse, location: string): void {
  const { method } = response.req;
  response.setHeader('Location', location);
  if (method === 'GET' || method === 'HEAD') {
    const body = `<a href="${escapeHtml(location)}">Moved Permanently</a>.\n\n`;
    return send(response, 301, 'text/html; charset=utf-8', body);
  }
  response.statusCode = 301;
  response.setHeader('Content-Length', 0);
  response.end();
}

/** Answers 405 to anything but `method`. Returns whether the request may go on. */
export function allowOnly(
  method: 'GET' | 'PUT',
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  if (request.method === method) return true;
  response.setHeader('Allow', method);
  sendPlain(response, 405, 'Method Not Allowed\n');
  return false;
}

/**
 * True if a body may be sent packed with gzip, by an Accept-Encoding field (RFC 9110, section
 * 12.5.3).
 */
export function acceptsGzip(acceptEncoding: string): boolean {
  let gzip = 0;
  let identity = 0;
  for (const item of acceptEncoding.split(',')) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim());
    const weight = weightOf(parameters);
    if (coding === 'gzip') gzip = Math.max(gzip, weight);
    // Of equal weights the unpacked body wins: promhttp offers it first.
    else if (coding === 'identity' || coding === '*') identity = Math.max(identity, weight);
  }
  return gzip > identity;
}

/** 1 unless there is a `q`; an unreadable one is 0. */
function weightOf(parameters: readonly string[]): number {
  const q = parameters.find((parameter) => /^q\s*=/i.test(parameter));
  if (q === undefined) return 1;
  const weight = Number(q.slice(q.indexOf('=') + 1));
  return Number.isFinite(weight) ? weight : 0;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&#34;')
    .replaceAll("'", '&#39;');
}
