/**
 * The member's own log: every entry, vote and snapshot marker it has acknowledged, on disk.
 *
 * Promises: Once `done` of a synced batch ran, a crash or power loss cannot lose the batch. A log
 * that lost or changed anything acknowledged is refused at open (`WalDamaged`); only a write that
 * was under way in a crash is cut off. Batches become durable in the order they were appended.
 * Does not: compact, read entries back while running, or survive a failed write. Any disk error
 * stops the process: the kernel may have dropped the pages, and a repeated fsync may then succeed
 * wrongly.
 *
 * Everything queued while a write and its fdatasync are under way goes out together in the next group commit: one
 * buffer, one write, one fdatasync. The next segment is prepared in the background. So a full one
 * costs a few synced writes and not the writing of a whole file of zeros.
 *
 * Called by the member's raft loop; `format.ts` describes the bytes, `reader.ts` the judgement at open.
 */
import type { DiskFile, Done, Env } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import type { HardState, SnapshotMeta } from '../raft/types.js';
import { BatchEncoder, SEAL_BOUND, entriesBound, snapshotBound } from './encoder.js';
import { SECTOR_BYTES, alignSector, segmentHeaderBytes } from './format.js';
import { GROUP_BYTES, MAX_ENTRY_BYTES } from './limits.js';
import { SegmentChain } from './segment-chain.js';
import type { LogStart } from './start.js';
import { createStart, holdsLog, openStart } from './start.js';
import type { TermRuns } from './term-runs.js';
import type { WalBatch, WalOptions, WalRecovery, WalWriter } from './types.js';

interface QueuedBatch {
  readonly batch: WalBatch;
  readonly done: Done;
  readonly bound: number;
  /** The batch's snapshot replaces the log instead of marking a point in it. */
  readonly restart: boolean;
  /** Last index of the log after the batch. */
  readonly lastIndex: number;
}

export class Wal implements WalWriter {
  private readonly env: Env;
  private readonly options: WalOptions;
  private readonly encoder = new BatchEncoder();

  private readonly chain: SegmentChain;
  private position: number;
  private link: number;
  private batch: number;

  // End of the appended records, durable or not.
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

  // End of the durable records.
  private snapshot: SnapshotMeta;
  private snapshotSeq: number;
  private writtenLast: number;
  private sealedHardState: HardState;

  private closeDone: Done | null = null;
  private isClosed = false;

  /** True if the directory holds a log. */
  static exists(env: Env, dir: string): boolean {
    return holdsLog(env, dir);
  }

  /**
   * Makes a new, empty log; it is durable on return.
   *
   * Throws: the operating system's error; InvariantViolation when the directory holds a log.
   */
  static create(env: Env, options: WalOptions): Wal {
    return new Wal(env, options, createStart(env, options));
  }

  /**
   * Reads the log, cuts off a torn tail (a copy of it is kept in torn-tail.bin) and continues
   * behind the last intact batch. A log of an older format goes on in a segment of the current one.
   *
   * Throws: WalDamaged, WalForeign, WalNewer, or the operating system's error; the log is unchanged then.
   */
  static open(env: Env, options: WalOptions): { wal: Wal; recovery: WalRecovery } {
    const { start, recovery } = openStart(env, options);
    return { wal: new Wal(env, options, start), recovery };
  }

  private constructor(env: Env, options: WalOptions, start: LogStart) {
    this.env = env;
    this.options = options;
    this.chain = new SegmentChain({
      env,
      options,
      current: start.segment,
      known: start.known,
      fail: (what, cause) => this.fail(what, cause),
      onIdle: () => {
        if (this.closeDone !== null) this.startGroup();
      },
    });
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
    return this.chain.sizeBytes;
  }

  /**
   * Queues `batch`; see WalWriter. A batch that carries nothing but a newer commit index needs no
   * write of its own. Without `sync` its `done` runs before this returns and the commit index goes
   * out with the next seal.
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
        'entry {} appended after entry {}',
        entry.index,
        this.appendedLast,
      );
      invariant(
        entry.data.length <= MAX_ENTRY_BYTES,
        'entry {} is larger than the log accepts',
        entry.index,
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
    this.chain.release(index, this.snapshot, this.snapshotSeq);
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
    const restart = snapshot.index > this.appendedLast || this.contradicts(snapshot);
    if (restart) {
      this.appendedLast = snapshot.index;
      this.terms.clear(snapshot.index);
    } else {
      this.terms.dropBefore(snapshot.index);
    }
    return restart;
  }

  private contradicts(snapshot: SnapshotMeta): boolean {
    const known = this.terms.termAt(snapshot.index);
    return known !== undefined && known !== snapshot.term;
  }

  private startGroup(): void {
    if (this.isBusy) return;
    if (this.queue.length === 0 || !(this.syncWanted || this.closeDone !== null)) {
      if (this.closeDone !== null) this.finishClosing();
      return;
    }
    this.isBusy = true;
    const bound = this.takeGroup();
    if (this.chain.fits(this.position, bound)) this.writeGroup(bound);
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
    invariant(this.position % SECTOR_BYTES === 0, 'a batch begins on a sector boundary');
    const { encoder, group } = this;
    const segment = this.chain.current;
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
        `cannot write ${this.groupBytes} bytes durably at offset ${this.position} of ${this.chain.current.path}`,
        error,
      );
    const seconds = (this.env.clock.monoMs() - this.groupStartMs) / 1000;
    this.options.onWritten?.(seconds, this.options.noFsync !== true);
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
      this.snapshotSeq = this.chain.current.header.seq;
    }
    this.chain.prepare(this.position);
    // Waiting records go to the disk first; the callbacks below may take their time.
    this.isBusy = false;
    this.startGroup();
    for (let i = 0; i < finished.length; i++) finished[i]?.done(null);
  };

  /** Begins a segment that can take a batch of `bound` bytes, then writes the waiting group into it. */
  private rotate(bound: number): void {
    const rotation = {
      batchBytes: bound,
      point: {
        firstIndex: this.writtenLast + 1,
        link: this.link,
        batch: this.batch,
        hardState: this.sealedHardState,
        snapshot: this.snapshot,
      },
      end: this.encodeEnd(),
      endPosition: this.position,
    };
    this.chain.rotate(rotation, () => {
      this.position = segmentHeaderBytes(this.snapshot);
      this.release(0);
      this.writeGroup(bound);
    });
  }

  private encodeEnd(): Uint8Array {
    const { header } = this.chain.current;
    this.encoder.begin(SEAL_BOUND, this.link, this.batch, header.salt);
    this.encoder.end(this.writtenLast);
    return this.encoder.bytes();
  }

  private finishClosing(): void {
    const done = this.closeDone;
    if (done === null || this.isClosed || this.chain.isBusy) return;
    if (!this.hardStateIsWritten) {
      this.isBusy = true;
      if (this.chain.fits(this.position, SEAL_BOUND)) this.writeGroup(SEAL_BOUND);
      else this.rotate(SEAL_BOUND);
      return;
    }
    this.isClosed = true;
    this.chain.close();
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
