/** GET .../pods/NAME/log: the kubelet's text, passed on as it comes. */
import type { IncomingMessage } from 'node:http';
import {
  apiError,
  badRequest,
  internalError,
  invalid,
  type ApiError,
  type FieldError,
} from '../../api/status.js';
import type { Answer, Exchange } from '../pipeline/exchange.js';
import { isTrue } from '../pipeline/request-info.js';
import type { SubresourceHandler } from '../registry/resource-step.js';
import { askKubelet, dialText, errorText, kubeletUrl, type KubeletTls } from './kubelet-link.js';
import {
  chooseContainer,
  findPod,
  kubeletOf,
  kubeletPath,
  type PodObjects,
} from './pod-location.js';

const STREAMS = ['All', 'Stderr', 'Stdout'];
const FLAGS = ['follow', 'previous', 'timestamps'];

/** Number -> the smallest that is allowed. */
const NUMBERS = { tailLines: 0, sinceSeconds: 1, limitBytes: 1 } as const;

export function logHandler(objects: PodObjects, tls: KubeletTls): SubresourceHandler {
  return async (exchange) => {
    const { info, request } = exchange;
    const query = kubeletQuery(request.query, info.name);
    const pod = await findPod(objects, info.namespace, info.name);
    const container = chooseContainer(pod, request.query.get('container') ?? '');
    const address = await kubeletOf(objects, pod);
    if (address === undefined)
      return { type: 'text', status: 200, contentType: 'text/plain', text: '' };
    const path = kubeletPath(['containerLogs', info.namespace, info.name, container], query);
    const asked = askKubelet(address, tls, 'GET', path, {});
    return answerWith(exchange, asked, (error) =>
      // No reason: what goes wrong between two servers is no error of the API.
      apiError(500, '', `Get "${kubeletUrl(address, path)}": ${dialText(address, error)}`),
    );
  };
}

function answerWith(
  { info, request }: Exchange,
  asked: ReturnType<typeof askKubelet>,
  failed: (error: NodeJS.ErrnoException) => ApiError,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => void asked.destroy();
    request.signal.addEventListener('abort', onAbort, { once: true });
    asked.once('close', () => request.signal.removeEventListener('abort', onAbort));
    asked.once('error', (error) => reject(failed(error)));
    asked.once('response', (response) => {
      if (response.statusCode === 200)
        resolve({ type: 'stream', contentType: 'text/plain', readable: response });
      else refusal(response, info.name).then(reject, reject);
    });
    asked.end();
    if (request.signal.aborted) onAbort();
  });
}

async function refusal(response: IncomingMessage, name: string): Promise<ApiError> {
  const text = (await errorText(response)).trimEnd();
  const { statusCode: status = 500 } = response;
  if (status === 500) return internalError(text);
  if (status === 400) return badRequest(text);
  const where = `( pods/log ${name})`;
  if (status === 404)
    return apiError(404, 'NotFound', `the server could not find the requested resource ${where}`, {
      name,
      kind: 'pods/log',
      causes: [{ reason: 'UnexpectedServerResponse', message: text }],
    });
  return apiError(
    status,
    '',
    `the server responded with the status code ${status} ${where}: ${text}`,
  );
}

/** The options as the kubelet reads them. Throws: ApiError 400 and 422. */
function kubeletQuery(query: URLSearchParams, name: string): URLSearchParams {
  const out = new URLSearchParams();
  const errors: FieldError[] = [];
  for (const flag of FLAGS) if (isTrue(query.get(flag))) out.set(flag, 'true');
  for (const [option, least] of Object.entries(NUMBERS)) {
    const text = query.get(option);
    if (text === null) continue;
    const value = readNumber(text);
    if (value < least) errors.push(tooSmall(option, value, least));
    out.set(option, String(value));
  }
  const sinceTime = query.get('sinceTime') ?? '';
  if (sinceTime !== '') out.set('sinceTime', readTime(sinceTime));
  if (sinceTime !== '' && query.has('sinceSeconds'))
    errors.push(
      forbiddenField('', 'at most one of `sinceTime` or `sinceSeconds` may be specified'),
    );
  const stream = query.get('stream') ?? '';
  if (stream !== '') out.set('stream', stream);
  errors.push(...streamErrors(stream, query));
  if (errors.length > 0) throw invalid({ group: '', resource: 'PodLogOptions' }, name, errors);
  return out;
}

function readNumber(text: string): number {
  if (!/^[-+]?[0-9]+$/.test(text))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** RFC 3339, in seconds and UTC. */
function readTime(text: string): string {
  const timeMs = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(timeMs))
    throw badRequest(
      `parsing time ${JSON.stringify(text)} as "2006-01-02T15:04:05Z07:00": cannot parse it`,
    );
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}

function streamErrors(stream: string, query: URLSearchParams): FieldError[] {
  if (stream === '') return [];
  if (!STREAMS.includes(stream)) {
    const supported = STREAMS.map((name) => JSON.stringify(name)).join(', ');
    const value = JSON.stringify(stream);
    const message = `Unsupported value: ${value}: supported values: ${supported}`;
    return [{ reason: 'FieldValueNotSupported', field: 'stream', message }];
  }
  if (stream === 'All' || !query.has('tailLines')) return [];
  const why = '`tailLines` and specific `stream` are mutually exclusive for now';
  return [forbiddenField('', why)];
}

function tooSmall(field: string, value: number, least: number): FieldError {
  const why = least === 0 ? 'greater than or equal to 0' : 'greater than 0';
  return {
    reason: 'FieldValueInvalid',
    field,
    message: `Invalid value: ${value}: must be ${why}`,
  };
}

function forbiddenField(field: string, why: string): FieldError {
  return { reason: 'FieldValueForbidden', field, message: `Forbidden: ${why}` };
}
