/** Streams of a running container: its output by its log, its input by its monitor's socket. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Logger } from '../../../base/observe/logger.js';
import type { ClusterEnv } from '../../env.js';
import type { ContainerEntry } from '../container-record.js';
import { LogTail } from '../log-tail.js';
import { RuntimeError, type Session, type SessionOptions } from '../runtime.js';
import { resizeTerminal } from './monitor.js';

/** Number of SOCK_SEQPACKET, the type of conmon's socket. */
const SEQPACKET = 5;

export interface AttachTools {
  /** Node.js has no sockets of packets, so socat writes to the monitor's. */
  readonly socat: string | undefined;
  readonly env: ClusterEnv;
  readonly log: Logger;
}

/** `bundle` is the container's directory. Rejects with RuntimeError. */
export async function attach(
  entry: ContainerEntry,
  bundle: string,
  options: SessionOptions,
  tools: AttachTools,
): Promise<Session> {
  const { config, logPath } = entry.record;
  const takesInput = options.stdin && config.hasStdin;
  const tail = await LogTail.open(logPath, tools.env);
  const input = takesInput ? connectInput(bundle, tools.socat) : undefined;
  // The last lines are in the log before the exit code is in its file.
  const ended = Promise.race([entry.whenEnded(), tail.whenClosed]).then(async () => {
    input?.kill();
    await tail.finish();
    return undefined;
  });
  return {
    stdin: input?.stdin ?? undefined,
    stdout: tail.stdout,
    stderr: config.hasTty ? undefined : tail.stderr,
    resize: ({ width, height }) => {
      resizeTerminal(bundle, width, height).catch((error: unknown) =>
        tools.log.debug('terminal keeps its size', { id: entry.record.id, error }),
      );
    },
    ended,
    close: () => {
      input?.kill();
      void tail.finish();
    },
  };
}

/**
 * Input of the container. Its output comes by its log; the monitor's copy is dropped, since the
 * monitor would wait for a reader.
 */
function connectInput(bundle: string, socat: string | undefined): ChildProcess {
  if (socat === undefined) {
    throw new RuntimeError(
      'Unimplemented',
      'standard input of a container needs the program socat on the node (Debian package socat)',
    );
  }
  const child = spawn(
    socat,
    ['STDIN!!OPEN:/dev/null,wronly', `UNIX-CONNECT:attach,type=${SEQPACKET}`],
    {
      // Relative: addresses of sockets have at most 107 bytes.
      cwd: bundle,
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  child.on('error', () => undefined);
  child.stdin?.on('error', () => undefined);
  return child;
}
