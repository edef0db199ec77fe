/**
 * PUT /config/local/log with `{"Level":"DEBUG"}` changes how much a running member logs, as etcd up to 3.4 has it
 * (server/etcdserver/api/etcdhttp/base.go of that release). The member starts with `--log-level` again.
 */
import type { IncomingMessage } from 'node:http';
import { allowOnly, sendJson, sendNoContent } from '../../base/net/respond.js';
import type { HttpHandler } from '../../base/net/router.js';
import type { LogLevel, RootLogger } from '../../base/observe/logger.js';

/** Names of levels in etcd's API, then those of `--log-level`. */
const LEVELS: ReadonlyMap<string, LogLevel> = new Map([
  ...levels('debug', 'TRACE', 'T', '5', 'DEBUG', 'D', '4'),
  ...levels('info', 'INFO', 'I', '3', 'NOTICE', 'N', '2'),
  ...levels('warn', 'WARNING', 'W', '1', 'WARN'),
  ...levels('error', 'ERROR', 'E', '0'),
  ...levels('panic', 'CRITICAL', 'C', 'PANIC', 'DPANIC'),
  ...levels('fatal', 'FATAL'),
]);
const BODY_MAX_BYTES = 4096;

function levels(level: LogLevel, ...names: readonly string[]): [string, LogLevel][] {
  return names.map((name) => [name, level]);
}

/** The handler of /config/local/log. */
export function logLevelHandler(log: RootLogger): HttpHandler {
  return (request, response) => {
    if (!allowOnly('PUT', request, response)) return;
    readBody(request, (body) => {
      const name = levelName(body);
      if (name === undefined) return sendJson(response, 400, { message: 'Invalid json body' });
      const level = LEVELS.get(name.toUpperCase());
      if (level === undefined)
        return sendJson(response, 400, { message: `Invalid log level ${name}` });
      change(log, level);
      sendNoContent(response);
    });
  };
}

/** The line about the change is written at the lower of both levels. */
function change(log: RootLogger, level: LogLevel): void {
  const from = log.level;
  if (!log.enabled(level)) log.setLevel(level);
  log.warn('the log level was changed', { from, to: level });
  log.setLevel(level);
}

/** The member `Level` of a JSON object, empty when it has none; undefined when `body` is something else. */
function levelName(body: string | undefined): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body ?? '');
  } catch {
    return undefined;
  }
  if (value === null) return '';
  if (typeof value !== 'object' || Array.isArray(value)) return undefined;
  const member = Object.entries(value).find(([name]) => name.toLowerCase() === 'level');
  if (member === undefined) return '';
  return typeof member[1] === 'string' ? member[1] : undefined;
}

/**
 * `done` gets the body as text; undefined when it is too long. A client that goes away gets no
 * answer.
 */
function readBody(request: IncomingMessage, done: (body: string | undefined) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= BODY_MAX_BYTES) chunks.push(chunk);
  });
  request.on('end', () => {
    done(bytes <= BODY_MAX_BYTES ? Buffer.concat(chunks).toString('utf8') : undefined);
  });
}
