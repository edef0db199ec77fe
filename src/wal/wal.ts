/**
 * The member's own log: every entry, vote and snapshot marker it has acknowledged, on disk.
 *
 * Promises: once `done` of a synced batch ran, a crash or power loss cannot lose the batch; a log that lost or changed
 * anything acknowledged is refused at open (`WalDamaged`), and only a write that was under way in a crash is cut off;
 * batches become durable in the order they were appended.
 * Does not: compact, read entries back while running, or survive a failed write. Any disk error stops the process,
 * because the kernel may have dropped the pages and a repeated fsync would lie.
 *
 * Everything queued while a write and its fdatasync are under way goes out together in the next group commit: one
 * buffer, one write, one fdatasync. The next segment is prepared in the background, so that filling one up costs a
 * few synced writes and not the writing of a whole file of zeros.
 *
 * Called by the member's raft loop; `format.ts` describes the bytes, `reader.ts` the judgement at open.
 */
import { dirname } from 'node:path';
import type { DiskFile, Done, Env } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import type { HardState, SnapshotMeta } from '../raft/types.js';
import { BatchEncoder, SEAL_BOUND, entriesBound, snapshotBound } from './encoder.js';
import { WalDamaged } from './errors.js';
import {
  END_RESERVE_BYTES,
  NO_HARD_STATE,
  NO_SNAPSHOT,
  SPARE_NAME,
  TORN_TAIL_NAME,
  alignSector,
  encodeSegmentHeader,
  listSegments,
  segmentHeaderBytes,
  segmentName,
} from './format.js';
import type { Scan } from './reader.js';
import { scanLog } from './reader.js';
import type { OpenSegment } from './segment.js';
import { createSegmentSync, newHeader, removeSpare } from './segment.js';
import { TermRuns } from './term-runs.js';
import type { WalBatch, WalOptions, WalRecovery, WalWriter } from './types.js';

/** A log begins with a small segment and doubles up to `segmentBytes`, so that small deployments stay small. */
const FIRST_SEGMENT_BYTES = 4 * 1024 * 1024;
/** A group commit takes no further batches beyond this, so that encoding it does not hold up the event loop. */
const GROUP_BYTES = 4 * 1024 * 1024;
/** Segments that a release always leaves. */
const KEPT_SEGMENTS = 2;

interface QueuedBatch {
  readonly batch: WalBatch;
  readonly done: Done;
  readonly bound: number;
  /** The batch's snapshot replaces the log instead of marking a point in it. */
  readonly restart: boolean;
  /** Last index of the log after the batch. */
  readonly lastIndex: number;
}

interface KnownSegment {
  readonly seq: number;
  readonly firstIndex: number;
  readonly path: string;
  readonly sizeBytes: number;
}

interface Spare {
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

interface StartState {
  readonly segment: OpenSegment;
  readonly segments: KnownSegment[];
  readonly position: number;
  readonly link: number;
  readonly batch: number;
  readonly lastIndex: number;
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  readonly snapshotSeq: number;
  readonly terms: TermRuns;
}

export class Wal implements WalWriter {
  private readonly env: Env;
  private readonly options: WalOptions;
  private readonly encoder = new BatchEncoder();

  private segment: OpenSegment;
  /** Oldest first; the last is `segment`. */
  private readonly segments: KnownSegment[];
  private position: number;
  private link: number;
  private batch: number;

  // What has been appended, durable or not.
  private queue: QueuedBatch[] = [];
  private syncWanted = false;
  private appendedLast: number;
  private readonly terms: TermRuns;
  /** Newest hard state whose entries are all written or in the running group. */
  private hardState: HardState;
  private hardStateIsWritten = true;

  // The group commit under way.
  private group: QueuedBatch[] = [];
  private isBusy = false;
  private groupBytes = 0;
  private groupStartMs = 0;

  // What is durable.
  private snapshot: SnapshotMeta;
  private snapshotSeq: number;
  private writtenLast: number;
  private sealedHardState: HardState;

  private spare: Spare | null = null;
  private isMakingSpare = false;
  private afterSpare: (() => void) | null = null;
  private releaseIndex = 0;
  private isReleasing = false;
  private closeDone: Done | null = null;
  private isClosed = false;

  /** Whether the directory holds a log. */
  static exists(env: Env, dir: string): boolean {
    return env.disk.existsSync(dir) && listSegments(env.disk.readdirSync(dir)).length > 0;
  }

  /**
   * Makes a new, empty log; it is durable on return.
   *
   * Throws: the operating system's error; InvariantViolation when the directory holds a log.
   */
  static create(env: Env, options: WalOptions): Wal {
    const { disk } = env;
    const { dir } = options;
    invariant(!Wal.exists(env, dir), `there is a write-ahead log in ${dir} already`);
    disk.mkdirSync(dir);
    disk.syncDirSync(dirname(dir));
    const header = newHeader(env, options.identity, {
      seq: 1,
      firstIndex: 1,
      sizeBytes: alignSector(Math.min(options.segmentBytes, FIRST_SEGMENT_BYTES)),
      link: 0,
      batch: 0,
      hardState: NO_HARD_STATE,
      snapshot: NO_SNAPSHOT,
    });
    const segment = createSegmentSync(env, dir, header);
    return new Wal(env, options, {
      segment,
      segments: [{ seq: 1, firstIndex: 1, path: segment.path, sizeBytes: header.sizeBytes }],
      position: segmentHeaderBytes(NO_SNAPSHOT),
      link: 0,
      batch: 0,
      lastIndex: 0,
      hardState: NO_HARD_STATE,
      snapshot: NO_SNAPSHOT,
      snapshotSeq: 0,
      terms: new TermRuns(),
    });
  }

  /**
   * Reads the log, cuts off a torn tail (a copy of it is kept in torn-tail.bin) and continues behind the last intact batch.
   *
   * Throws: WalDamaged, WalForeign, or the operating system's error; the log is unchanged then.
   */
  static open(env: Env, options: WalOptions): { wal: Wal; recovery: WalRecovery } {
    const scan = scanLog(env.disk, options);
    if (scan.damage !== null) throw new WalDamaged(scan.damage);
    const newest = scan.segments[scan.segments.length - 1];
    invariant(newest !== undefined, 'a scan without damage found a segment');
    removeSpare(env, options.dir);
    for (const file of scan.leftovers) env.disk.unlinkSync(`${options.dir}/${file.name}`);
    const path = `${options.dir}/${newest.file.name}`;
    const file = env.disk.openSync(path);
    cutTornTail(env, options.dir, file, scan);
    const terms = new TermRuns();
    for (const entry of scan.entries) terms.append(entry.index, entry.term);
    const wal = new Wal(env, options, {
      segment: { header: newest.header, path, file },
      segments: scan.segments.map(({ file: f, header }) => ({
        seq: f.seq,
        firstIndex: f.firstIndex,
        path: `${options.dir}/${f.name}`,
        sizeBytes: header.sizeBytes,
      })),
      position: scan.position,
      link: scan.link,
      batch: scan.batch,
      lastIndex: scan.lastIndex,
      hardState: scan.hardState,
      snapshot: scan.snapshot,
      snapshotSeq: scan.snapshotSeq,
      terms,
    });
    const recovery: WalRecovery = {
      identity: options.identity,
      hardState: scan.hardState,
      snapshot: scan.snapshot,
      entries: scan.entries,
      tornBytes: scan.torn?.bytes.length ?? 0,
    };
    return { wal, recovery };
  }

  private constructor(env: Env, options: WalOptions, start: StartState) {
    this.env = env;
    this.options = options;
    this.segment = start.segment;
    this.segments = start.segments;
    this.position = start.position;
    this.link = start.link;
    this.batch = start.batch;
    this.appendedLast = start.lastIndex;
    this.writtenLast = start.lastIndex;
    this.hardState = start.hardState;
    this.sealedHardState = start.hardState;
    this.snapshot = start.snapshot;
    this.snapshotSeq = start.snapshotSeq;
    this.terms = start.terms;
  }

  /** Bytes of all segments, preallocated space included. */
  get sizeBytes(): number {
    let sum = 0;
    for (const segment of this.segments) sum += segment.sizeBytes;
    return sum;
  }

  /**
   * Queues `batch`; see WalWriter. A batch that carries nothing but a newer commit index needs no write of its own:
   * without `sync` its `done` runs before this returns and the commit index goes out with the next seal.
   */
  append(batch: WalBatch, sync: boolean, done: Done): void {
    invariant(this.closeDone === null, 'append to a write-ahead log that is being closed');
    if (!sync && this.isCommitOnly(batch) && this.queue.length === 0) {
      this.hardState = batch.hardState ?? this.hardState;
      this.hardStateIsWritten = false;
      done(null);
      return;
    }
    let bound = entriesBound(batch.entries);
    let restart = false;
    if (batch.snapshot !== null) {
      bound += snapshotBound(batch.snapshot);
      restart = this.takeSnapshot(batch.snapshot);
    }
    for (const entry of batch.entries) {
      invariant(
        entry.index <= this.appendedLast + 1,
        `entry ${entry.index} appended after entry ${this.appendedLast}`,
      );
      invariant(
        entry.data.length <= this.options.maxEntryBytes,
        `entry ${entry.index} is larger than the log accepts`,
      );
      this.terms.append(entry.index, entry.term);
      this.appendedLast = entry.index;
    }
    this.queue.push({ batch, done, bound, restart, lastIndex: this.appendedLast });
    if (!sync) return;
    this.syncWanted = true;
    this.startGroup();
  }

  release(index: number): void {
    if (index > this.releaseIndex) this.releaseIndex = index;
    this.releaseNext();
  }

  close(done: Done): void {
    invariant(this.closeDone === null, 'a write-ahead log is closed once');
    this.closeDone = done;
    this.startGroup();
  }

  private isCommitOnly(batch: WalBatch): boolean {
    const { hardState } = batch;
    if (batch.entries.length > 0 || batch.snapshot !== null) return false;
    return (
      hardState === null ||
      (hardState.term === this.hardState.term && hardState.vote === this.hardState.vote)
    );
  }

  /** Returns whether the snapshot contradicts or exceeds the log and therefore replaces it. */
  private takeSnapshot(snapshot: SnapshotMeta): boolean {
    const known = this.terms.termAt(snapshot.index);
    const restart =
      snapshot.index > this.appendedLast || (known !== undefined && known !== snapshot.term);
    if (restart) {
      this.appendedLast = snapshot.index;
      this.terms.clear();
    } else {
      this.terms.dropBefore(snapshot.index);
    }
    return restart;
  }

  private startGroup(): void {
    if (this.isBusy) return;
    if (this.queue.length === 0 || !(this.syncWanted || this.closeDone !== null)) {
      if (this.closeDone !== null) this.finishClosing();
      return;
    }
    this.isBusy = true;
    const bound = this.takeGroup();
    if (this.position + alignSector(bound) + END_RESERVE_BYTES <= this.segment.header.sizeBytes)
      this.writeGroup(bound);
    else this.rotate(bound);
  }

  /** Moves what the next group commit carries from the queue to `group`; returns the bound of its bytes. */
  private takeGroup(): number {
    const queue = this.queue;
    let bound = SEAL_BOUND;
    let count = 0;
    while (count < queue.length && (count === 0 || bound < GROUP_BYTES)) {
      const queued = queue[count] as QueuedBatch;
      bound += queued.bound;
      this.hardState = queued.batch.hardState ?? this.hardState;
      count++;
    }
    if (count === queue.length) {
      this.group = queue;
      this.queue = [];
      this.syncWanted = false;
    } else {
      this.group = queue.splice(0, count);
    }
    return bound;
  }

  private writeGroup(bound: number): void {
    const { encoder, group, segment } = this;
    let firstIndex = 0;
    let lastIndex = this.writtenLast;
    encoder.begin(bound, this.link, this.batch + 1, segment.header.salt);
    for (let i = 0; i < group.length; i++) {
      const queued = group[i] as QueuedBatch;
      const { entries, snapshot } = queued.batch;
      if (snapshot !== null) encoder.marker(snapshot, queued.restart);
      for (let k = 0; k < entries.length; k++)
        encoder.entry(entries[k] as (typeof entries)[number]);
      if (firstIndex === 0 && entries.length > 0) firstIndex = entries[0]?.index ?? 0;
      lastIndex = queued.lastIndex;
    }
    const hardState = boundedCommit(this.hardState, lastIndex);
    encoder.seal({ firstIndex, lastIndex, hardState, trailer: segment.header.trailer });
    this.sealedHardState = hardState;
    this.hardStateIsWritten = true;
    this.writtenLast = lastIndex;
    const bytes = encoder.bytes();
    this.groupBytes = bytes.length;
    this.options.onWrite?.(bytes.length);
    this.groupStartMs = this.env.clock.monoMs();
    this.writeTo(segment.file, bytes, this.position, this.onSynced);
  }

  /** Durably, unless the operator gave that up. */
  private writeTo(file: DiskFile, bytes: Uint8Array, position: number, done: Done): void {
    if (this.options.noFsync === true) file.write(bytes, position, done);
    else file.writeDurable(bytes, position, done);
  }

  private readonly onSynced: Done = (error) => {
    if (error !== null)
      this.fail(
        `cannot write ${this.groupBytes} bytes durably at offset ${this.position} of ${this.segment.path}`,
        error,
      );
    if (this.options.noFsync !== true)
      this.options.onSync?.((this.env.clock.monoMs() - this.groupStartMs) / 1000);
    this.link = this.encoder.link;
    this.batch++;
    this.position = alignSector(this.position + this.groupBytes);
    this.encoder.release();
    const finished = this.group;
    this.group = [];
    for (let i = 0; i < finished.length; i++) {
      const snapshot = finished[i]?.batch.snapshot ?? null;
      if (snapshot === null) continue;
      this.snapshot = snapshot;
      this.snapshotSeq = this.segment.header.seq;
    }
    if (this.position * 2 > this.segment.header.sizeBytes) this.makeSpare(this.nextSizeBytes());
    // What waits goes to the disk first; the callbacks below may take their time.
    this.isBusy = false;
    this.startGroup();
    for (let i = 0; i < finished.length; i++) finished[i]?.done(null);
  };

  private nextSizeBytes(): number {
    return alignSector(Math.min(this.options.segmentBytes, 2 * this.segment.header.sizeBytes));
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
      else if (this.closeDone !== null) this.startGroup();
    });
  }

  private sparePath(): string {
    return `${this.options.dir}/${SPARE_NAME}`;
  }

  /** Begins a segment that can take a batch of `bound` bytes, then writes the waiting group into it. */
  private rotate(bound: number): void {
    const needed = segmentHeaderBytes(this.snapshot) + alignSector(bound) + END_RESERVE_BYTES;
    const spare = this.spare;
    if (spare === null) {
      this.afterSpare = () => this.rotate(bound);
      this.makeSpare(Math.max(needed, this.nextSizeBytes()));
      return;
    }
    this.spare = null;
    if (spare.sizeBytes < needed) {
      spare.file.closeSync();
      this.env.disk.unlink(this.sparePath(), (error) => {
        if (error !== null) this.fail(`cannot remove ${this.sparePath()}`, error);
        this.rotate(bound);
      });
      return;
    }
    this.installSpare(spare, bound);
  }

  /**
   * Order matters for a crash at any point: the header is durable before the file gets its name, the name is durable
   * before the old segment says that another follows, and both before anything is acknowledged from the new one.
   */
  private installSpare(spare: Spare, bound: number): void {
    const { disk } = this.env;
    const header = newHeader(this.env, this.options.identity, {
      seq: this.segment.header.seq + 1,
      firstIndex: this.writtenLast + 1,
      sizeBytes: spare.sizeBytes,
      link: this.link,
      batch: this.batch,
      hardState: this.sealedHardState,
      snapshot: this.snapshot,
    });
    const path = `${this.options.dir}/${segmentName(header.seq, header.firstIndex)}`;
    const old = this.segment;
    this.inTurn(
      `cannot begin segment ${path}`,
      [
        (done) => this.writeTo(spare.file, encodeSegmentHeader(header), 0, done),
        (done) => disk.rename(this.sparePath(), path, done),
        (done) => disk.syncDir(this.options.dir, done),
        (done) => this.writeTo(old.file, this.encodeEnd(), this.position, done),
      ],
      () => {
        old.file.closeSync();
        this.segment = { header, path, file: spare.file };
        this.segments.push({
          seq: header.seq,
          firstIndex: header.firstIndex,
          path,
          sizeBytes: header.sizeBytes,
        });
        this.position = segmentHeaderBytes(header.snapshot);
        this.releaseNext();
        this.writeGroup(bound);
      },
    );
  }

  private encodeEnd(): Uint8Array {
    this.encoder.begin(SEAL_BOUND, this.link, this.batch, this.segment.header.salt);
    this.encoder.end(this.writtenLast);
    return this.encoder.bytes();
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
    if (this.isReleasing || this.isClosed || this.segments.length <= KEPT_SEGMENTS) return;
    const oldest = this.segments[0] as KnownSegment;
    const next = this.segments[1] as KnownSegment;
    const needed = Math.min(this.releaseIndex, this.snapshot.index);
    if (next.firstIndex - 1 > needed || oldest.seq >= this.snapshotSeq) return;
    this.isReleasing = true;
    this.segments.shift();
    this.env.disk.unlink(oldest.path, () => {
      this.isReleasing = false;
      this.releaseNext();
      if (this.closeDone !== null) this.startGroup();
    });
  }

  private finishClosing(): void {
    const done = this.closeDone;
    if (done === null || this.isClosed || this.isMakingSpare || this.isReleasing) return;
    if (!this.hardStateIsWritten) {
      this.isBusy = true;
      if (
        this.position + alignSector(SEAL_BOUND) + END_RESERVE_BYTES <=
        this.segment.header.sizeBytes
      )
        this.writeGroup(SEAL_BOUND);
      else this.rotate(SEAL_BOUND);
      return;
    }
    this.isClosed = true;
    this.spare?.file.closeSync();
    this.segment.file.closeSync();
    done(null);
  }

  private fail(what: string, cause: unknown): never {
    return this.env.fatal(
      `write-ahead log: ${what}`,
      'Check the disk and its free space, then start the member again. Everything that was acknowledged is in the log.',
      cause,
    );
  }
}

/** A hard state may run ahead of the entries on disk (a snapshot's, before its marker); a seal names only what it seals. */
function boundedCommit(hardState: HardState, lastIndex: number): HardState {
  if (hardState.commit <= lastIndex) return hardState;
  return { term: hardState.term, vote: hardState.vote, commit: lastIndex };
}

function cutTornTail(env: Env, dir: string, file: DiskFile, scan: Scan): void {
  if (scan.torn === null) return;
  try {
    env.disk.writeFileSync(`${dir}/${TORN_TAIL_NAME}`, scan.torn.bytes);
  } catch {
    // The copy is for people who investigate a crash; a full disk must not keep the member from starting.
  }
  file.writeSync(new Uint8Array(alignSector(scan.torn.bytes.length)), scan.torn.offset);
  file.datasyncSync();
}
