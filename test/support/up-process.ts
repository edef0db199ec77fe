import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from './until.js';

const ENTRY = fileURLToPath(new URL('mainstay-main.ts', import.meta.url));

/** A running `mainstay up`, or another command of it, from the sources. */
export class Up {
  readonly child: ChildProcess;
  text = '';
  code: number | null | undefined;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.child = spawn(process.execPath, ['--import', 'tsx', ENTRY, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    const collect = (chunk: Buffer): void => {
      this.text += chunk.toString();
    };
    this.child.stdout?.on('data', collect);
    this.child.stderr?.on('data', collect);
    this.child.once('close', (code) => (this.code = code));
  }

  async says(text: string | RegExp): Promise<void> {
    const isSaid = (): boolean =>
      typeof text === 'string' ? this.text.includes(text) : text.test(this.text);
    await until(() => {
      if (this.code !== undefined && !isSaid()) {
        throw new Error(`ended with ${this.code}: ${this.text}`);
      }
      return isSaid();
    });
  }

  async ends(): Promise<number | null> {
    await until(() => this.code !== undefined);
    return this.code ?? null;
  }
}
