import { readdirSync } from 'node:fs';
import type { LogFields, RootLogger } from '../base/observe/logger.js';

/** Parts of the process that the signals act on. */
export interface SignalTarget {
  readonly log: RootLogger;
  /** As in `state of the member`. */
  readonly subject: string;
  /** Stops gracefully. */
  stop(): Promise<void>;
  /** Report of its state. */
  report(): LogFields;
}

/**
 * Installs the signals of a process that serves.
 *
 * SIGINT, SIGTERM: stop gracefully; a second one ends the process at once.
 * SIGQUIT: log what goes on, and continue.
 * SIGHUP: open log files anew, and continue.
 * SIGUSR1, SIGUSR2: ignored. Without a listener the first one opens Node's debugger to every user of the machine, and
 * the second one ends the process.
 *
 * Returns the function that stops gracefully, for other causes than a signal.
 */
export function installSignals(target: SignalTarget): (cause: string) => void {
  const { log } = target;
  let isStopping = false;
  const stopFor = (cause: string): void => {
    if (isStopping) {
      log.warn('stopping at once', { cause });
      log.flush();
      process.exit(1);
    }
    isStopping = true;
    log.info('stopping; a second signal ends the process at once', { cause });
    target.stop().catch((error: unknown) => {
      log.fatal('stopping failed', { error });
      process.exit(1);
    });
  };
  process.on('SIGINT', stopFor);
  process.on('SIGTERM', stopFor);
  process.on('SIGQUIT', () => logState(target));
  process.on('SIGHUP', () => reload(log));
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
    process.on(signal, () => log.info('a signal without a meaning here is ignored', { signal }));
  }
  return stopFor;
}

function logState(target: SignalTarget): void {
  const { log, subject } = target;
  log.info(`state of the ${subject}`, target.report());
  log.info('state of the process', processState());
  log.flush();
}

const MIB = 1024 * 1024;

function processState(): LogFields {
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  return {
    'up-seconds': Math.round(process.uptime()),
    'cpu-user-seconds': cpu.user / 1e6,
    'cpu-system-seconds': cpu.system / 1e6,
    'event-loop-utilization': round(performance.eventLoopUtilization().utilization),
    'resident-mib': round(memory.rss / MIB),
    'heap-used-mib': round(memory.heapUsed / MIB),
    'heap-total-mib': round(memory.heapTotal / MIB),
    'external-mib': round(memory.external / MIB),
    'array-buffers-mib': round(memory.arrayBuffers / MIB),
    'open-descriptors': openDescriptors(),
    connections: (handles['TCPSocketWrap'] ?? 0) + (handles['PipeWrap'] ?? 0),
    'open-handles': handles,
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function openDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // Only Linux has this list.
    return -1;
  }
}

function reload(log: RootLogger): void {
  try {
    log.reopen();
    log.info('log files were opened anew', { signal: 'SIGHUP' });
  } catch (error) {
    log.error('log files were not opened anew; the old ones stay in use', { error });
  }
}
