/**
 * The one seam through which a member touches anything non-deterministic: clocks, timers, randomness,
 * the disk and the end of the process. `node.ts` is the real implementation; the simulator
 * (test/sim) supplies another, so that it runs the product's own code.
 *
 * Run-time operations report through callbacks rather than promises: a callback runs exactly when
 * its environment decides, which is what makes a simulated run replayable.
 */

export type Done = (error: Error | null) => void;

export interface Timer {
  /** Prevents the callback; harmless when it ran already. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds (fractional). The only clock logic may use. */
  monoMs(): number;
  /** Wall-clock milliseconds since the epoch, for timestamps shown to people only. */
  wallMs(): number;
}

/** An open file. Offsets and lengths are bytes. One owner; operations on it are issued in order. */
export interface DiskFile {
  /** Writes all of `bytes` at `position`. The caller leaves `bytes` unchanged until `done`. */
  write(bytes: Uint8Array, position: number, done: Done): void;
  /** As `write`, and durable when `done` runs: one trip to the disk instead of a write and an fdatasync. */
  writeDurable(bytes: Uint8Array, position: number, done: Done): void;
  /** Synchronous forms for start-up and repair. */
  writeSync(bytes: Uint8Array, position: number): void;
  truncateSync(sizeBytes: number): void;
  datasyncSync(): void;
  closeSync(): void;
}

export interface Disk {
  // Start-up and rare work: synchronous. Each throws the operating system's error.
  /** Creates the directory and its parents (mode 0700); no error when it exists. */
  mkdirSync(path: string): void;
  existsSync(path: string): boolean;
  /** Names in the directory, sorted bytewise. */
  readdirSync(path: string): string[];
  readFileSync(path: string): Uint8Array;
  /** Fills `target` from the start of the file; returns how many bytes there were, at most its length. */
  readIntoSync(path: string, target: Uint8Array): number;
  /** Durable replace: temporary file, fsync, rename, directory fsync. */
  writeFileSync(path: string, bytes: Uint8Array): void;
  renameSync(from: string, to: string): void;
  unlinkSync(path: string): void;
  /** Removes a directory tree; no error when it is absent. */
  rmSync(path: string): void;
  syncDirSync(path: string): void;
  openSync(path: string): DiskFile;
  /** Creates `path` filled with `sizeBytes` zeros, fsynced (not its directory). */
  createSync(path: string, sizeBytes: number): DiskFile;

  // Run time.
  create(
    path: string,
    sizeBytes: number,
    done: (error: Error | null, file: DiskFile | null) => void,
  ): void;
  rename(from: string, to: string, done: Done): void;
  unlink(path: string, done: Done): void;
  syncDir(path: string, done: Done): void;
}

export interface Env {
  readonly clock: Clock;
  readonly disk: Disk;
  /** Runs `callback` once after `delayMs`. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` after the I/O that is already waiting has been handled (setImmediate). */
  defer(callback: () => void): void;
  /** Uniform unsigned 32-bit integer. */
  randomU32(): number;
  /**
   * Stops the process at once because continuing could lose or corrupt data.
   * `what` is the finding, `next` the operator's next step.
   */
  fatal(what: string, next: string, cause?: unknown): never;
}
