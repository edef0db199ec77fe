/**
 * The `mainstay` command. `server` takes etcd's flags and is parsed by the server's own flag table;
 * what follows `kubectl` is kubectl's; everything else is parsed by commander. Called by bin/mainstay.js. Each command is loaded only when it is run: `up` itself
 * needs no server, and `--version` needs nothing.
 */
import { versionLine } from '../base/flags/version.js';

/** Runs one command line (without the program's name) to its end and returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  if (command === 'server') {
    const { runServerCommand } = await import('./server-command.js');
    return runServerCommand(rest);
  }
  if (command === 'kubectl') {
    const { runKubectlCommand } = await import('./kubectl/kubectl-command.js');
    return runKubectlCommand(rest);
  }
  if (argv.length === 1 && (command === '--version' || command === '-V')) {
    process.stdout.write(`${versionLine()}\n`);
    return 0;
  }
  const { runProgram } = await import('./program.js');
  return runProgram(argv);
}
