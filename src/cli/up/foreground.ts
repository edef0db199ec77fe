import { say } from './terminal.js';

/**
 * A command that runs until SIGINT or SIGTERM. The first signal asks for a graceful end, each later
 * one for an end at once.
 */
export class Foreground {
  private readonly atOnce: () => void;
  private readonly onSignal = (): void => this.interrupt();
  private isEndAsked = false;
  private wake: () => void = () => {};
  private reject: (error: Error) => void = () => {};
  private readonly failed = new Promise<never>((_, reject) => (this.reject = reject));

  /** `atOnce` is called with every signal after the first. */
  constructor(atOnce: () => void) {
    this.atOnce = atOnce;
    // A failure is seen by `run`, which may not be waiting yet.
    this.failed.catch(() => undefined);
    process.on('SIGINT', this.onSignal);
    process.on('SIGTERM', this.onSignal);
  }

  get isEnding(): boolean {
    return this.isEndAsked;
  }

  /** Resolves with `work`. Rejects with what `fail` was given, if that comes first. */
  async run(work: Promise<void>): Promise<void> {
    await Promise.race([work, this.failed]);
  }

  fail(error: Error): void {
    this.reject(error);
  }

  /** Waits, but not longer than until the end is asked for. */
  pause(ms: number): Promise<void> {
    if (this.isEndAsked) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Nothing waits any longer; signals are still taken until `close`. */
  end(): void {
    this.isEndAsked = true;
    this.wake();
  }

  close(): void {
    process.off('SIGINT', this.onSignal);
    process.off('SIGTERM', this.onSignal);
  }

  private interrupt(): void {
    if (this.isEndAsked) {
      say('Stopping at once.');
      this.atOnce();
      return;
    }
    say('\nStopping (Ctrl-C again stops at once) ...');
    this.end();
  }
}
