import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ClusterEnv } from '../../env.js';
import type { ContainerRuntime } from '../../runtime/runtime.js';
import type { LogOptions } from '../logs/log-reader.js';
import { readLog } from '../logs/log-reader.js';
import { messageOf } from '../pods/start-error.js';
import { HttpProblem } from './http-problem.js';
import type { NodeView } from './node-view.js';
import type { LogRoute } from './routes.js';
import { isSet } from './routes.js';

export interface LogServices {
  readonly env: ClusterEnv;
  readonly runtime: ContainerRuntime;
  readonly view: NodeView;
}

/** Answers `/containerLogs`. Rejects with HttpProblem before the first byte. */
export async function serveLogs(
  { env, runtime, view }: LogServices,
  { name, container, query }: LogRoute,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const options = logOptions(query, env.wallMs());
  const { id, logPath } = await view.logged(name, container, isSet(query, 'previous'));
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  const write = (piece: Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      if (gone.signal.aborted || response.write(piece)) return resolve();
      const go = (): void => {
        response.off('drain', go);
        response.off('close', go);
        resolve();
      };
      response.on('drain', go);
      response.on('close', go);
    });
  const isRunning = async (): Promise<boolean> => {
    const status = await runtime.containerStatus(id).catch(() => undefined);
    return status?.state === 'running';
  };
  try {
    await readLog({ env, path: logPath, isRunning, write, signal: gone.signal }, options);
  } catch (error) {
    // The header is out: the text is all that is left to say it with.
    if (!response.writableEnded) response.write(`failed to read the log: ${messageOf(error)}\n`);
  }
  response.end();
  request.resume();
}

/** Throws: HttpProblem 400 for options that make no sense. */
function logOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const sinceSeconds = numberOf(query, 'sinceSeconds', 1);
  const sinceTime = query.get('sinceTime') ?? '';
  if (sinceSeconds !== undefined && sinceTime !== '') {
    throw new HttpProblem(400, 'at most one of `sinceTime` or `sinceSeconds` may be specified');
  }
  const since = sinceTime === '' ? undefined : Date.parse(sinceTime);
  if (since !== undefined && Number.isNaN(since)) {
    throw new HttpProblem(400, `sinceTime ${sinceTime} is no RFC 3339 time`);
  }
  const stream = query.get('stream') ?? 'All';
  return {
    follow: isSet(query, 'follow'),
    tailLines: numberOf(query, 'tailLines', 0),
    sinceMs: sinceSeconds === undefined ? since : nowMs - sinceSeconds * 1000,
    timestamps: isSet(query, 'timestamps'),
    limitBytes: numberOf(query, 'limitBytes', 1),
    stream: stream === 'Stdout' ? 'stdout' : stream === 'Stderr' ? 'stderr' : undefined,
  };
}

function numberOf(query: URLSearchParams, name: string, least: number): number | undefined {
  const text = query.get(name) ?? '';
  if (text === '') return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  const bound = least === 0 ? 'greater than or equal to 0' : 'greater than 0';
  throw new HttpProblem(400, `${name} must be an integer ${bound}`);
}
