/**
 * Port forwarding as client-go speaks it inside SPDY/3.1 (k8s.io/kubelet portforward). The client
 * opens two streams a connection, `error` and `data`, which name the same request id and port. A
 * failure is told in plain text on the error stream; other connections go on.
 */
import { pipeline, type Duplex } from 'node:stream';
import type { ClusterEnv, ClusterTimer } from '../env.js';
import { SpdySession, type SpdyStream } from './spdy-session.js';

/** WebSocket sub-protocol that carries SPDY frames in binary messages (KEP-4006). */
export const PORT_FORWARD_TUNNEL = 'SPDY/3.1+portforward.k8s.io';

/** Time that the first stream of a pair waits for the other. */
const PAIR_TIMEOUT_MS = 30_000;

interface Pair {
  readonly timer: ClusterTimer;
  readonly port: number;
  data: SpdyStream | undefined;
  error: SpdyStream | undefined;
}

/**
 * Serves the connections that come over `transport`. `connect` opens one to a port of the pod; the
 * message of its rejection is shown to the user. Returns a function that ends everything.
 */
export function servePortForward(
  env: ClusterEnv,
  transport: Duplex,
  connect: (port: number) => Promise<Duplex>,
): () => void {
  const pairs = new Map<string, Pair>();
  const session = new SpdySession(transport, (stream) => {
    const requestId = stream.headers.get('requestid') ?? '';
    const port = portOf(stream);
    const type = stream.headers.get('streamtype');
    if (port === undefined || (type !== 'data' && type !== 'error')) {
      stream.destroy();
      return;
    }
    const pair = pairs.get(requestId) ?? begin(requestId, port);
    if (pair[type] !== undefined || pair.port !== port) {
      stream.destroy();
      return;
    }
    pair[type] = stream;
    stream.once('close', () => finishPair(requestId, pair));
    const { data, error } = pair;
    if (data === undefined || error === undefined) return;
    finishPair(requestId, pair);
    void forward(data, error, port, connect);
  });

  const begin = (requestId: string, port: number): Pair => {
    const timer = env.after(PAIR_TIMEOUT_MS, () => {
      pairs.delete(requestId);
      pair.data?.destroy();
      pair.error?.destroy();
    });
    const pair: Pair = { timer, port, data: undefined, error: undefined };
    pairs.set(requestId, pair);
    return pair;
  };
  const finishPair = (requestId: string, pair: Pair): void => {
    pair.timer.cancel();
    if (pairs.get(requestId) === pair) pairs.delete(requestId);
  };
  return () => session.close();
}

function portOf(stream: SpdyStream): number | undefined {
  const text = stream.headers.get('port') ?? '';
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

async function forward(
  data: SpdyStream,
  error: SpdyStream,
  port: number,
  connect: (port: number) => Promise<Duplex>,
): Promise<void> {
  error.resume();
  let target: Duplex;
  try {
    target = await connect(port);
  } catch (cause) {
    error.end(cause instanceof Error ? cause.message : String(cause));
    data.resume();
    data.end();
    return;
  }
  pipeline(data, target, () => undefined);
  pipeline(target, data, (failure) => {
    if (failure !== undefined && failure !== null && !data.destroyed) error.write(failure.message);
    error.end();
  });
}
