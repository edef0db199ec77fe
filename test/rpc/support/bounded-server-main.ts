/** A process with few descriptors that serves calls and writes files; run by `descriptors.test.ts`. */
import { closeSync, openSync } from 'node:fs';
import { createLogger } from '../../../src/base/observe/logger.js';
import {
  connectionBound,
  ConnectionBudget,
  descriptorLimit,
} from '../../../src/base/net/descriptors.js';
import { Http2Transport } from '../../../src/rpc/http2/http2-transport.js';
import { listenMux } from '../../../src/rpc/port-mux.js';
import type { Method } from '../../../src/rpc/service.js';
import { env, LIMITS } from './transports.js';

export interface BoundedOrder {
  /** `openFiles` opens as many files as are kept back for files and peers, and closes them again. */
  readonly kind: 'report' | 'openFiles';
}

export interface BoundedReport {
  readonly port: number;
  readonly limit: number | undefined;
  readonly bound: number;
  readonly open: number;
  readonly failure: string | undefined;
}

/** The log segments, tables and peers of a member are far fewer. */
const FILES = 100;

const ECHO: Method = { kind: 'unary', handle: (body, call) => call.reply(body.slice()) };
const limit = descriptorLimit();
const log = createLogger({ level: 'fatal', format: 'json', outputs: ['stderr'] });
const budget = new ConnectionBudget('clients', connectionBound(limit), log, env.clock);
const transport = new Http2Transport({
  table: new Map([['/test.Svc/Echo', ECHO]]),
  limits: LIMITS,
  env,
});

function openFiles(): string | undefined {
  const files: number[] = [];
  try {
    for (let n = 0; n < FILES; n++) files.push(openSync('/dev/null', 'r'));
    return undefined;
  } catch (error) {
    return String(error);
  } finally {
    for (const file of files) closeSync(file);
  }
}

listenMux({ env, transport, listen: { host: '127.0.0.1', port: 0 }, budget }, (error, listener) => {
  if (listener === null) throw error ?? new Error('not listening');
  process.on('message', (order: BoundedOrder) => {
    const failure = order.kind === 'openFiles' ? openFiles() : undefined;
    const { bound, open } = budget;
    process.send?.({ port: listener.port, limit, bound, open, failure } satisfies BoundedReport);
  });
});
process.on('disconnect', () => process.exit());
