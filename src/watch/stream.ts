import type { Timer } from '../base/env/env.js';
import { invariant } from '../base/invariant.js';
import type { Interval } from '../base/collections/interval.js';
import type { Delivery } from './delivery.js';
import type { Watcher } from './group.js';
import { WatcherList, WatchOption } from './group.js';
import type { WatchHub } from './hub.js';
import type { ControlFields } from './wire.js';
import { encodeControl } from './wire.js';

/** Receiver of a stream's messages. */
export interface WatchSink {
  /** The encoded `header = 1` field for a store revision. The same array for the same content, if possible. */
  headerField(revision: number): Uint8Array;
  /**
   * Queues one encoded WatchResponse: the bytes of `front`, then those of `body`; both may be shared with other
   * streams. False when the queue is full: the stream then sends no events until `WatchStream.drained` is called.
   */
  write(front: Uint8Array, body: Uint8Array): boolean;
  /** The hub stopped; nothing more will be written. */
  stopped(): void;
}

export interface WatchStreamOptions {
  /** Time between periodic progress notifications. */
  readonly progressIntervalMs: number;
  /** Responses of at least this size are cut for watchers that asked for fragments. */
  readonly fragmentBytes: number;
}

export interface WatchCreate {
  /** Null when the client gave an interval that contains no key. */
  readonly interval: Interval | null;
  /** 0 means "after the current revision". */
  readonly startRevision: number;
  /** 0 lets the stream choose. */
  readonly watchId: bigint;
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
}

const NO_BODY = new Uint8Array(0);
/** The id in answers that belong to no watcher. */
const NO_WATCH_ID = -1n;

/** cancel_reason texts that clients match on. */
const WatchRefusal = {
  duplicateId: 'mvcc: duplicate watch ID provided on the WatchStream',
  emptyInterval: 'mvcc: watcher range is empty',
  negativeStart: 'etcdserver: mvcc: required revision has been compacted',
} as const;

/** The watchers of one client stream. Made by WatchHub.openStream. */
export class WatchStream {
  readonly sink: WatchSink;
  readonly options: WatchStreamOptions;
  private readonly hub: WatchHub;
  /** Null for a watcher that was cancelled for compaction and whose id the client has yet to release. */
  private readonly watchers = new Map<bigint, Watcher | null>();
  private live = 0;
  private nextId = 0n;
  private progressTimer: Timer | undefined = undefined;
  /** Watchers waiting for the sink to drain. */
  readonly parked = new WatcherList();
  /** The sink's queue is full. */
  full = false;
  closed = false;
  /** Manual progress requests to answer when everything committed so far is dispatched. */
  private progressAsked = 0;
  private progressDue = false;
  /** In the hub's list of streams to answer. */
  progressQueued = false;

  constructor(hub: WatchHub, sink: WatchSink, options: WatchStreamOptions) {
    this.hub = hub;
    this.sink = sink;
    this.options = options;
  }

  /** Watchers that can still get events. */
  get watcherCount(): number {
    return this.live;
  }

  /** Creates a watcher or refuses; the answer is written before any event of the watcher. */
  create(request: WatchCreate): void {
    if (this.closed) return;
    if (request.interval === null) return this.refuse(WatchRefusal.emptyInterval);
    if (request.startRevision < 0) return this.refuse(WatchRefusal.negativeStart);
    const id = request.watchId === 0n ? this.freeId() : request.watchId;
    if (id === NO_WATCH_ID || this.watchers.has(id)) return this.refuse(WatchRefusal.duplicateId);
    this.control(id, { created: true });
    let options: number = WatchOption.none;
    if (request.noPut) options |= WatchOption.noPut;
    if (request.noDelete) options |= WatchOption.noDelete;
    if (request.prevKv) options |= WatchOption.prevKv;
    const watcher = this.hub.addWatcher(this, request.interval, options, {
      id,
      startRevision: request.startRevision,
      progressNotify: request.progressNotify,
      fragment: request.fragment,
    });
    this.watchers.set(id, watcher);
    this.live++;
    if (request.progressNotify) this.startProgressTimer();
  }

  /** Answers a creation that is refused: created and canceled at once, under no id. */
  refuse(reason: string): void {
    this.control(NO_WATCH_ID, { created: true, canceled: true, cancelReason: reason });
  }

  /** Ends a watcher and sends its cancellation; no effect for an unknown id. */
  cancel(id: bigint): void {
    const watcher = this.watchers.get(id);
    if (this.closed || watcher === undefined) return;
    this.watchers.delete(id);
    if (watcher !== null) {
      this.live--;
      this.hub.removeWatcher(watcher);
    }
    this.control(id, { canceled: true });
  }

  /** Asks for one progress answer for the whole stream; none comes if it could not be true. */
  requestProgress(): void {
    if (this.closed) return;
    this.progressAsked++;
    this.hub.answerProgress(this);
  }

  /** The sink has room again. */
  drained(): void {
    if (!this.full || this.closed) return;
    this.full = false;
    this.hub.resume(this);
  }

  /** Forgets the stream and its watchers; nothing is written. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.progressTimer?.cancel();
    for (const watcher of this.watchers.values()) {
      if (watcher !== null) this.hub.removeWatcher(watcher);
    }
    this.watchers.clear();
    this.live = 0;
    this.hub.removeStream(this);
  }

  /** For the hub: the watchers that can get events. */
  *liveWatchers(): Generator<Watcher> {
    for (const watcher of this.watchers.values()) if (watcher !== null) yield watcher;
  }

  /** For the hub: writes the content to one watcher of this stream. */
  send(watcher: Watcher, delivery: Delivery): void {
    invariant(
      !this.closed && !this.full,
      'watcher {} is sent events by a stream without room',
      watcher.id,
    );
    const header = this.sink.headerField(delivery.headerRevision);
    const { fragmentBytes } = this.options;
    watcher.quiet = false;
    if (watcher.fragment && delivery.needsFragments(header, watcher.id, fragmentBytes)) {
      for (const part of delivery.encodeFragments(header, watcher.id, fragmentBytes)) {
        this.write(part);
      }
    } else this.write(delivery.front(header, watcher.id), delivery.body());
  }

  /**
   * For the hub: ends a watcher whose next revision is compacted. Its id stays taken until the client cancels it,
   * which is answered once, but it no longer counts as a watcher.
   */
  cancelCompacted(watcher: Watcher, compactRevision: number): void {
    invariant(
      this.watchers.get(watcher.id) === watcher && watcher.next < compactRevision,
      'watcher {} is cancelled for a compaction at {}',
      watcher.id,
      compactRevision,
    );
    this.watchers.set(watcher.id, null);
    this.live--;
    this.hub.removeWatcher(watcher);
    const header = this.sink.headerField(0);
    this.write(encodeControl(header, watcher.id, { canceled: true, compactRevision }));
  }

  /**
   * For the hub: answers progress requests, given that every event up to `revision` was dispatched.
   */
  writeProgress(revision: number): void {
    const asked = this.progressAsked;
    const due = this.progressDue;
    this.progressAsked = 0;
    this.progressDue = false;
    if (this.closed) return;
    const header = this.sink.headerField(revision);
    if (asked > 0 && this.allCurrent(revision)) {
      const message = encodeControl(header, NO_WATCH_ID, {});
      for (let i = 0; i < asked; i++) this.write(message);
    }
    if (due) this.writePeriodicProgress(revision, header);
  }

  private writePeriodicProgress(revision: number, header: Uint8Array): void {
    for (const watcher of this.watchers.values()) {
      if (watcher === null || !watcher.progressNotify) continue;
      // A client that does not read must not collect notifications.
      if (watcher.quiet && !this.full && isCurrent(watcher, revision)) {
        this.write(encodeControl(header, watcher.id, {}));
      }
      watcher.quiet = true;
    }
  }

  private allCurrent(revision: number): boolean {
    if (this.live === 0) return false;
    for (const watcher of this.watchers.values()) {
      if (watcher !== null && !isCurrent(watcher, revision)) return false;
    }
    return true;
  }

  private startProgressTimer(): void {
    if (this.progressTimer !== undefined) return;
    const { progressIntervalMs } = this.options;
    const { env } = this.hub;
    // Streams opened together should not all notify together.
    const jitterMs = (progressIntervalMs / 10) * (env.randomU32() / 0x1_0000_0000);
    const intervalMs = progressIntervalMs + jitterMs;
    const tick = (): void => {
      this.progressTimer = env.after(intervalMs, tick);
      this.progressDue = true;
      this.hub.answerProgress(this);
    };
    this.progressTimer = env.after(intervalMs, tick);
  }

  private freeId(): bigint {
    while (this.watchers.has(this.nextId)) this.nextId++;
    return this.nextId++;
  }

  private control(id: bigint, fields: ControlFields): void {
    this.write(encodeControl(this.sink.headerField(this.hub.currentRevision), id, fields));
  }

  private write(front: Uint8Array, body: Uint8Array = NO_BODY): void {
    if (this.closed) return;
    if (!this.sink.write(front, body)) this.full = true;
  }
}

/** True if the watcher was sent everything up to `revision` and is past the start it asked for. */
function isCurrent(watcher: Watcher, revision: number): boolean {
  return watcher.state === 'synced' && watcher.startRevision <= revision;
}
