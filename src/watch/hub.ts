import type { Env } from '../base/env/env.js';
import { invariant, verification } from '../base/invariant.js';
import type { Interval } from '../base/collections/interval.js';
import type { StoreEvent } from '../mvcc/types.js';
import type { CatchUpHost } from './catch-up.js';
import { CatchUp } from './catch-up.js';
import { Delivery } from './delivery.js';
import type { WatchSource } from './event.js';
import type { WatchEvent } from './event.js';
import type { WatcherState, WatchGroup } from './group.js';
import { GroupIndex, Watcher } from './group.js';
import type { BatchBounds } from './recent.js';
import { RecentEvents } from './recent.js';
import type { WatchSink, WatchStreamOptions } from './stream.js';
import { WatchStream } from './stream.js';
import {
  DISPATCH_SLICE_MS,
  DISPATCH_STEPS_PER_LOOK,
  RECENT_BYTES,
  UNDISPATCHED_BYTES,
} from './limits.js';

/**
 * The watch hub: turns committed changes into the event streams of watchers.
 *
 * Apply reports each revision (`notify`), which only stores the events. Once per turn the hub
 * dispatches the stored events: each finds the groups of watchers it concerns, and each group's
 * events are encoded once. Every watcher of the group gets one message, also if several revisions
 * came together. A watcher that starts in the past, or whose client reads too slowly, is "behind".
 * It is served from recent events or from the store's history (CatchUp).
 *
 * Promises, per watcher: Events come in (main, sub) order, each once, none missing, all of one
 * revision in one response (or its fragments). Memory is bounded against any client. A progress
 * answer of revision r is sent only after all events up to r. No step runs much longer than
 * DISPATCH_SLICE_MS.
 *
 * Called by: apply (notify, restore), the watch service (openStream and what it returns), metrics (getters).
 */

/** Most events and bytes in one response, or one step of the dispatch; a revision is never cut. */
const BATCH: BatchBounds = { revisions: 1000, events: 1000, bytes: 512 * 1024 };

/** The dispatch of revisions [from, to] to synced watchers, which may take several slices. */
interface Dispatch {
  readonly from: number;
  readonly to: number;
  /** Matching: next event to look at. */
  revision: number;
  position: number;
  /** Sending: group and content under way. */
  groupIndex: number;
  content: Delivery | undefined;
}

export class WatchHub implements CatchUpHost {
  readonly env: Env;
  private readonly source: WatchSource;
  private readonly groups = new GroupIndex();
  private readonly streams = new Set<WatchStream>();
  private readonly recent: RecentEvents;
  private readonly catchUp: CatchUp;
  /** Newest revision reported by apply. */
  private revision: number;
  /** Synced watchers were sent everything up to here. dispatched <= dispatchRevision <= revision. */
  private dispatched: number;
  private dispatch: Dispatch | undefined = undefined;
  /** Groups with a batch in the dispatch under way. */
  private touched: WatchGroup[] = [];
  private readonly found: WatchGroup[] = [];
  private progressQueue: WatchStream[] = [];
  private turnScheduled = false;
  /** Watchers by state. */
  private readonly count = { synced: 0, behind: 0, parked: 0, none: 0 };
  private sent = 0;
  private closed = false;
  /** The store's content is being replaced. */
  private suspended = false;
  private readonly turn = (): void => {
    this.turnScheduled = false;
    this.runTurn();
  };

  constructor(options: { readonly env: Env; readonly source: WatchSource }) {
    this.env = options.env;
    this.source = options.source;
    this.revision = options.source.currentRevision;
    this.dispatched = this.revision;
    this.recent = new RecentEvents(this.revision + 1);
    this.catchUp = new CatchUp({
      env: options.env,
      source: options.source,
      recent: this.recent,
      bounds: BATCH,
      host: this,
    });
  }

  /** Newest revision reported to the hub. */
  get currentRevision(): number {
    return this.revision;
  }

  /** Revision up to which synced watchers are being, or have been, considered. */
  get dispatchRevision(): number {
    return this.dispatch?.to ?? this.dispatched;
  }

  // ---- metrics ----

  get watcherCount(): number {
    return this.count.synced + this.slowWatcherCount;
  }

  get streamCount(): number {
    return this.streams.size;
  }

  /** Watchers that are behind, for any reason. */
  get slowWatcherCount(): number {
    return this.count.behind + this.count.parked;
  }

  /** Events committed and not yet dispatched to synced watchers. */
  get pendingEventCount(): number {
    let count = 0;
    for (let revision = this.dispatched + 1; revision <= this.revision; revision++) {
      count += this.recent.eventsOf(revision).length;
    }
    return count;
  }

  /** Events sent to watchers since the start. */
  get eventsSent(): number {
    return this.sent;
  }

  // ---- apply ----

  /** Takes note of a committed revision. Requires: revisions come in order, without gaps. */
  notify(revision: number, events: readonly StoreEvent[]): void {
    if (this.watcherCount === 0) {
      this.skipTo(revision);
      return;
    }
    this.recent.push(revision, events);
    this.revision = revision;
    if (this.recent.sizeBytes > UNDISPATCHED_BYTES) this.dispatchEverything();
    this.wake();
  }

  /** The store's content is about to be replaced: nothing is read from it, and nothing dispatched, before `restore`. */
  suspend(): void {
    this.suspended = true;
    this.catchUp.reset();
  }

  /**
   * The store's content was replaced by a snapshot's. Watchers go on from their own next revision, out of the new
   * history; those that wait for a revision still to come keep waiting.
   */
  restore(): void {
    const delivered = this.dispatched;
    this.suspended = false;
    this.abandonDispatch();
    this.catchUp.reset();
    this.revision = this.source.currentRevision;
    this.dispatched = this.revision;
    this.recent.reset(this.revision + 1);
    for (const stream of this.streams) {
      for (const watcher of stream.liveWatchers()) {
        if (watcher.state !== 'synced') continue;
        if (watcher.next <= delivered) watcher.next = delivered + 1;
        if (watcher.next <= this.revision) this.setState(watcher, 'behind');
      }
    }
    this.wake();
  }

  // ---- service ----

  openStream(sink: WatchSink, options: WatchStreamOptions): WatchStream {
    const stream = new WatchStream(this, sink, options);
    if (this.closed) {
      stream.close();
      this.env.defer(() => sink.stopped());
    } else this.streams.add(stream);
    return stream;
  }

  /** Stops all work and has every stream ended. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.catchUp.reset();
    for (const stream of [...this.streams]) {
      stream.close();
      stream.sink.stopped();
    }
  }

  // ---- for streams ----

  addWatcher(
    stream: WatchStream,
    interval: Interval,
    options: number,
    request: {
      readonly id: bigint;
      readonly startRevision: number;
      readonly progressNotify: boolean;
      readonly fragment: boolean;
    },
  ): Watcher {
    const next = request.startRevision === 0 ? this.revision + 1 : request.startRevision;
    const group = this.groups.acquire(interval, options);
    const watcher = new Watcher(stream, group, { ...request, next });
    if (next > this.revision) this.setState(watcher, 'synced');
    else {
      this.setState(watcher, 'behind');
      this.wake();
    }
    return watcher;
  }

  removeWatcher(watcher: Watcher): void {
    this.setState(watcher, 'none');
    this.groups.release(watcher.group);
  }

  removeStream(stream: WatchStream): void {
    this.streams.delete(stream);
  }

  /** The stream's sink has room: its parked watchers go on. */
  resume(stream: WatchStream): void {
    let watcher = stream.parked.head;
    if (watcher === undefined) return;
    for (; watcher !== undefined; watcher = stream.parked.head) this.setState(watcher, 'behind');
    this.wake();
  }

  /** Lets the stream answer progress as soon as that can be true. */
  answerProgress(stream: WatchStream): void {
    if (this.dispatched === this.revision) stream.writeProgress(this.dispatched);
    else if (!stream.progressQueued) {
      stream.progressQueued = true;
      this.progressQueue.push(stream);
    }
  }

  // ---- for catching up ----

  /** Moves a watcher to the end of the list of its new state. One that stays behind goes to the back of the queue. */
  setState(watcher: Watcher, to: WatcherState): void {
    const from = watcher.state;
    invariant(
      isStep(from, to) && (to !== 'synced' || watcher.next > this.dispatchRevision),
      'watcher {} is {} and becomes {}',
      watcher.id,
      from,
      to,
    );
    watcher.list?.remove(watcher);
    this.count[from]--;
    this.count[to]++;
    watcher.state = to;
    switch (to) {
      case 'synced':
        watcher.group.synced.append(watcher);
        break;
      case 'behind':
        this.catchUp.behind.append(watcher);
        break;
      case 'parked':
        watcher.stream.parked.append(watcher);
        break;
      case 'none':
        break;
    }
  }

  send(watcher: Watcher, delivery: Delivery): void {
    this.sent += delivery.events.length;
    watcher.stream.send(watcher, delivery);
  }

  wake(): void {
    if (this.turnScheduled || this.suspended || this.closed) return;
    this.turnScheduled = true;
    this.env.defer(this.turn);
  }

  // ---- turns ----

  private runTurn(): void {
    if (this.closed || this.suspended) return;
    const { clock } = this.env;
    const startMs = clock.monoMs();
    let more = false;
    while (this.dispatched < this.revision) {
      more = !this.step(startMs + DISPATCH_SLICE_MS);
      if (more || clock.monoMs() >= startMs + DISPATCH_SLICE_MS) break;
    }
    this.flushProgress();
    if (this.dispatched < this.revision) more = true;
    // Dispatching may use up its time turn after turn: those behind have time of their own.
    if (this.catchUp.run(clock.monoMs() + DISPATCH_SLICE_MS)) more = true;
    this.trimRecent();
    if (more) this.wake();
  }

  private dispatchEverything(): void {
    while (this.dispatched < this.revision) this.step(Infinity);
    this.trimRecent();
    this.flushProgress();
  }

  /**
   * Keeps dispatched events only for watchers that are behind: thousands of objects that live for seconds would be
   * copied by every young collection. A watcher that starts in the past is served from history.
   */
  private trimRecent(): void {
    this.recent.trim(this.dispatched, this.slowWatcherCount > 0 ? RECENT_BYTES : 0);
  }

  private flushProgress(): void {
    if (this.dispatched < this.revision || this.progressQueue.length === 0) return;
    const streams = this.progressQueue;
    this.progressQueue = [];
    for (const stream of streams) {
      stream.progressQueued = false;
      stream.writeProgress(this.dispatched);
    }
  }

  /** Works on one batch of revisions until it is finished or the deadline passes; false in the latter case. */
  private step(deadlineMs: number): boolean {
    let { dispatch } = this;
    if (dispatch === undefined) {
      const from = this.dispatched + 1;
      const to = this.recent.batchEnd(from, BATCH);
      dispatch = { from, to, revision: from, position: 0, groupIndex: 0, content: undefined };
      this.dispatch = dispatch;
    }
    if (!this.match(dispatch, deadlineMs) || !this.sendTouched(dispatch, deadlineMs)) return false;
    this.dispatched = dispatch.to;
    this.dispatch = undefined;
    this.touched = [];
    invariant(
      this.dispatched <= this.revision,
      'revision {} is dispatched, {} is the newest',
      this.dispatched,
      this.revision,
    );
    if (verification.isOn) this.check();
    return true;
  }

  /** Puts each event of the batch into the batches of the groups it concerns. */
  private match(dispatch: Dispatch, deadlineMs: number): boolean {
    let looked = 0;
    for (; dispatch.revision <= dispatch.to; dispatch.revision++, dispatch.position = 0) {
      const events = this.recent.eventsOf(dispatch.revision);
      while (dispatch.position < events.length) {
        const event = events[dispatch.position++];
        if (event !== undefined) this.matchOne(event);
        if (++looked % DISPATCH_STEPS_PER_LOOK === 0 && this.env.clock.monoMs() >= deadlineMs)
          return false;
      }
    }
    return true;
  }

  private matchOne(event: WatchEvent): void {
    const { found } = this;
    this.groups.find(event.change.key, found);
    for (const first of found) {
      let group: WatchGroup | undefined = first;
      for (; group !== undefined; group = group.sibling) {
        if (group.synced.size === 0 || !group.passes(event.change)) continue;
        if (group.batch === undefined) {
          group.batch = [event];
          this.touched.push(group);
        } else group.batch.push(event);
      }
    }
    found.length = 0;
  }

  private sendTouched(dispatch: Dispatch, deadlineMs: number): boolean {
    let looked = 0;
    for (; dispatch.groupIndex < this.touched.length; dispatch.groupIndex++) {
      const group = this.touched[dispatch.groupIndex];
      if (group?.batch === undefined) continue;
      if (dispatch.content === undefined) {
        dispatch.content = this.contentOf(group, group.batch);
        group.synced.cursor = group.synced.head;
      }
      const { content } = dispatch;
      let watcher = group.synced.advance();
      while (watcher !== undefined) {
        this.deliver(watcher, content, dispatch);
        if (++looked % DISPATCH_STEPS_PER_LOOK === 0 && this.env.clock.monoMs() >= deadlineMs)
          return false;
        watcher = group.synced.advance();
      }
      group.batch = undefined;
      dispatch.content = undefined;
    }
    return true;
  }

  private contentOf(group: WatchGroup, events: readonly WatchEvent[]): Delivery {
    const headerRevision = events[events.length - 1]?.change.modRevision ?? this.revision;
    return new Delivery(this.source, { events, withPrev: group.wantsPrev, headerRevision });
  }

  private deliver(watcher: Watcher, content: Delivery, dispatch: Dispatch): void {
    if (watcher.next > content.lastRevision) return;
    if (watcher.stream.full) {
      if (watcher.next < dispatch.from) watcher.next = dispatch.from;
      this.setState(watcher, 'parked');
      return;
    }
    const isWhole = watcher.next <= content.firstRevision;
    this.send(watcher, isWhole ? content : content.since(watcher.next));
    watcher.next = dispatch.to + 1;
  }

  /** Asserts that every watcher is in the list of its state, and that the counts are those of the lists. */
  private check(): void {
    const count = { synced: 0, behind: 0, parked: 0, none: 0 };
    for (const stream of this.streams) {
      for (const watcher of stream.liveWatchers()) {
        count[watcher.state]++;
        const { group, list, state } = watcher;
        const isInPlace =
          (state === 'synced' && list === group.synced) ||
          (state === 'behind' && list === this.catchUp.behind) ||
          (state === 'parked' && list === stream.parked);
        invariant(isInPlace, 'watcher {} is {} and in another list', watcher.id, state);
      }
    }
    for (const state of ['synced', 'behind', 'parked'] as const) {
      const counted = this.count[state];
      invariant(
        count[state] === counted,
        '{} watchers are {}, not {}',
        count[state],
        state,
        counted,
      );
    }
  }

  private abandonDispatch(): void {
    for (const group of this.touched) {
      group.batch = undefined;
      group.synced.cursor = undefined;
    }
    this.touched = [];
    this.dispatch = undefined;
  }

  /** Moves on to `revision` while there are no watchers. */
  private skipTo(revision: number): void {
    if (this.dispatch !== undefined) this.abandonDispatch();
    this.revision = revision;
    this.dispatched = revision;
    this.recent.reset(revision + 1);
  }
}

/** The steps between states: only catching up makes a watcher synced, and only its stream's room ends parking. */
function isStep(from: WatcherState, to: WatcherState): boolean {
  switch (to) {
    case 'synced':
      return from === 'none' || from === 'behind';
    case 'behind':
      return true;
    case 'parked':
      return from === 'synced' || from === 'behind';
    case 'none':
      return from !== 'none';
  }
}
