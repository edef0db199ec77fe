import { existsSync } from 'node:fs';
import { formatStartupError, StartupError } from '../base/flags/startup-error.js';
import { createLogger } from '../base/observe/logger.js';
import type { Logger, RootLogger } from '../base/observe/logger.js';
import { effectiveConfig } from '../server/config/effective.js';
import { parseServerConfig } from '../server/config/parse.js';
import type { ServerConfig } from '../server/config/server-config.js';
import type { RunningServer } from '../server/run.js';
import { stateReport } from '../server/upkeep/state-report.js';
import { logCrashes } from './crashes.js';
import { ParentWatch } from './parent.js';
import { installSignals } from './signals.js';

/**
 * `mainstay server`: runs one member until a signal or its parent stops it. Flags are etcd's.
 *
 * Returns the process's exit code.
 */
export async function runServerCommand(argv: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  const parent = new ParentWatch();
  const parsed = parseServerConfig(argv, process.env);
  if (parsed.kind === 'exit') {
    process.stdout.write(parsed.stdout);
    process.stderr.write(parsed.stderr);
    return parsed.code;
  }
  let log: RootLogger | undefined;
  let server: RunningServer;
  try {
    log = createLogger(parsed.config.log);
    logCrashes(log);
    logStart(log, parsed.config, parsed.warnings);
    // Not before it is needed: --version, --help and refusals are quicker without the rest of the server.
    const { startServer } = await import('../server/run.js');
    server = await startServer(parsed.config, log);
  } catch (error) {
    refuse(error, parsed.config, log);
    return 1;
  }
  const { name } = parsed.config;
  void server.ready.then(() =>
    log.info('ready to serve client requests', {
      name,
      'member-id': server.memberId,
      'client-urls': server.clientUrls,
      'took-ms': Math.round(performance.now() - startedMs),
    }),
  );
  const stop = installSignals({
    log,
    subject: 'member',
    stop: () => server.stop(),
    report: () => stateReport(server.member),
  });
  parent.whenGone(() => stop('the parent process is gone'));
  await server.closed;
  log.flush();
  return 0;
}

function logStart(log: Logger, config: ServerConfig, warnings: readonly string[]): void {
  const isInitialized = existsSync(config.walDir ?? `${config.dataDir}/member/wal`);
  log.info('starting an etcd server', effectiveConfig(config, isInitialized));
  for (const warning of warnings) log.warn(warning);
}

/** Prints why the member did not start, as the last thing it writes. */
function refuse(error: unknown, config: ServerConfig, log: Logger | undefined): void {
  const isElsewhere = !config.log.outputs.some((output) =>
    /^(default|stdout|stderr)$/.test(output),
  );
  if (isElsewhere) {
    log?.fatal('cannot start', {
      error,
      'next-step': error instanceof StartupError ? error.nextStep : '',
    });
  }
  // Lines that are still on their way would follow the reason.
  log?.flush();
  process.stderr.write(formatStartupError(error));
}
