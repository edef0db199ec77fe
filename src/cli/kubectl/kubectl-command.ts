import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { findProgram } from '../../base/programs.js';
import { exitCodeOf } from '../outcome.js';
import { runningCluster } from '../up/current-cluster.js';
import { installKubectl } from './install-kubectl.js';

const SIGNAL_EXIT_BASE = 128;

/**
 * `mainstay kubectl ARGS...`: runs kubectl on the cluster that was started last, or on that of
 * `--dir D` before all other arguments. Returns kubectl's exit code.
 */
export function runKubectlCommand(argv: readonly string[]): Promise<number> {
  return exitCodeOf(async () => {
    const { dir, args } = parse(argv);
    const kubeconfig = join(await runningCluster(dir), 'kubeconfig');
    const program = findProgram('kubectl') ?? (await installKubectl());
    return run(program, args, { ...process.env, KUBECONFIG: kubeconfig });
  }, 'cannot run kubectl');
}

function parse(argv: readonly string[]): { dir: string | undefined; args: readonly string[] } {
  const [first = '', second, ...rest] = argv;
  if (first.startsWith('--dir=')) return { dir: first.slice('--dir='.length), args: argv.slice(1) };
  if (first !== '--dir') return { dir: undefined, args: argv };
  if (second !== undefined) return { dir: second, args: rest };
  throw new StartupError('--dir needs a directory', 'give the --dir that mainstay up had');
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit', env });
  // A terminal sends Ctrl-C to both; kubectl decides what it means.
  const ignore = (): void => undefined;
  const forward = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', ignore);
  process.on('SIGTERM', forward);
  return new Promise((done, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      process.off('SIGINT', ignore);
      process.off('SIGTERM', forward);
      done(code ?? SIGNAL_EXIT_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
