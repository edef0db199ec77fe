/** Shared by the connections of one transport. */
import type { BlockPool } from './output.js';
import type { Deadlines } from './deadlines.js';
import type { GzipWorkers } from './gzip.js';
import type { HeadBuilder } from './request-head.js';
import type { HttpRequestHandler } from './http-exchange.js';
import type { ReadTurns } from './read-turns.js';
import type { Http2Connection } from './connection.js';
import type { SlicedWork } from '../../base/slices/sliced-work.js';
import type { ServiceTable, TransportObserver, TransportOptions } from '../service.js';
import type { TransportEnv } from '../transport.js';

export interface ConnectionHost {
  readonly table: ServiceTable;
  /** Names of the table's services. */
  readonly services: ReadonlySet<string>;
  readonly limits: TransportOptions;
  /** Calls a connection may have open. */
  readonly maxStreams: number;
  readonly env: TransportEnv;
  readonly observer: TransportObserver | undefined;
  readonly onHttpRequest: HttpRequestHandler | undefined;
  readonly pool: BlockPool;
  readonly deadlines: Deadlines;
  readonly heads: HeadBuilder;
  readonly gzip: GzipWorkers;
  readonly reads: ReadTurns;
  /** Cancels the calls of connections that ended. */
  readonly cancellations: SlicedWork;
  /** For decoding Huffman strings. */
  readonly scratch: Buffer;
  /** Queued data that may still be written in this turn of the event loop; taken from by the connections. */
  turnBytes: number;
  /** Calls `flush` on the connection when the events at hand have been handled. */
  scheduleFlush(connection: Http2Connection): void;
  onClosed(connection: Http2Connection): void;
}
