/** The commands of `mainstay` other than `server`, and the help for all. */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { versionLine } from '../base/flags/version.js';
import type { ImageFlags } from './image-command.js';
import type { NodeFlags } from './node-command.js';
import type { PublishedPort } from './up/local-cluster.js';
import type { UpOptions } from './up/up-command.js';

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
    .description(
      'A small Kubernetes, and the etcd v3-compatible, replicated store that it stands on.',
    )
    .version(versionLine(), '-V, --version')
    .helpCommand(true)
    .exitOverride();
  program
    .command('server')
    .summary("run one member, with etcd's flags")
    .description("Runs one member. Takes etcd's flags; mainstay server --help explains them.")
    .exitOverride();
  addUp(program, setCode);
  addDown(program, setCode);
  addKubectl(program);
  addImage(program, setCode);
  addParts(program, setCode);
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

function addUp(program: Command, setCode: (code: number) => void): void {
  program
    .command('up')
    .summary('run a whole cluster on this machine')
    .description(
      'Runs a cluster on this machine until Ctrl-C: a replicated store, the control plane of Kubernetes on it, and ' +
        'nodes that run containers. Shows how it is reached, and starts again what dies.',
    )
    .option('-n, --nodes <count>', 'number of nodes that run pods; 2 when left out', parseNodes)
    .option(
      '-m, --store-members <count>',
      'number of members of the store; 3 when left out',
      parseMembers,
    )
    .option('--store-only', 'run the store alone', false)
    .option(
      '-d, --dir <directory>',
      'keep data and logs there and continue from them; a temporary directory when left out',
    )
    .option(
      '-p, --client-port <port>',
      'first port on which members of the store serve their clients; with --store-only the ports after it serve peers too',
      parsePort,
    )
    .option(
      '--api-port <port>',
      'port of the API server on the loopback address; 6443, or a free one, when left out',
      parsePort,
    )
    .option(
      '--publish <port>',
      'serve a node port (TCP) on the loopback address too, as NODEPORT or PORT:NODEPORT; can be repeated',
      parsePublished,
      [],
    )
    .option('--keep', 'keep the temporary directory when the cluster stops', false)
    .option('--keep-containers', 'leave containers running when the cluster stops', false)
    .exitOverride()
    .action(async (options: UpOptions) => {
      const { runUpCommand } = await import('./up/up-command.js');
      setCode(await runUpCommand(options));
    });
}

function addDown(program: Command, setCode: (code: number) => void): void {
  program
    .command('down')
    .summary('remove what a killed cluster has left')
    .description(
      'Removes what is left of a cluster whose `up` was killed: containers, mounts, networks and processes. Data in ' +
        'the directory stays.',
    )
    .requiredOption('-d, --dir <directory>', 'the directory of the cluster')
    .exitOverride()
    .action(async (options: { readonly dir: string }) => {
      const { runDownCommand } = await import('./up/down-command.js');
      setCode(await runDownCommand(options));
    });
}

/** For the help alone: main.ts runs it, since all that follows belongs to kubectl. */
function addKubectl(program: Command): void {
  program
    .command('kubectl')
    .summary('run kubectl on the cluster that was started last')
    .description(
      'Runs kubectl with the arguments that follow on the cluster that runs on this machine. Takes the kubectl on the ' +
        'path, or fetches one when there is none. `--dir <directory>` as the first argument names the cluster.',
    )
    .exitOverride();
}

function addImage(program: Command, setCode: (code: number) => void): void {
  const image = program
    .command('image')
    .description('Works on the images of a running cluster.')
    .exitOverride();
  image
    .command('load <file>')
    .summary('put an image from a file on the nodes')
    .description(
      'Puts an image on the nodes of the cluster that was started last: an OCI layout (directory or archive), or what ' +
        '`docker save` writes.',
    )
    .option('-d, --dir <directory>', 'the directory of another cluster')
    .option('--node <name>', 'one node alone; all when left out')
    .exitOverride()
    .action(async (file: string, options: ImageFlags) => {
      const { runImageLoad } = await import('./image-command.js');
      setCode(await runImageLoad(file, options));
    });
}

/** Processes that `up` starts. */
function addParts(program: Command, setCode: (code: number) => void): void {
  const dir = ['--dir <directory>', 'the directory of the cluster'] as const;
  program
    .command('control-plane', { hidden: true })
    .requiredOption(...dir)
    .exitOverride()
    .action(async (options: { readonly dir: string }) => {
      const { runControlPlaneCommand } = await import('./control-plane-command.js');
      setCode(await runControlPlaneCommand(options));
    });
  program
    .command('node', { hidden: true })
    .requiredOption(...dir)
    .requiredOption('--name <node>', 'its name in the cluster')
    .option('--remove', 'remove its containers instead of running it', false)
    .exitOverride()
    .action(async (options: NodeFlags) => {
      const { runNodeCommand } = await import('./node-command.js');
      setCode(await runNodeCommand(options));
    });
}

const MAX_MEMBERS = 9;
const MAX_NODES = 50;

function parseMembers(text: string): number {
  return parseCount(text, MAX_MEMBERS);
}

function parseNodes(text: string): number {
  return parseCount(text, MAX_NODES);
}

function parseCount(text: string, max: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= max) return count;
  throw new InvalidArgumentError(`It must be a number from 1 to ${max}.`);
}

function parsePublished(text: string, before: readonly PublishedPort[]): PublishedPort[] {
  const [first = '', second = first, ...more] = text.split(':');
  if (more.length > 0) throw new InvalidArgumentError('It must be NODEPORT or PORT:NODEPORT.');
  return [...before, { hostPort: parsePort(first), nodePort: parsePort(second) }];
}

function parsePort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('It must be a number from 1 to 65535.');
}
