import { parseServerConfig } from '../server/config/parse.js';
import type { ServerConfig } from '../server/config/server-config.js';
import { formatStartupError } from '../base/flags/startup-error.js';
import { ETCD_VERSION, mainstayVersion } from '../base/flags/version.js';
import { createLogger } from '../base/observe/logger.js';
import type { Logger, RootLogger } from '../base/observe/logger.js';
import { startServer } from '../server/run.js';
import type { RunningServer } from '../server/run.js';

/**
 * `mainstay server`: runs one member until it is told to stop. Flags are etcd's.
 *
 * Returns the process's exit code.
 */
export async function runServerCommand(argv: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  const parsed = parseServerConfig(argv, process.env);
  if (parsed.kind === 'exit') {
    process.stdout.write(parsed.stdout);
    process.stderr.write(parsed.stderr);
    return parsed.code;
  }
  let log: RootLogger;
  let server: RunningServer;
  try {
    log = createLogger(parsed.config.log);
    logCrashes(log);
    logStart(log, parsed.config, parsed.warnings);
    server = await startServer(parsed.config, log);
  } catch (error) {
    process.stderr.write(formatStartupError(error));
    return 1;
  }
  void server.ready.then(() =>
    log.info('ready to serve client requests', {
      name: parsed.config.name,
      'member-id': server.memberId,
      'client-urls': server.clientUrls,
      'took-ms': Math.round(performance.now() - startedMs),
    }),
  );
  stopOnSignals(server, log);
  await server.closed;
  log.flush();
  return 0;
}

function logStart(log: Logger, config: ServerConfig, warnings: readonly string[]): void {
  log.info('starting a member', {
    version: mainstayVersion(),
    'etcd-version': ETCD_VERSION,
    node: process.versions.node,
    pid: process.pid,
    name: config.name,
    'data-dir': config.dataDir,
    'listen-peer-urls': config.listenPeerUrls.map((url) => url.text),
    'listen-client-urls': config.listenClientUrls.map((url) => url.text),
    'quota-bytes': config.quotaBytes,
  });
  for (const warning of warnings) log.warn(warning);
}

/** An error nobody handled means that a promise of the program is broken: continuing could lose data. */
function logCrashes(log: Logger): void {
  const crash = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    log.fatal('unhandled error, stopping', { error, stack });
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}

/**
 * The first SIGINT or SIGTERM stops the member gracefully, a second one ends the process at once. A member that was
 * started over an IPC channel also stops when its parent is gone.
 */
function stopOnSignals(server: RunningServer, log: Logger): void {
  let isStopping = false;
  const stop = (cause: string): void => {
    if (isStopping) {
      log.warn('stopping at once', { cause });
      log.flush();
      process.exit(1);
    }
    isStopping = true;
    log.info('stopping; a second signal ends the process at once', { cause });
    server.stop().catch((error: unknown) => {
      log.fatal('stopping failed', { error });
      process.exit(1);
    });
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  if (process.connected) process.on('disconnect', () => stop('the parent process is gone'));
}
