import type { IncomingMessage, ServerResponse } from 'node:http';
import { sendPlain } from '../../base/net/respond.js';

const ALLOWED_METHODS = 'POST, GET, OPTIONS, PUT, DELETE';
const ALLOWED_HEADERS = 'accept, content-type, authorization';

/**
 * Origins and host names that HTTP requests may come with; an empty list or one with `*` allows
 * all.
 */
export interface AccessRules {
  readonly cors: readonly string[];
  readonly hostWhitelist: readonly string[];
}

/**
 * Refuses requests for foreign host names, adds the headers that let browsers call, and answers their
 * OPTIONS requests. Returns whether the request may go on to its handler.
 */
export function admit(
  rules: AccessRules,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const host = hostName(request.headers.host ?? '');
  if (!allowsAll(rules.hostWhitelist) && !rules.hostWhitelist.includes(host)) {
    sendPlain(
      response,
      421,
      `This member does not answer to the host name ${JSON.stringify(host)}.\n\n` +
        'Add it to --host-whitelist, or use a name that is in that list. The list protects against web pages\n' +
        'that reach this member through a name of their own (DNS rebinding).\n',
    );
    return false;
  }
  const origin = request.headers.origin ?? '';
  if (allowsAll(rules.cors)) allowOrigin(response, '*');
  else if (rules.cors.includes(origin)) allowOrigin(response, origin);
  if (request.method === 'OPTIONS') {
    response.setHeader('Content-Length', 0);
    response.end();
    return false;
  }
  return true;
}

function allowsAll(list: readonly string[]): boolean {
  return list.length === 0 || list.includes('*');
}

function allowOrigin(response: ServerResponse, origin: string): void {
  response.setHeader('Access-Control-Allow-Methods', ALLOWED_METHODS);
  response.setHeader('Access-Control-Allow-Origin', origin);
  response.setHeader('Access-Control-Allow-Headers', ALLOWED_HEADERS);
}

/** The name in a Host header, without its port. */
function hostName(header: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(header);
  if (bracketed !== null) return bracketed[1] ?? '';
  const colon = header.lastIndexOf(':');
  return colon < 0 ? header : header.slice(0, colon);
}
