/** Runs a TypeScript file of this folder as a process with enough file descriptors, and talks to it in turns. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');
const NO_DESCRIPTORS = 70;

export class Child<Order, Report> {
  private readonly process: ChildProcess;
  private readonly file: string;

  /**
   * Gives the process that many descriptors at least, or no more than that.
   *
   * Requires: a system whose hard limit of descriptors is at least `descriptors`, or the right to raise it.
   */
  constructor(file: string, descriptors: number, bound: 'atLeast' | 'atMost' = 'atLeast') {
    this.file = file;
    // Node itself raises the soft limit to the hard one; a shell can raise the hard one where it may.
    const isEnough = `[ "$(ulimit -H -n)" = unlimited ] || [ "$(ulimit -H -n)" -ge ${descriptors} ]`;
    const script = `${bound === 'atLeast' ? isEnough : 'false'} ||
      ulimit -n ${descriptors} || exit ${NO_DESCRIPTORS}; exec "$@"`;
    const node = [process.execPath, '--expose-gc', '--import', 'tsx'];
    this.process = spawn('sh', ['-c', script, 'sh', ...node, join(import.meta.dirname, file)], {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  /** Sends an order and waits for the report on it; rejects when the process ends first. */
  ask(order: Order & object): Promise<Report> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => {
        const why =
          code === NO_DESCRIPTORS ? 'the limit of descriptors is too low' : `status ${code}`;
        reject(new Error(`${this.file} ended: ${why}`));
      };
      this.process.once('exit', onExit);
      this.process.once('message', (report) => {
        this.process.removeListener('exit', onExit);
        resolve(report as Report);
      });
      // A process that is gone shows it by its end.
      this.process.send(order, () => {});
    });
  }

  kill(): Promise<void> {
    const child = this.process;
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.kill('SIGKILL');
    });
  }
}
