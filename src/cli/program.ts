/** The commands of `mainstay` other than `server`, and the help for all. */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { versionLine } from '../base/flags/version.js';

/** Runs one command line (without the program's name) to its end and returns the exit code. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  let code = 0;
  const program = buildProgram((result) => (code = result));
  if (argv.length === 0) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    // Commander has printed its message already.
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  return code;
}

function buildProgram(setCode: (code: number) => void): Command {
  const program = new Command('mainstay')
    .description('An etcd v3-compatible, Raft-replicated key-value store.')
    .version(versionLine(), '-V, --version')
    .helpCommand(true)
    .exitOverride();
  program
    .command('server')
    .summary("run one member, with etcd's flags")
    .description("Runs one member. Takes etcd's flags; mainstay server --help explains them.")
    .exitOverride();
  program
    .command('up')
    .summary('run a whole cluster on this machine')
    .description(
      'Runs a cluster on this machine until Ctrl-C: starts its members as processes of their own, shows where they ' +
        'can be reached and who leads, and restarts a member that dies.',
    )
    .option('-n, --nodes <count>', 'number of members', parseCount, 3)
    .option(
      '-d, --dir <directory>',
      'keep data and logs there and continue from them; a temporary directory when left out',
    )
    .option(
      '-p, --client-port <port>',
      'first client port; the ports after it serve peers and the other members',
      parsePort,
    )
    .option('--keep', 'keep the temporary directory when the cluster stops', false)
    .exitOverride()
    .action(async (options: UpFlags) => {
      const { runUpCommand } = await import('./up/up-command.js');
      setCode(await runUpCommand(options));
    });
  const wal = program.command('wal').description("Works on a stopped member's log.").exitOverride();
  wal
    .command('repair')
    .summary('make a damaged log usable again')
    .description(
      'Makes the damaged log of a stopped member usable again, at the price of what cannot be read. Only for a member ' +
        'that is alone: one that has peers should be given an empty data directory and be filled by them instead.',
    )
    .requiredOption('--data-dir <directory>', "the member's data directory")
    .option('--wal-dir <directory>', "the log's directory, if it is a separate one")
    .exitOverride()
    .action(async (options: { readonly dataDir: string; readonly walDir?: string }) => {
      const { runWalRepair } = await import('./wal-repair.js');
      setCode(await runWalRepair(options));
    });
  return program;
}

interface UpFlags {
  readonly nodes: number;
  readonly dir?: string;
  readonly clientPort?: number;
  readonly keep: boolean;
}

const MAX_NODES = 9;

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_NODES) return count;
  throw new InvalidArgumentError(`It must be a number from 1 to ${MAX_NODES}.`);
}

function parsePort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('It must be a number from 1 to 65535.');
}
