/**
 * File descriptors: the limit of this process, the share that connections may take, and the rule at
 * the bound.
 *
 * Files and connections to peers come out of the same limit as the connections of clients. Without
 * a bound, clients that only connect take them all. The member then ends, because it cannot open
 * its next log segment. etcd keeps 150 back for the same reason (`reservedInternalFDNum` in
 * server/embed/etcd.go).
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Clock } from '../env/env.js';
import { StartupError } from '../flags/startup-error.js';
import type { Logger } from '../observe/logger.js';

/** Descriptors no connection of a client may take: those of files, and PEER_CONNECTIONS. */
const RESERVED_DESCRIPTORS = 150;
/** Connections accepted on the peer URLs: two of each member that dials, and some that are only asked for its version. */
export const PEER_CONNECTIONS = 50;
/** Fewer connections are no use. */
const MIN_CONNECTIONS = 8;
/** Between two lines of log about refused connections. */
const REPORT_INTERVAL_MS = 60_000;

/**
 * The soft limit in the text of /proc/<pid>/limits; undefined when it is absent or unlimited.
 */
export function parseDescriptorLimit(limits: string): number | undefined {
  const soft = /^Max open files +(\d+) /m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

/** The soft limit of this process; undefined where the system has no /proc. */
export function descriptorLimit(): number | undefined {
  try {
    return parseDescriptorLimit(readFileSync('/proc/self/limits', 'latin1'));
  } catch {
    return undefined;
  }
}

/**
 * Number of connections a process with `limit` descriptors may accept, over all its listeners.
 *
 * Throws: StartupError when the limit leaves no room for them.
 */
export function connectionBound(limit: number | undefined): number {
  if (limit === undefined) return Infinity;
  const bound = limit - RESERVED_DESCRIPTORS;
  if (bound >= MIN_CONNECTIONS) return bound;
  throw new StartupError(
    `the limit of ${limit} file descriptors is too low`,
    `set it to ${RESERVED_DESCRIPTORS + MIN_CONNECTIONS} at least, with ulimit -n or LimitNOFILE of the service`,
  );
}

/**
 * The connections accepted by all listeners of a process together. One that comes while all are
 * taken is closed at once, so that a client with several endpoints turns to the next. As soon as
 * one ends, the next to come is accepted.
 */
export class ConnectionBudget {
  readonly bound: number;
  open = 0;
  /** Owner of these connections, for the log. */
  private readonly name: string;
  private readonly log: Logger;
  private readonly clock: Clock;
  private refused = 0;
  private lastReportMs = -Infinity;

  constructor(name: string, bound: number, log: Logger, clock: Clock) {
    this.name = name;
    this.bound = bound;
    this.log = log;
    this.clock = clock;
  }

  /** The listener for a server's 'connection' event that passes on what the budget has room for. */
  guard(accept: (socket: Socket) => void): (socket: Socket) => void {
    return (socket) => {
      if (this.admit(socket)) accept(socket);
    };
  }

  private admit(socket: Socket): boolean {
    if (this.open >= this.bound) {
      socket.on('error', () => {});
      socket.destroy();
      this.refused++;
      this.report();
      return false;
    }
    this.open++;
    socket.once('close', () => this.open--);
    return true;
  }

  private report(): void {
    const nowMs = this.clock.monoMs();
    if (nowMs - this.lastReportMs < REPORT_INTERVAL_MS) return;
    this.log.warn('closing new connections: file descriptors are kept for other uses', {
      of: this.name,
      'open-connections': this.open,
      'refused-connections': this.refused,
      'reserved-descriptors': RESERVED_DESCRIPTORS,
      next: 'close idle clients, or raise the limit with ulimit -n or LimitNOFILE of the service',
    });
    this.lastReportMs = nowMs;
    this.refused = 0;
  }
}
