/**
 * A process of its own that keeps thousands of silent connections to a port, run by
 * `http2-fuzz.test.ts`. So the test's own process need not have descriptors for both ends.
 */
import * as net from 'node:net';
import { PREFACE } from '../../../src/rpc/http2/frames.js';
import { request, settings } from './raw-client.js';
import { until } from './transports.js';

export interface ClientsOrder {
  /** `open` opens them, `call` makes a call on each `every`th and reports how many were answered, `close` ends all. */
  readonly kind: 'open' | 'call' | 'close';
  readonly port: number;
  readonly count: number;
  readonly every: number;
  readonly path: string;
}

export interface ClientsReport {
  readonly kind: ClientsOrder['kind'];
  /** Connections that are open still. */
  readonly open: number;
  readonly answered: number;
  readonly error: string;
}

/** Opened at a time: fewer than a listener lets wait. */
const BATCH = 250;
const WITHIN_MS = 30_000;

interface Connection {
  readonly socket: net.Socket;
  /** The end of what was received. */
  tail: Buffer;
  bytes: number;
}

const connections: Connection[] = [];

function open(port: number): Connection {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  const connection: Connection = { socket, tail: Buffer.alloc(0), bytes: 0 };
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    connection.bytes += chunk.length;
    connection.tail = Buffer.from(chunk.subarray(-100));
  });
  socket.write(GREETING);
  return connection;
}

const GREETING = Buffer.concat([PREFACE, settings()]);

async function obey(order: ClientsOrder): Promise<number> {
  if (order.kind === 'open') {
    while (connections.length < order.count) {
      const batch = Array.from({ length: Math.min(BATCH, order.count - connections.length) }, () =>
        open(order.port),
      );
      connections.push(...batch);
      const failed = (): boolean => batch.some((each) => each.socket.destroyed);
      const greeted = (): boolean => batch.every((each) => each.bytes > 0);
      await until(() => greeted() || failed(), `${connections.length} are greeted`, WITHIN_MS);
      if (failed()) throw new Error(`a connection failed after ${connections.length - BATCH}`);
    }
    return 0;
  }
  if (order.kind === 'call') {
    const chosen = connections.filter((_, n) => n % order.every === 0);
    for (const each of chosen) each.socket.write(request(1, order.path, Buffer.from('still here')));
    const answered = (): Connection[] => chosen.filter((each) => each.tail.includes('still here'));
    await until(() => answered().length === chosen.length, 'all are answered', WITHIN_MS);
    return answered().length;
  }
  // With a reset: thousands of ports in TIME_WAIT would be missing elsewhere.
  for (const { socket } of connections) socket.resetAndDestroy();
  return 0;
}

process.on('message', (order: ClientsOrder) => {
  const report = (answered: number, error: string): void => {
    const left = connections.filter(({ socket }) => !socket.destroyed).length;
    process.send?.({ kind: order.kind, open: left, answered, error } satisfies ClientsReport);
    if (order.kind === 'close') process.disconnect();
  };
  obey(order).then(
    (answered) => report(answered, ''),
    (error: unknown) => report(0, String(error)),
  );
});
process.on('disconnect', () => process.exit());
