import type { Done, Env } from '../../base/env/env.js';
import { decodeConfStateRecord } from '../../gen/peer.js';
import type { Backend } from '../../storage/backend.js';
import { openDbSnapshot } from '../../storage/image.js';
import type { Engine, EngineFactory } from '../../storage/engine.js';
import type { RawNode } from '../../raft/raw-node.js';
import type { Message, SnapshotMeta } from '../../raft/types.js';
import type { WalWriter } from '../../wal/types.js';
import type { DataDir } from '../contract/data-dir.js';
import type { MemberObserver } from '../contract/member-observer.js';
import { KEPT_LOG_BYTES, MARK_BYTES, MARKER_LOG_BYTES } from './limits.js';
import type { Logger } from '../../base/observe/logger.js';
import type { SnapshotSink } from '../../storage/engine.js';
import type { PeerTransport } from '../peer/types.js';
import { ImageReceiver } from './receiver.js';

/**
 * The state machine's image and the log's beginning. Marks in the log how far the image is durable,
 * so that old entries can go. Sends the image to followers whose entries are gone; receives one and
 * puts it in place.
 *
 * Order of durable steps: image synced -> marker in the log -> entries released; and for a
 * received image: written and synced -> marked staged -> marker in the log -> CURRENT switched -> old image removed.
 */
export interface SnapshotKeeperParts {
  readonly env: Env;
  readonly log: Logger;
  readonly dirs: DataDir;
  readonly wal: WalWriter;
  readonly node: RawNode;
  readonly transport: PeerTransport;
  readonly openEngine: EngineFactory;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly backend: () => Backend;
  /** Replaces the image in use by the one in `engine`, which is of log index `index`. */
  readonly install: (engine: Engine, index: number, done: Done) => void;
  readonly installed: (meta: SnapshotMeta) => void;
  readonly observer: MemberObserver | undefined;
}

export class SnapshotKeeper {
  private readonly p: SnapshotKeeperParts;
  private lastMarker: number;
  private marking = false;
  private receiving = false;
  private installing = false;
  private isStopped = false;
  /** Runs once no image is being installed any more. */
  private whenInstalled: (() => void) | null = null;
  /** Bytes of entries applied since the start, and up to the last marker. */
  private appliedBytes = 0;
  private markedBytes = 0;
  /** Points along the applied entries, oldest first, about MARK_BYTES apart. */
  private readonly marks: { readonly index: number; readonly bytes: number }[] = [];

  constructor(parts: SnapshotKeeperParts) {
    this.p = parts;
    this.lastMarker = parts.backend().appliedIndex;
  }

  /** Sets no more markers. `done` runs when log and image may be closed: an installation that is under way ends first. */
  stop(done: () => void): void {
    this.isStopped = true;
    if (this.installing) this.whenInstalled = done;
    else done();
  }

  /** Returns the seconds since it was made. */
  private stopwatch(): () => number {
    const { clock } = this.p.env;
    const startMs = clock.monoMs();
    return () => (clock.monoMs() - startMs) / 1000;
  }

  /** Sets a marker when enough was applied since the last one. `bytes`: of the entries applied since the last call. */
  onApplied(index: number, bytes: number): void {
    this.appliedBytes += bytes;
    const newest = this.marks[this.marks.length - 1];
    if (this.appliedBytes - (newest?.bytes ?? 0) >= MARK_BYTES) {
      this.marks.push({ index, bytes: this.appliedBytes });
    }
    const behind = index - this.lastMarker;
    if (this.isStopped || this.marking || this.installing || behind <= 0) return;
    const isLogLarge = this.appliedBytes - this.markedBytes >= MARKER_LOG_BYTES;
    if (behind < this.p.snapshotCount && !isLogLarge) return;
    const { node, wal, log } = this.p;
    const term = node.termAt(index);
    if (term === undefined) return;
    this.marking = true;
    const { appliedBytes } = this;
    const meta: SnapshotMeta = { index, term, confState: node.status().confState };
    const backend = this.p.backend();
    backend.flush();
    const seconds = this.stopwatch();
    backend.sync((error) => {
      this.p.observer?.markerSynced(seconds());
      if (error !== null || this.installing || this.isStopped) {
        this.marking = false;
        return;
      }
      wal.append({ hardState: null, entries: [], snapshot: meta }, true, () => {
        this.marking = false;
        this.lastMarker = meta.index;
        this.markedBytes = appliedBytes;
        const keepFrom = this.firstKept(meta.index);
        if (keepFrom > 0) {
          node.compactLog(keepFrom);
          wal.release(keepFrom);
        }
        log.debug('log marker set', { 'snapshot-index': meta.index, 'compacted-index': keepFrom });
      });
    });
  }

  /**
   * Entries up to this index may go: enough of the later ones stay for slow followers, but no more
   * than KEPT_LOG_BYTES.
   */
  private firstKept(markerIndex: number): number {
    let index = markerIndex - this.p.snapshotCatchupEntries;
    const floor = this.appliedBytes - KEPT_LOG_BYTES;
    for (
      let mark = this.marks[0];
      mark !== undefined && mark.bytes <= floor;
      mark = this.marks[0]
    ) {
      index = Math.max(index, mark.index);
      this.marks.shift();
    }
    return Math.min(index, markerIndex);
  }

  /** Streams the newest image to a follower and reports the outcome to the core. */
  send(message: Message): void {
    const { node, transport, log, observer } = this.p;
    const seconds = this.stopwatch();
    observer?.snapshotSending(message.to);
    const failed = (error: Error): void => {
      log.warn('sending a snapshot failed', { to: message.to, error: error.message });
      node.reportSnapshot(message.to, false);
      observer?.snapshotSent(message.to, false, seconds());
    };
    const backend = this.p.backend();
    backend.flush();
    backend.sync((syncError) => {
      if (syncError !== null) return failed(syncError);
      openDbSnapshot(backend, (openError, image) => {
        if (image === null) return failed(openError ?? new Error('no image'));
        const conf = decodeConfStateRecord(image.confState);
        const m: Message = {
          ...message,
          snapshot: { index: image.appliedIndex, term: image.term, confState: conf },
        };
        log.info('sending a snapshot', { to: message.to, 'snapshot-index': image.appliedIndex });
        transport.sendSnapshot(m, image.source, (sendError) => {
          if (sendError !== null) return failed(sendError);
          log.info('sent a snapshot', { to: message.to, 'snapshot-index': image.appliedIndex });
          node.reportSnapshot(message.to, true);
          observer?.snapshotSent(message.to, true, seconds());
        });
      });
    });
  }

  /** A leader is about to stream an image: where to put it, or null when one is being dealt with already. */
  receive(message: Message): SnapshotSink | null {
    const meta = message.snapshot;
    if (meta === null || this.receiving || this.installing) return null;
    // One that is staged and accepted waits to be installed: its directory must stay.
    if (this.p.node.hasPendingSnapshot) return null;
    if (meta.index <= this.p.node.commitIndex) return null;
    this.receiving = true;
    const { env, log, dirs, openEngine, observer } = this.p;
    const seconds = this.stopwatch();
    observer?.snapshotReceiving(message.from);
    return new ImageReceiver({
      env,
      log,
      dirs,
      openEngine,
      from: message.from,
      index: meta.index,
      onSynced: (syncSeconds) => observer?.snapshotSynced(syncSeconds),
      onEnd: (isStaged) => {
        this.receiving = false;
        observer?.snapshotReceived(message.from, isStaged, seconds());
      },
    });
  }

  /** The core accepted the staged image: make it the member's state. */
  install(meta: SnapshotMeta): void {
    const { dirs, wal, env, log } = this.p;
    this.installing = true;
    const give = (error: Error): never =>
      env.fatal(
        `installing the snapshot of index ${meta.index} failed: ${error.message}`,
        'start the member again; if it repeats, check its disk and restore its data directory from a backup',
        error,
      );
    wal.append({ hardState: null, entries: [], snapshot: meta }, true, () => {
      const old = dirs.currentDb;
      dirs.switchTo(meta.index);
      this.p.openEngine(dirs.dbDir(meta.index), (error, engine) => {
        if (engine === null) return give(error ?? new Error('the engine did not open'));
        this.p.install(engine, meta.index, (installError) => {
          if (installError !== null) return give(installError);
          this.lastMarker = meta.index;
          this.installing = false;
          if (old !== dirs.currentDb) env.disk.rmSync(old);
          wal.release(meta.index);
          log.info('installed a snapshot', { 'snapshot-index': meta.index });
          this.p.installed(meta);
          this.whenInstalled?.();
        });
      });
    });
  }
}
