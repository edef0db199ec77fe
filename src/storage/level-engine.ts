import { ClassicLevel } from 'classic-level';
import type { Done, Env } from '../base/env/env.js';
import { checkLevelFiles, type LevelFiles } from './level-files.js';
import {
  LEVEL_BLOCK_CACHE_BYTES,
  LEVEL_ENTRY_BYTES,
  LEVEL_FILE_BYTES,
  LEVEL_READ_AHEAD_BYTES,
  LEVEL_ROTATE_BYTES,
  LEVEL_WRITE_BUFFER_BYTES,
} from './limits.js';
import type { Engine, EngineBatch, EngineFactory, EngineIterator } from './engine.js';

/**
 * The engine on LevelDB. The only importer of classic-level.
 *
 * LevelDB syncs the log file it is writing, not the one it wrote before. So a synced write proves
 * nothing for rows in an earlier log whose table is not built yet. After a power loss such a log
 * may miss its end while a later one is complete. Here a synced write therefore turns the memory
 * table into a synced table file and waits for it. That also happens by itself before LevelDB would
 * change logs on its own. As the caller has one batch in flight at a time, no row reaches a new log
 * before everything older is durable. A power loss always takes away a suffix.
 */

type Level = ClassicLevel<Uint8Array, Uint8Array>;

/** A range above every row: compacting it does nothing but write out the memory table. */
const NOTHING_FROM = Uint8Array.of(0xff, 0xfe);
const NOTHING_TO = Uint8Array.of(0xff, 0xff);

export interface LevelEngineOptions {
  readonly compression?: boolean;
}

/**
 * Opens LevelDBs whose files have been verified before LevelDB reads them; creates what is absent.
 *
 * `onVerified` receives the findings, before `done`. Errors: ImageDamaged, those of the disk and
 * those of LevelDB.
 */
export function verifiedLevelEngine(
  env: Env,
  onVerified: (files: LevelFiles) => void,
): EngineFactory {
  return (dir, done) => {
    checkLevelFiles(env, dir, (error, files) => {
      if (files === null) return done(error, null);
      onVerified(files);
      openLevelEngine(dir, done);
    });
  };
}

/** Opens the LevelDB of a directory without a look at its files, creating it when absent. */
export const openLevelEngine: EngineFactory = (dir, done) => {
  openLevelEngineWith(dir, {}, done);
};

function openLevelEngineWith(
  dir: string,
  options: LevelEngineOptions,
  done: (error: Error | null, engine: Engine | null) => void,
): void {
  const level: Level = new ClassicLevel<Uint8Array, Uint8Array>(dir, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: options.compression ?? true,
    writeBufferSize: LEVEL_WRITE_BUFFER_BYTES,
    cacheSize: LEVEL_BLOCK_CACHE_BYTES,
    maxFileSize: LEVEL_FILE_BYTES,
  });
  settle(level.open(), (error) => {
    if (error !== null) done(error, null);
    else done(null, new LevelEngine(level));
  });
}

class LevelEngine implements Engine {
  private readonly level: Level;
  /** Written since the memory table was last turned into a file. */
  private tableBytes = 0;
  private size = 0;

  constructor(level: Level) {
    this.level = level;
    this.measure();
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.level.getSync(key);
  }

  write(batch: EngineBatch, sync: boolean, done: Done): void {
    settle(this.put(batch), (error) => {
      const rotate = sync || this.tableBytes >= LEVEL_ROTATE_BYTES;
      if (error !== null || !rotate) done(error);
      else this.rotate(sync ? batch : null, done);
    });
  }

  /** LevelDB builds its tables in the background meanwhile. */
  load(batch: EngineBatch, done: Done): void {
    settle(this.put(batch), done);
  }

  private put(batch: EngineBatch): Promise<void> {
    let bytes = 0;
    const chain = this.level.batch();
    for (const { key, value } of batch.puts) {
      chain.put(key, value);
      bytes += key.length + value.length + LEVEL_ENTRY_BYTES;
    }
    for (const key of batch.deletes) {
      chain.del(key);
      bytes += key.length + LEVEL_ENTRY_BYTES;
    }
    this.tableBytes += bytes;
    this.size += bytes;
    return chain.write();
  }

  /**
   * Makes everything written durable. `probe` is the last batch written, or null when nothing
   * relies on this before the next write.
   */
  private rotate(probe: EngineBatch | null, done: Done): void {
    settle(this.level.compactRange(NOTHING_FROM, NOTHING_TO), (error) => {
      if (error !== null) {
        done(error);
        return;
      }
      this.tableBytes = 0;
      this.measure();
      // compactRange does not report a failed table; the next write does. A row written only to
      // find that out would make the next table overlap this one, and both would be merged.
      if (probe === null) {
        done(null);
        return;
      }
      const chain = this.level.batch();
      const row = probe.puts[probe.puts.length - 1];
      if (row !== undefined) chain.put(row.key, row.value);
      else chain.del(probe.deletes[0] ?? NOTHING_FROM);
      settle(chain.write(), done);
    });
  }

  iterate(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): EngineIterator {
    const iterator = this.level.iterator({
      gte: range.gte,
      lt: range.lt,
      highWaterMarkBytes: LEVEL_READ_AHEAD_BYTES,
    });
    return {
      next(max, done) {
        iterator.nextv(max).then(
          (rows) => {
            outside(() => {
              done(null, rows);
            });
          },
          (error: unknown) => {
            outside(() => {
              done(asError(error), []);
            });
          },
        );
      },
      close() {
        iterator.close().catch(ignoreCloseError);
      },
    };
  }

  compactRange(gte: Uint8Array, lt: Uint8Array, done: Done): void {
    settle(this.level.compactRange(gte, lt), (error) => {
      this.measure();
      done(error);
    });
  }

  /** LevelDB keeps each table file it read mapped until it is closed. */
  forgetReads(done: Done): void {
    settle(
      this.level.close().then(() => this.level.open()),
      done,
    );
  }

  sizeBytes(): number {
    return this.size;
  }

  /** Replaces the running estimate by LevelDB's own. */
  private measure(): void {
    this.level.approximateSize(Uint8Array.of(0), NOTHING_TO).then((bytes) => {
      this.size = bytes + this.tableBytes;
    }, ignoreMeasureError);
  }

  close(done: Done): void {
    settle(this.level.close(), done);
  }
}

/** Closing an iterator cannot lose data, and reports nothing that a read would not have. */
function ignoreCloseError(): void {
  return undefined;
}

/** The database was closed meanwhile; the estimate is not needed any more. */
function ignoreMeasureError(): void {
  return undefined;
}

function settle(promise: Promise<unknown>, done: Done): void {
  promise.then(
    () => {
      outside(() => {
        done(null);
      });
    },
    (error: unknown) => {
      outside(() => {
        done(asError(error));
      });
    },
  );
}

/** Runs a callback outside the promise, so that what it throws is an uncaught exception, not a lost rejection. */
function outside(callback: () => void): void {
  process.nextTick(callback);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
