/**
 * exec, attach and portforward: the client's upgrade is made once more towards the kubelet, with the
 * same protocol and key, and then bytes pass both ways untouched. The kubelet ends the protocol.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Pod } from '../../../gen/kube-core-v1.js';
import { apiError, badRequest, internalError, type ApiError } from '../../api/status.js';
import type { Answer, ApiRequest, UpgradeRequest } from '../pipeline/exchange.js';
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

/** Headers of the client that belong to the upgrade. Its credentials stay here. */
const PASSED_ON = [
  'sec-websocket-extensions',
  'sec-websocket-key',
  'sec-websocket-protocol',
  'sec-websocket-version',
  'upgrade',
  'x-stream-protocol-version',
];

type Connection = 'attach' | 'exec' | 'portforward';

export function connectHandler(
  connection: Connection,
  objects: PodObjects,
  tls: KubeletTls,
): SubresourceHandler {
  return async ({ info, request }) => {
    const pod = await findPod(objects, info.namespace, info.name);
    const path = pathFor(connection, pod, request.query);
    const address = await kubeletOf(objects, pod);
    if (address === undefined) throw badRequest(`pod ${info.name} does not have a host assigned`);
    const { upgrade } = request;
    if (upgrade === undefined)
      throw badRequest('Upgrade request required: you must ask for websocket over HTTP/1.1');
    const asked = askKubelet(address, tls, request.method, path, upgradeHeaders(request));
    const failed = (error: NodeJS.ErrnoException): ApiError => {
      const url = kubeletUrl(address, path);
      return internalError(`error sending request: Post "${url}": ${dialText(address, error)}`);
    };
    return join(asked, upgrade, request.signal, failed);
  };
}

function pathFor(connection: Connection, pod: Pod, query: URLSearchParams): string {
  const { namespace = '', name = '' } = pod.metadata;
  if (connection === 'portforward')
    return kubeletPath(['portForward', namespace, name], new URLSearchParams());
  const container = chooseContainer(pod, query.get('container') ?? '');
  const out = new URLSearchParams();
  if (connection === 'exec')
    for (const word of query.getAll('command')) out.append('command', word);
  const isWanted = (option: string, byDefault: boolean): boolean =>
    query.has(option) ? isTrue(query.get(option)) : byDefault;
  if (isWanted('stdin', false)) out.set('input', '1');
  if (isWanted('stdout', true)) out.set('output', '1');
  if (isWanted('stderr', true)) out.set('error', '1');
  if (isWanted('tty', false)) out.set('tty', '1');
  return kubeletPath([connection, namespace, name, container], out);
}

function upgradeHeaders(request: ApiRequest): Record<string, string> {
  const headers: Record<string, string> = { connection: 'Upgrade' };
  for (const name of PASSED_ON) {
    const value = request.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}

function join(
  asked: ReturnType<typeof askKubelet>,
  { socket, head }: UpgradeRequest,
  signal: AbortSignal,
  failed: (error: NodeJS.ErrnoException) => ApiError,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => void asked.destroy();
    signal.addEventListener('abort', onAbort, { once: true });
    asked.once('close', () => signal.removeEventListener('abort', onAbort));
    asked.once('error', (error) => reject(failed(error)));
    asked.once('response', (response) => {
      refusal(response).then(reject, reject);
    });
    asked.once('upgrade', (response, backend, backendHead) => {
      socket.write(headOf(response));
      socket.write(backendHead);
      backend.write(head);
      couple(socket, backend);
      couple(backend, socket);
      resolve({ type: 'upgraded' });
    });
    asked.end();
    if (signal.aborted) onAbort();
  });
}

/** Status line and headers as they came: the accepted key and protocol are the kubelet's word. */
function headOf({ statusCode = 101, statusMessage = '', rawHeaders }: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    lines.push(`${rawHeaders[i] ?? ''}: ${rawHeaders[i + 1] ?? ''}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** One direction. An end is passed on; a broken connection breaks the other. */
function couple(from: Duplex, to: Duplex): void {
  from.pipe(to);
  from.once('error', () => to.destroy());
  from.once('close', () => {
    if (!from.readableEnded) to.destroy();
  });
}

async function refusal(response: IncomingMessage): Promise<ApiError> {
  const text = (await errorText(response)).trimEnd();
  const { statusCode: status = 500 } = response;
  if (status === 400) return badRequest(text);
  if (status === 403) return apiError(403, 'Forbidden', text);
  if (status === 404) return apiError(404, 'NotFound', text);
  if (status === 500) return internalError(text);
  return apiError(status, '', `unable to upgrade connection: ${text}`);
}
