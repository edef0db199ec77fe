import { readableStack } from '../observe/caller.js';

/**
 * Refusals to start. Every one names its cause and the next step: its reader looks at a terminal or
 * a crash loop, not at this code.
 */
export class StartupError extends Error {
  override name = 'StartupError';
  /** The operator's next step: one sentence, or a command. */
  readonly nextStep: string;

  constructor(message: string, nextStep: string, options?: ErrorOptions) {
    super(message, options);
    this.nextStep = nextStep;
  }
}

const CANNOT_START = 'cannot start';
const REFUSAL = `mainstay: ${CANNOT_START}: `;
const NEXT_STEP = '\n  next step: ';

/**
 * The two lines a refusal prints on standard error; anything but a StartupError is shown with its
 * stack. `failure` is for commands that start nothing, as in `cannot load the image`.
 */
export function formatStartupError(error: unknown, failure = CANNOT_START): string {
  const prefix = `mainstay: ${failure}: `;
  if (error instanceof StartupError) {
    return `${prefix}${error.message}${NEXT_STEP}${error.nextStep}\n`;
  }
  const text = error instanceof Error ? readableStack(error.stack ?? error.message) : String(error);
  return `${prefix}unexpected error: ${text}${NEXT_STEP}report this together with the text above\n`;
}

/** A refusal as read back from what formatStartupError printed. */
export interface Refusal {
  readonly message: string;
  readonly nextStep: string;
}

/** The last refusal in the lines that a process has printed. */
export function findRefusal(lines: readonly string[]): Refusal | undefined {
  const text = lines.join('\n');
  const at = text.lastIndexOf(REFUSAL);
  if (at < 0) return undefined;
  const [message = '', nextStep = ''] = text.slice(at + REFUSAL.length).split(NEXT_STEP);
  return { message: message.trim(), nextStep: nextStep.trim() };
}

/** Refusal to start as `url` cannot be listened on. `flag`: the URL's flag, without dashes. */
export function listenFailure(url: string, flag: string, cause: unknown): StartupError {
  switch (errorCode(cause)) {
    case 'EADDRINUSE':
      return new StartupError(
        `${url} is already in use by another process`,
        `stop that process (find it with "ss ${url.startsWith('unix') ? '-lxp' : '-ltnp'}"), or give this member another address with --${flag}`,
        { cause },
      );
    case 'EACCES':
      return new StartupError(
        `not allowed to listen on ${url}`,
        `use a port above 1023 with --${flag}, or run with the right to bind low ports`,
        { cause },
      );
    case 'EADDRNOTAVAIL':
      return new StartupError(
        `${url} is not an address of this machine`,
        `give --${flag} an address of this machine, or 0.0.0.0 for all of them`,
        { cause },
      );
    default:
      return new StartupError(`cannot listen on ${url}: ${errorText(cause)}`, `check --${flag}`, {
        cause,
      });
  }
}

/** Refusal to start as the data directory (or the directory of the log) cannot be used. */
export function dataDirFailure(dir: string, cause: unknown): StartupError {
  switch (errorCode(cause)) {
    case 'EACCES':
    case 'EPERM':
      return new StartupError(
        `the data directory ${dir} cannot be written`,
        `give the user that runs mainstay ownership of it (chown), or choose another one with --data-dir`,
        { cause },
      );
    case 'EROFS':
      return new StartupError(
        `the data directory ${dir} is on a read-only file system`,
        'choose a writable place with --data-dir',
        { cause },
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new StartupError(
        `the data directory ${dir} is not a directory`,
        'choose another place with --data-dir',
        { cause },
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new StartupError(
        `no space is left on the disk that holds ${dir}`,
        'free some space, or choose a place on another disk with --data-dir',
        { cause },
      );
    case 'EMFILE':
    case 'ENFILE':
      return new StartupError(
        `there are no file descriptors left to open the files in ${dir}`,
        'raise the limit of open files (ulimit -n, LimitNOFILE of a systemd unit)',
        { cause },
      );
    case 'EIO':
      return new StartupError(
        `the disk that holds ${dir} reports an error`,
        'check the disk (dmesg, smartctl); restore the data from a backup when it is lost',
        { cause },
      );
    default:
      return new StartupError(
        `the data directory ${dir} cannot be used: ${errorText(cause)}`,
        'check the directory, or choose another one with --data-dir',
        { cause },
      );
  }
}

/** The operating system's error code, or an empty text. */
function errorCode(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string')
    return error.code;
  return '';
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
