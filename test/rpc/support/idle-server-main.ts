/**
 * A process of its own with the transport of our own and nothing else in it, so that its memory is
 * the cost of connections. Run by `http2-fuzz.test.ts`.
 */
import type { Method } from '../../../src/rpc/service.js';
import { startRawServer } from './raw-client.js';

export interface ServerOrder {
  /** `advance` lets the time of the transport pass; every order is answered with a report. */
  readonly kind: 'report' | 'advance' | 'stop';
  readonly advanceMs: number;
}

export interface ServerReport {
  readonly port: number;
  readonly connections: number;
  /** Resident memory after a collection. */
  readonly rssBytes: number;
}

const ECHO: Method = { kind: 'unary', handle: (body, call) => call.reply(body.slice()) };
const server = await startRawServer(new Map([['/test.Svc/Echo', ECHO]]));

process.on('message', (order: ServerOrder) => {
  if (order.kind === 'advance') server.env.advance(order.advanceMs);
  globalThis.gc?.();
  process.send?.({
    port: server.port,
    connections: server.transport.connectionCount,
    rssBytes: process.memoryUsage.rss(),
  } satisfies ServerReport);
  if (order.kind === 'stop') void server.close().then(() => process.disconnect());
});
process.on('disconnect', () => process.exit());
