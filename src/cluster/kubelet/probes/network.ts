/** Probes over the network, as the node sees it. */
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import type { HTTPHeader } from '../../../gen/kube-core-v1.js';
import { decodeHealthCheckResponse, encodeHealthCheckRequest } from '../../../gen/health.js';
import type { ClusterEnv } from '../../env.js';

const MAX_BODY_BYTES = 10 * 1024;
const MAX_REDIRECTS = 10;

export interface HttpTarget {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly isTls: boolean;
  readonly headers: readonly HTTPHeader[];
  readonly timeoutMs: number;
}

export interface HttpAnswer {
  readonly status: number;
  /** Its beginning. */
  readonly body: string;
  /** Set when a redirect leads to another host, which is not followed. */
  readonly leadsAway: boolean;
}

/** Each method rejects with an Error when there is no answer in time. */
export interface NetworkProbes {
  http(target: HttpTarget): Promise<HttpAnswer>;
  tcp(host: string, port: number, timeoutMs: number): Promise<void>;
  /** Status of the gRPC health service (grpc.health.v1): 1 is SERVING. */
  grpc(host: string, port: number, service: string, timeoutMs: number): Promise<number>;
}

export function networkProbes(env: ClusterEnv, userAgent: string): NetworkProbes {
  return {
    http: (target) => follow(env, target, userAgent),
    tcp: (host, port, timeoutMs) => connect(env, host, port, timeoutMs),
    grpc: (host, port, service, timeoutMs) =>
      checkHealth(env, { host, port, service, timeoutMs, userAgent }),
  };
}

async function follow(env: ClusterEnv, first: HttpTarget, userAgent: string): Promise<HttpAnswer> {
  let target = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const { status, body, location } = await request(env, target, userAgent);
    const isRedirect = [301, 302, 303, 307, 308].includes(status) && location !== '';
    if (!isRedirect) return { status, body, leadsAway: false };
    const next = new URL(location, urlOf(target));
    if (next.hostname !== urlOf(target).hostname) return { status, body, leadsAway: true };
    const isTls = next.protocol === 'https:';
    const port = next.port === '' ? (isTls ? 443 : 80) : Number(next.port);
    target = { ...target, isTls, port, path: `${next.pathname}${next.search}` };
  }
  throw new Error(`stopped after ${MAX_REDIRECTS} redirects`);
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function urlOf({ host, port, path, isTls }: HttpTarget): URL {
  const slash = path.startsWith('/') ? '' : '/';
  return new URL(`${isTls ? 'https' : 'http'}://${bracketed(host)}:${port}${slash}${path}`);
}

const DIAL_PROBLEMS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
};

/** As Go words it, for people who know these messages. */
function dialProblem(error: NodeJS.ErrnoException, address: string): string {
  const known = DIAL_PROBLEMS[error.code ?? ''];
  return known === undefined ? error.message : `dial tcp ${address}: ${known}`;
}

interface RawAnswer {
  readonly status: number;
  readonly body: string;
  readonly location: string;
}

function request(env: ClusterEnv, target: HttpTarget, userAgent: string): Promise<RawAnswer> {
  const url = urlOf(target);
  const headers: Record<string, string> = { 'user-agent': userAgent, accept: '*/*' };
  for (const { name, value } of target.headers) headers[name.toLowerCase()] = value;
  return new Promise((resolve, reject) => {
    // Certificates of probed servers are not checked: the node asks its own pods.
    const options = { headers, agent: false, rejectUnauthorized: false };
    const sent = target.isTls ? https.get(url, options) : http.get(url, options);
    const timer = env.after(target.timeoutMs, () => {
      sent.destroy(new Error('context deadline exceeded'));
    });
    sent.on('close', () => timer.cancel());
    sent.on('error', (error) => {
      const why = dialProblem(error, `${bracketed(target.host)}:${target.port}`);
      reject(new Error(`Get "${url.href}": ${why}`));
    });
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const end = (): void => {
        const body = Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString('utf8');
        const location = response.headers.location ?? '';
        resolve({ status: response.statusCode ?? 0, body, location });
        sent.destroy();
      };
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= MAX_BODY_BYTES) end();
      });
      response.on('end', end);
      response.on('error', reject);
    });
  });
}

function connect(env: ClusterEnv, host: string, port: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port });
    const timer = env.after(timeoutMs, () =>
      socket.destroy(new Error(`dial tcp ${bracketed(host)}:${port}: i/o timeout`)),
    );
    socket.on('close', () => timer.cancel());
    socket.on('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', (error) => {
      reject(new Error(dialProblem(error, `${bracketed(host)}:${port}`)));
    });
  });
}

interface HealthTarget {
  readonly host: string;
  readonly port: number;
  readonly service: string;
  readonly timeoutMs: number;
  readonly userAgent: string;
}

/** One unary call over HTTP/2 without TLS, as the gRPC protocol says (PROTOCOL-HTTP2). */
function checkHealth(env: ClusterEnv, target: HealthTarget): Promise<number> {
  const session = http2.connect(`http://${bracketed(target.host)}:${target.port}`);
  return new Promise<number>((resolve, reject) => {
    const timer = env.after(target.timeoutMs, () => {
      reject(new Error('timeout: health rpc did not complete'));
      session.destroy();
    });
    session.on('close', () => timer.cancel());
    session.on('error', reject);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': target.userAgent,
    });
    const chunks: Buffer[] = [];
    let status = 'unknown';
    const note = (headers: http2.IncomingHttpHeaders): void => {
      const value = headers['grpc-status'];
      if (typeof value === 'string') status = value;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => {
      if (status !== '0') return reject(new Error(`health rpc failed with code ${status}`));
      try {
        resolve(decodeHealthCheckResponse(Buffer.concat(chunks).subarray(5)).status);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    stream.end(framed(encodeHealthCheckRequest({ service: target.service })));
  }).finally(() => session.destroy());
}

/** An uncompressed gRPC message with its length before it. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}
