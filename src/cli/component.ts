import type { Socket } from 'node:net';
import { formatStartupError } from '../base/flags/startup-error.js';
import { createLogger } from '../base/observe/logger.js';
import type { LogFields, RootLogger } from '../base/observe/logger.js';
import { logCrashes } from './crashes.js';
import { ParentWatch } from './parent.js';
import { installSignals } from './signals.js';

/** A part of a cluster that runs as a process of its own. */
export interface Component {
  /** Shortcomings that it would not have on another machine: a sentence each, for people. */
  readonly limits: readonly string[];
  stop(): Promise<void>;
  report(): LogFields;
  /** Serves a connection that the parent accepted for it, with what the parent said of it. */
  accept(connection: Socket, message: PassedConnection): void;
}

/** Sent by the parent together with a connection. */
export interface PassedConnection {
  /** Port in the network of the receiver that the connection is meant for. */
  readonly port: number;
}

/** Sent to the parent when the component works. */
export interface ReadyMessage {
  readonly limits: readonly string[];
}

/**
 * Runs a component until a signal or its parent stops it. Returns the exit code.
 *
 * `subject` is for messages, as in `control plane`.
 */
export async function runComponent(
  subject: string,
  start: (log: RootLogger) => Promise<Component>,
): Promise<number> {
  const startedMs = performance.now();
  const parent = new ParentWatch();
  const log = createLogger({ level: 'info', format: 'console', outputs: [] });
  logCrashes(log);
  let component: Component;
  try {
    component = await start(log);
  } catch (error) {
    log.flush();
    process.stderr.write(formatStartupError(error));
    return 1;
  }
  process.on('message', (message: PassedConnection, connection?: Socket) => {
    // A client that has gone already leaves nothing to pass.
    if (connection !== undefined) component.accept(connection, message);
  });
  const ready: ReadyMessage = { limits: component.limits };
  process.send?.(ready);
  log.info(`${subject} works`, { 'took-ms': Math.round(performance.now() - startedMs) });
  return new Promise((resolve) => {
    const stop = installSignals({
      log,
      subject,
      report: () => component.report(),
      stop: async () => {
        await component.stop();
        log.info(`${subject} has stopped`);
        log.flush();
        resolve(0);
      },
    });
    parent.whenGone(() => stop('the parent process is gone'));
  });
}
