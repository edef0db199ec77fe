import type { Done, Env } from '../../base/env/env.js';
import type { Logger } from '../../base/observe/logger.js';
import type { MemberId } from '../../raft/types.js';
import { createDbInstaller } from '../../storage/image.js';
import type { Engine, EngineFactory } from '../../storage/engine.js';
import type { DataDir } from '../contract/data-dir.js';
import type { SnapshotSink } from '../../storage/engine.js';

export interface ImageReceiverParts {
  readonly env: Env;
  readonly log: Logger;
  readonly dirs: DataDir;
  readonly openEngine: EngineFactory;
  readonly from: MemberId;
  /** Log index of the image. */
  readonly index: number;
  /** Verifying the whole and making it durable took so long. */
  readonly onSynced: (seconds: number) => void;
  /** Runs once: the image is staged, or nothing of it is left. */
  readonly onEnd: (isStaged: boolean) => void;
}

/**
 * Receives one image into a directory of its own. Opens an engine there with the first chunk, fills
 * it, verifies the whole against its witness, makes it durable and marks it staged. Any failure
 * removes the directory.
 */
export class ImageReceiver implements SnapshotSink {
  private readonly p: ImageReceiverParts;
  private readonly dir: string;
  private engine: Engine | null = null;
  private sink: SnapshotSink | null = null;
  private isOpening = false;
  private isAborted = false;
  private hasEnded = false;

  constructor(parts: ImageReceiverParts) {
    this.p = parts;
    this.dir = parts.dirs.dbDir(parts.index);
    // Left over from an earlier attempt.
    parts.env.disk.rmSync(this.dir);
    parts.log.info('receiving a snapshot', { from: parts.from, 'snapshot-index': parts.index });
  }

  write(chunk: Uint8Array, done: Done): void {
    if (this.sink !== null) this.sink.write(chunk, done);
    else this.open(chunk, done);
  }

  private open(firstChunk: Uint8Array, done: Done): void {
    this.isOpening = true;
    this.p.openEngine(this.dir, (error, engine) => {
      this.isOpening = false;
      this.engine = engine;
      // The next image may begin in this directory only when this one's engine is gone.
      if (this.isAborted) return this.discard(() => done(new Error('aborted')));
      if (engine === null) return done(error ?? new Error('the engine did not open'));
      this.sink = createDbInstaller(engine);
      this.sink.write(firstChunk, done);
    });
  }

  finish(done: Done): void {
    if (this.sink === null) return this.discard(() => done(new Error('an empty snapshot')));
    const { clock } = this.p.env;
    const startMs = clock.monoMs();
    this.sink.finish((error) => {
      this.p.onSynced((clock.monoMs() - startMs) / 1000);
      if (error !== null) return this.discard(() => done(error));
      this.closeEngine((closeError) => {
        if (closeError !== null) return this.discard(() => done(closeError));
        this.stage();
        done(null);
      });
    });
  }

  private closeEngine(done: Done): void {
    const { engine } = this;
    this.engine = null;
    this.sink = null;
    if (engine === null) done(null);
    else engine.close(done);
  }

  private stage(): void {
    this.p.dirs.markStaged(this.p.index);
    this.end(true);
  }

  abort(): void {
    this.isAborted = true;
    this.p.log.warn('receiving a snapshot was aborted', { 'snapshot-index': this.p.index });
    if (!this.isOpening) this.discard(() => undefined);
  }

  private discard(done: () => void): void {
    this.closeEngine(() =>
      this.remove(() => {
        this.end(false);
        done();
      }),
    );
  }

  private remove(done: () => void): void {
    this.p.env.disk.rmSync(this.dir);
    done();
  }

  private end(isStaged: boolean): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.p.onEnd(isStaged);
  }
}
