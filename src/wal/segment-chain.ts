/**
 * The segment files of an open log: the one being written, those before it, and the spare that comes next.
 *
 * Promises: The next segment is prepared in the background. So a full one costs a few synced writes
 * and not the writing of a whole file of zeros. At any crash the files form a chain that the reader
 * accepts. Does not: interpret batches. Every disk error but a failed removal goes to `fail`.
 */
import type { DiskFile, Done, Env } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import type { SnapshotMeta } from '../raft/types.js';
import {
  END_RESERVE_BYTES,
  SPARE_NAME,
  alignSector,
  encodeSegmentHeader,
  segmentHeaderBytes,
  segmentName,
} from './format.js';
import { KEPT_SEGMENTS } from './limits.js';
import type { OpenSegment, SegmentFields } from './segment.js';
import { newHeader } from './segment.js';
import type { WalOptions } from './types.js';

export interface KnownSegment {
  readonly seq: number;
  readonly firstIndex: number;
  readonly path: string;
  readonly sizeBytes: number;
}

/** Facts in the header of a segment about the log before it. */
export type LogPoint = Omit<SegmentFields, 'seq' | 'sizeBytes'>;

/** The end of a segment and the beginning of the next one. */
export interface Rotation {
  /** Bytes that the next segment must take after its header, rounded up to sectors. */
  readonly batchBytes: number;
  readonly point: LogPoint;
  /** The end record for the old segment and where it goes. */
  readonly end: Uint8Array;
  readonly endPosition: number;
}

interface Spare {
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

export interface ChainParts {
  readonly env: Env;
  readonly options: WalOptions;
  readonly current: OpenSegment;
  /** Oldest first; the last is `current`. */
  readonly known: KnownSegment[];
  readonly fail: (what: string, cause: unknown) => never;
  /** Background work has ended. */
  readonly onIdle: () => void;
}

export class SegmentChain {
  current: OpenSegment;
  private readonly env: Env;
  private readonly options: WalOptions;
  private readonly known: KnownSegment[];
  private readonly fail: ChainParts['fail'];
  private readonly onIdle: () => void;
  private spare: Spare | null = null;
  private isMakingSpare = false;
  private afterSpare: (() => void) | null = null;
  private releaseIndex = 0;
  private snapshotIndex = 0;
  private snapshotSeq = 0;
  private isReleasing = false;
  private isClosed = false;

  constructor(parts: ChainParts) {
    this.current = parts.current;
    this.env = parts.env;
    this.options = parts.options;
    this.known = parts.known;
    this.fail = parts.fail;
    this.onIdle = parts.onIdle;
  }

  /** Bytes of all segments, preallocated space included. */
  get sizeBytes(): number {
    let sum = 0;
    for (const segment of this.known) sum += segment.sizeBytes;
    return sum;
  }

  get isBusy(): boolean {
    return this.isMakingSpare || this.isReleasing;
  }

  /** True if a batch of `bytes` fits behind `position` with room left for an end. */
  fits(position: number, bytes: number): boolean {
    return position + alignSector(bytes) + END_RESERVE_BYTES <= this.current.header.sizeBytes;
  }

  /** Makes the next segment's file ready, in the background, once the current one is half full. */
  prepare(position: number): void {
    if (position * 2 > this.current.header.sizeBytes) this.makeSpare(this.nextSizeBytes());
  }

  /**
   * Begins the next segment; `done` runs when it may be written to.
   *
   * Order matters for a crash at any point. The header is durable before the file gets its name,
   * and the name before the old segment announces it. Both are durable before anything is
   * acknowledged from the new one.
   */
  rotate(rotation: Rotation, done: () => void): void {
    const needed =
      segmentHeaderBytes(rotation.point.snapshot) +
      alignSector(rotation.batchBytes) +
      END_RESERVE_BYTES;
    const { spare } = this;
    if (spare === null) {
      this.afterSpare = () => this.rotate(rotation, done);
      this.makeSpare(Math.max(needed, this.nextSizeBytes()));
      return;
    }
    this.spare = null;
    if (spare.sizeBytes >= needed) return this.install(spare, rotation, done);
    spare.file.closeSync();
    this.env.disk.unlink(this.sparePath(), (error) => {
      if (error !== null) this.fail(`cannot remove ${this.sparePath()}`, error);
      this.rotate(rotation, done);
    });
  }

  /** Removes segments that hold nothing above `index`, and nothing above `snapshot`, whose marker is in segment `seq`. */
  release(index: number, snapshot: SnapshotMeta, seq: number): void {
    this.releaseIndex = Math.max(this.releaseIndex, index);
    this.snapshotIndex = snapshot.index;
    this.snapshotSeq = seq;
    this.releaseNext();
  }

  /** Requires: no work under way. */
  close(): void {
    invariant(!this.isBusy, 'segments are closed while work on them is under way');
    this.isClosed = true;
    this.spare?.file.closeSync();
    this.current.file.closeSync();
  }

  private nextSizeBytes(): number {
    return alignSector(Math.min(this.options.segmentBytes, 2 * this.current.header.sizeBytes));
  }

  private sparePath(): string {
    return `${this.options.dir}/${SPARE_NAME}`;
  }

  private makeSpare(sizeBytes: number): void {
    if (this.isMakingSpare || this.spare !== null) return;
    this.isMakingSpare = true;
    const path = this.sparePath();
    this.env.disk.create(path, sizeBytes, (error, file) => {
      if (file === null) this.fail(`cannot create ${path} with ${sizeBytes} bytes`, error);
      this.spare = { file, sizeBytes };
      this.isMakingSpare = false;
      const next = this.afterSpare;
      this.afterSpare = null;
      if (next !== null) next();
      else this.onIdle();
    });
  }

  private install(spare: Spare, rotation: Rotation, done: () => void): void {
    const { disk } = this.env;
    const { dir } = this.options;
    const old = this.current;
    const header = newHeader(this.env, this.options.identity, {
      ...rotation.point,
      seq: old.header.seq + 1,
      sizeBytes: spare.sizeBytes,
    });
    const path = `${dir}/${segmentName(header.seq, header.firstIndex)}`;
    this.inTurn(
      `cannot begin segment ${path}`,
      [
        (next) => this.write(spare.file, encodeSegmentHeader(header), 0, next),
        (next) => disk.rename(this.sparePath(), path, next),
        (next) => disk.syncDir(dir, next),
        (next) => this.write(old.file, rotation.end, rotation.endPosition, next),
      ],
      () => {
        old.file.closeSync();
        this.current = { header, path, file: spare.file };
        const { seq, firstIndex, sizeBytes } = header;
        this.known.push({ seq, firstIndex, path, sizeBytes });
        done();
      },
    );
  }

  /** Durably, unless the operator gave that up. */
  private write(file: DiskFile, bytes: Uint8Array, position: number, done: Done): void {
    if (this.options.noFsync === true) file.write(bytes, position, done);
    else file.writeDurable(bytes, position, done);
  }

  private inTurn(
    failure: string,
    steps: readonly ((done: Done) => void)[],
    finished: () => void,
  ): void {
    const run = (i: number): void => {
      const step = steps[i];
      if (step === undefined) return finished();
      step((error) => {
        if (error !== null) this.fail(failure, error);
        run(i + 1);
      });
    };
    run(0);
  }

  /** Removes the oldest segment if nothing needs it, then the next. A failure costs disk space and nothing else. */
  private releaseNext(): void {
    if (this.isReleasing || this.isClosed || this.known.length <= KEPT_SEGMENTS) return;
    const oldest = this.known[0] as KnownSegment;
    const next = this.known[1] as KnownSegment;
    const needed = Math.min(this.releaseIndex, this.snapshotIndex);
    if (next.firstIndex - 1 > needed || oldest.seq >= this.snapshotSeq) return;
    this.isReleasing = true;
    this.known.shift();
    this.env.disk.unlink(oldest.path, () => {
      this.isReleasing = false;
      this.releaseNext();
      if (!this.isReleasing) this.onIdle();
    });
  }
}
