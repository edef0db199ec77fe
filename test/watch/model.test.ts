import { expect } from 'chai';
import { encodeResponseHeader, decodeWatchResponse } from '../../src/gen/rpc.js';
import type { WatchResponse } from '../../src/gen/rpc.js';
import { decodeKeyValue } from '../../src/gen/kv.js';
import type { Interval } from '../../src/base/collections/interval.js';
import type { StoreEvent } from '../../src/mvcc/types.js';
import { WatchHub } from '../../src/watch/hub.js';
import type { WatchCreate, WatchStream } from '../../src/watch/stream.js';
import type { FakeChange } from './fakes.js';
import { FakeEnv, FakeSource, randomOf, seedOfRun } from './fakes.js';

/**
 * The hub against a slow model: random writers, watchers of all kinds, slow clients, compactions, snapshots, late
 * reads and exhausted time slices. Checks I15 to I19 on every message as the client sees it.
 */

const FRAGMENT_BYTES = 600;
const PROGRESS_MS = 1000;

/** `header = 1` field: tag, length, content; the revision identifies messages. */
function headerField(revision: number): Uint8Array {
  const content = encodeResponseHeader({ clusterId: 7n, memberId: 9n, revision, raftTerm: 2 });
  return Buffer.concat([Uint8Array.of(0x0a, content.length), content]);
}

/** One watcher from its client's side. */
interface ClientWatcher {
  readonly request: WatchCreate;
  /** Every matching event below this revision was received. */
  position: number;
  created: boolean;
  ended: boolean;
  fragments: WatchResponse['events'];
  fragmentRevision: number;
}

class Client {
  readonly stream: WatchStream;
  readonly watchers = new Map<bigint, ClientWatcher>();
  /** Messages to accept before the sink is full; -1: unlimited. */
  room = -1;
  queuedWhileFull = 0;
  private expectCreate: WatchCreate | undefined = undefined;
  progressAnswers = 0;
  private readonly world: World;

  constructor(world: World) {
    this.world = world;
    this.stream = world.hub.openStream(
      {
        headerField,
        write: (front, body) => {
          this.receive(decodeWatchResponse(Buffer.concat([front, body])));
          if (this.room > 0) this.room--;
          else if (this.room === 0) this.queuedWhileFull++;
          return this.room !== 0;
        },
        stopped: () => undefined,
      },
      { progressIntervalMs: PROGRESS_MS, fragmentBytes: FRAGMENT_BYTES },
    );
  }

  create(request: WatchCreate): void {
    this.expectCreate = request;
    this.stream.create(request);
    expect(this.expectCreate, 'create is answered at once').equals(undefined);
  }

  private receive(response: WatchResponse): void {
    const revision = response.header?.revision ?? 0;
    if (response.created) this.receiveCreated(response, revision);
    else if (response.canceled) this.receiveCanceled(response, revision);
    else if (response.events.length > 0) this.receiveEvents(response, revision);
    else this.receiveProgress(response, revision);
  }

  private receiveCreated(response: WatchResponse, revision: number): void {
    const request = this.expectCreate;
    this.expectCreate = undefined;
    if (request === undefined) throw new Error('created without a request');
    expect(revision).equals(this.world.source.currentRevision);
    if (response.canceled) {
      expect(response.watchId).equals(-1n);
      expect(this.world.shouldRefuse(this, request)).equals(true);
      return;
    }
    expect(this.world.shouldRefuse(this, request)).equals(false);
    if (request.watchId !== 0n) expect(response.watchId).equals(request.watchId);
    const position = request.startRevision === 0 ? revision + 1 : request.startRevision;
    this.watchers.set(response.watchId, {
      request,
      position,
      created: true,
      ended: false,
      fragments: [],
      fragmentRevision: 0,
    });
  }

  private receiveCanceled(response: WatchResponse, revision: number): void {
    const watcher = this.watchers.get(response.watchId);
    if (watcher === undefined) throw new Error('cancel of an unknown watcher');
    expect(response.cancelReason).equals('');
    if (response.compactRevision === 0) {
      this.watchers.delete(response.watchId);
      return;
    }
    expect(revision, 'no revision in a compacted cancel').equals(0);
    expect(response.compactRevision).equals(this.world.source.compactRevision);
    expect(watcher.ended).equals(false);
    expect(watcher.position, 'cancelled only if something is lost').lessThan(
      response.compactRevision,
    );
    watcher.ended = true;
  }

  private receiveEvents(response: WatchResponse, revision: number): void {
    const watcher = this.watchers.get(response.watchId);
    if (watcher === undefined || watcher.ended) throw new Error('events for no watcher');
    for (const event of response.events) watcher.fragments.push(event);
    if (response.fragment) {
      expect(watcher.request.fragment).equals(true);
      watcher.fragmentRevision = revision;
      return;
    }
    if (watcher.fragmentRevision !== 0) expect(revision).equals(watcher.fragmentRevision);
    watcher.fragmentRevision = 0;
    const events = watcher.fragments;
    watcher.fragments = [];
    this.checkEvents(watcher, events, revision);
  }

  private checkEvents(
    watcher: ClientWatcher,
    events: WatchResponse['events'],
    headerRevision: number,
  ): void {
    const last = events[events.length - 1]?.kv?.modRevision ?? 0;
    expect(headerRevision).at.least(last);
    const expected = this.world.expected(watcher, headerRevision);
    expect(events.length, 'complete, whole revisions').equals(expected.length);
    events.forEach((event, i) => {
      const change = expected[i];
      if (change === undefined) throw new Error('unreachable');
      expect(event.type).equals(change.type === 'put' ? 0 : 1);
      expect(event.kv).deep.equals(decodeKeyValue(change.kv));
      this.checkPrev(watcher, event, change);
    });
    watcher.position = headerRevision + 1;
  }

  private checkPrev(
    watcher: ClientWatcher,
    event: WatchResponse['events'][number],
    change: StoreEvent,
  ): void {
    if (!watcher.request.prevKv || change.prev === null) {
      expect(event.prevKv).equals(undefined);
      return;
    }
    const { source } = this.world;
    if (event.prevKv === undefined) {
      expect(change.modRevision, 'prev_kv missing').at.most(source.compactRevision);
    } else {
      const row = source.row(change.prev.main, change.prev.sub);
      expect(event.prevKv).deep.equals(decodeKeyValue(row));
    }
  }

  private receiveProgress(response: WatchResponse, revision: number): void {
    const ids = response.watchId === -1n ? [...this.watchers.keys()] : [response.watchId];
    if (response.watchId === -1n) this.progressAnswers++;
    let count = 0;
    for (const id of ids) {
      const watcher = this.watchers.get(id);
      if (watcher === undefined) throw new Error('progress for no watcher');
      if (watcher.ended) continue;
      count++;
      expect(watcher.request.startRevision).at.most(revision);
      const missing = this.world.expected(watcher, revision);
      expect(missing.length, 'a bookmark ahead of undelivered events').equals(0);
      if (revision >= watcher.position) watcher.position = revision + 1;
    }
    expect(count).greaterThan(0);
  }
}

class World {
  readonly env = new FakeEnv();
  readonly source = new FakeSource();
  readonly hub = new WatchHub({ env: this.env, source: this.source });
  readonly clients: Client[] = [];
  readonly random: () => number;
  private readonly pendingReads: (() => void)[] = [];

  constructor(seed: number) {
    this.random = randomOf(seed);
    this.env.random = this.random;
    this.source.answer = (run) => {
      if (this.random() < 0.3) run();
      else this.pendingReads.push(run);
    };
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  expected(watcher: ClientWatcher, through: number): StoreEvent[] {
    const { interval, noPut, noDelete } = watcher.request;
    const out: StoreEvent[] = [];
    if (interval === null) return out;
    for (let main = Math.max(0, watcher.position); main <= through; main++) {
      for (const event of this.source.revisions[main] ?? []) {
        const inside =
          event.key >= interval.start && (interval.end === null || event.key < interval.end);
        const filtered = event.type === 'put' ? noPut : noDelete;
        if (inside && !filtered) out.push(event);
      }
    }
    return out;
  }

  shouldRefuse(client: Client, request: WatchCreate): boolean {
    const { watchId } = request;
    return (
      request.interval === null ||
      request.startRevision < 0 ||
      watchId === -1n ||
      (watchId !== 0n && client.watchers.has(watchId))
    );
  }

  /** One random thing happens. */
  act(): void {
    const dice = this.below(100);
    const client = this.clients[this.below(this.clients.length)];
    if (dice < 30) this.write();
    else if (dice < 55) this.env.turn();
    else if (dice < 63)
      this.pendingReads.splice(this.below(this.pendingReads.length + 1), 1)[0]?.();
    else if (dice < 66) this.snapshot();
    else if (dice < 68) this.compact();
    else if (dice < 70) this.env.advance(this.below(2 * PROGRESS_MS));
    else if (dice < 72) this.env.msPerLook = this.below(3) * 2;
    else if (client === undefined || dice < 74) this.clients.push(new Client(this));
    else if (dice < 83) client.create(this.randomRequest(client));
    else if (dice < 86) client.stream.cancel(BigInt(this.below(6)));
    else if (dice < 91) client.stream.requestProgress();
    else if (dice < 94) client.room = this.below(4);
    else if (dice < 98) this.drain(client);
    else if (this.random() < 0.3) {
      client.stream.close();
      this.clients.splice(this.clients.indexOf(client), 1);
    }
  }

  /** Lets everything finish, and checks that no watcher misses anything. */
  finish(): void {
    this.env.msPerLook = 0;
    for (const client of this.clients) this.drain(client);
    for (let quiet = 0; quiet < 2;) {
      this.env.settle();
      const read = this.pendingReads.shift();
      read?.();
      quiet = read === undefined && this.env.deferredCount === 0 ? quiet + 1 : 0;
    }
    expect(this.hub.slowWatcherCount).equals(0);
    expect(this.hub.pendingEventCount).equals(0);
    for (const client of this.clients) {
      for (const watcher of client.watchers.values()) {
        if (watcher.ended) continue;
        const missing = this.expected(watcher, this.source.currentRevision);
        expect(missing.length, 'events never delivered').equals(0);
      }
      client.stream.close();
    }
    expect(this.hub.watcherCount).equals(0);
    expect(this.hub.streamCount).equals(0);
    expect(this.env.timerCount, 'timers left').equals(0);
  }

  private drain(client: Client): void {
    client.room = -1;
    client.stream.drained();
  }

  private changes(): FakeChange[] {
    const changes: FakeChange[] = [];
    const count = this.random() < 0.7 ? 1 : 1 + this.below(6);
    for (let i = 0; i < count; i++) {
      const key = this.key();
      if (changes.some((change) => change.key === key)) continue;
      if (this.source.has(key) && this.random() < 0.3) changes.push({ type: 'delete', key });
      else changes.push({ type: 'put', key, value: 'x'.repeat(this.below(300)) });
    }
    return changes;
  }

  private write(): void {
    const count = this.random() < 0.8 ? 1 : this.below(10);
    for (let i = 0; i < count; i++) {
      const events = this.source.commit(this.changes());
      this.hub.notify(this.source.currentRevision, events);
    }
  }

  /** The store jumps ahead without a report to the hub for each revision. */
  private snapshot(): void {
    if (this.random() < 0.5) {
      this.hub.suspend();
      this.env.turn();
    }
    const count = this.below(5);
    for (let i = 0; i < count; i++) this.source.commit(this.changes());
    if (this.random() < 0.3) this.compact();
    this.hub.restore();
  }

  private compact(): void {
    const { source } = this;
    const revision = source.currentRevision - this.below(12);
    if (revision > source.compactRevision) source.compactRevision = revision;
  }

  private key(): string {
    return `k${this.below(8)}`;
  }

  private interval(): Interval | null {
    const start = this.key();
    const dice = this.random();
    if (dice < 0.4) return { start, end: `${start}\0` };
    if (dice < 0.5) return { start: 'k', end: 'l' };
    if (dice < 0.6) return { start, end: null };
    const end = this.key();
    return end > start ? { start, end } : null;
  }

  private randomRequest(client: Client): WatchCreate {
    const { currentRevision } = this.source;
    const dice = this.random();
    let startRevision = 0;
    if (dice < 0.03) startRevision = -1;
    else if (dice < 0.4) startRevision = Math.max(1, currentRevision - this.below(30));
    else if (dice < 0.6) startRevision = currentRevision + 1 + this.below(8);
    return {
      interval: this.interval(),
      startRevision,
      watchId: this.random() < 0.7 ? 0n : BigInt(this.below(8) - 2),
      prevKv: this.random() < 0.4,
      noPut: this.random() < 0.15,
      noDelete: this.random() < 0.15,
      progressNotify: this.random() < 0.5,
      fragment: client.watchers.size % 2 === 0,
    };
  }
}

describe('WatchHub against a model', () => {
  const first = seedOfRun();

  it(`loses, repeats and reorders nothing, and its bookmarks are true (SEED=${first})`, () => {
    const runs = process.env['SEED'] === undefined ? 300 : 1;
    for (let run = 0; run < runs; run++) {
      const seed = first + run;
      const world = new World(seed);
      try {
        for (let step = 0; step < 400; step++) world.act();
        world.finish();
      } catch (error) {
        throw new Error(`SEED=${seed}`, { cause: error });
      }
    }
  });
});
