/** Answers of fixed media types, and the documents that say that there is nothing. */
import { clausesOf } from '../answer/media-type.js';
import { apiError } from '../../api/status.js';
import type { Answer, ApiRequest } from '../pipeline/exchange.js';

const TEXT_HEADERS = { 'x-content-type-options': 'nosniff' } as const;
export const TEXT_TYPE = 'text/plain; charset=utf-8';

/** Answers JSON whatever parameters the client puts behind the type. Throws: ApiError 406 for other types. */
export function jsonAnswer(
  request: ApiRequest,
  value: object,
  type = 'application/json',
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return jsonTextAnswer(request, JSON.stringify(value), type, headers);
}

/** As `jsonAnswer`, of a text that is JSON already. */
export function jsonTextAnswer(
  request: ApiRequest,
  text: string,
  type = 'application/json',
  headers: Readonly<Record<string, string>> = {},
): Answer {
  requireType(request, type);
  return { type: 'text', status: 200, contentType: type, text, headers };
}

function requireType(request: ApiRequest, type: string): void {
  const accept = request.header('accept') ?? '';
  const wildcard = `${type.slice(0, type.indexOf('/'))}/*`;
  const isAccepted =
    accept.trim() === '' ||
    clausesOf(accept).some((clause) => [type, wildcard, '*/*'].includes(clause.type));
  if (isAccepted) return;
  throw apiError(
    406,
    'NotAcceptable',
    `406: Not Acceptable\n\nAvailable representations: ${type}`,
    {},
  );
}

export function textAnswer(status: number, text: string): Answer {
  return { type: 'text', status, contentType: TEXT_TYPE, text, headers: TEXT_HEADERS };
}

export function pageNotFound(): Answer {
  return textAnswer(404, '404 page not found\n');
}
