import { expect } from 'chai';
import { decodeWatchResponse, encodeResponseHeader } from '../../src/gen/rpc.js';
import type { WatchResponse } from '../../src/gen/rpc.js';
import type { RecentEvents } from '../../src/watch/recent.js';
import { WatchHub } from '../../src/watch/hub.js';
import type { WatchCreate, WatchStream } from '../../src/watch/stream.js';
import type { FakeChange } from './fakes.js';
import { FakeEnv, FakeSource } from './fakes.js';

const FRAGMENT_BYTES = 2000;

function headerField(revision: number): Uint8Array {
  const content = encodeResponseHeader({ clusterId: 1n, memberId: 2n, revision, raftTerm: 3 });
  return Buffer.concat([Uint8Array.of(0x0a, content.length), content]);
}

interface Opened {
  readonly stream: WatchStream;
  readonly raw: Uint8Array[];
  /** The second parts of the messages. */
  readonly bodies: Uint8Array[];
  /** Responses since the last look. */
  take(): WatchResponse[];
  isFull: boolean;
  stopped: boolean;
}

class Fixture {
  readonly env = new FakeEnv();
  readonly source = new FakeSource();
  readonly hub = new WatchHub({ env: this.env, source: this.source });
  private readonly headers = new Map<number, Uint8Array>();

  open(): Opened {
    const raw: Uint8Array[] = [];
    const bodies: Uint8Array[] = [];
    let seen = 0;
    const opened: Opened = {
      stream: this.hub.openStream(
        {
          headerField: (revision) => {
            const known = this.headers.get(revision) ?? headerField(revision);
            this.headers.set(revision, known);
            return known;
          },
          write: (front, body) => {
            raw.push(Buffer.concat([front, body]));
            bodies.push(body);
            return !opened.isFull;
          },
          stopped: () => (opened.stopped = true),
        },
        { progressIntervalMs: 1000, fragmentBytes: FRAGMENT_BYTES },
      ),
      raw,
      bodies,
      take: () => {
        const fresh = raw.slice(seen).map((message) => decodeWatchResponse(message));
        seen = raw.length;
        return fresh;
      },
      isFull: false,
      stopped: false,
    };
    return opened;
  }

  commit(...changes: FakeChange[]): void {
    this.hub.notify(this.source.currentRevision + 1, this.source.commit(changes));
  }

  put(key: string, value?: string): void {
    this.commit({ type: 'put', key, ...(value === undefined ? {} : { value }) });
  }
}

function watch(start: string, request: Partial<WatchCreate> = {}): WatchCreate {
  return {
    interval: { start, end: `${start}\0` },
    startRevision: 0,
    watchId: 0n,
    prevKv: false,
    noPut: false,
    noDelete: false,
    progressNotify: false,
    fragment: false,
    ...request,
  };
}

/** Revisions of the events, and the key of each. */
function eventsOf(responses: readonly WatchResponse[]): string[] {
  return responses.flatMap((response) =>
    response.events.map(
      (event) =>
        `${event.kv?.modRevision}${event.type === 0 ? '+' : '-'}${Buffer.from(event.kv?.key ?? []).toString()}`,
    ),
  );
}

describe('WatchHub', () => {
  let f: Fixture;
  let client: Opened;
  beforeEach(() => {
    f = new Fixture();
    client = f.open();
  });

  it('does nothing per revision while there are no watchers', () => {
    f.put('a');
    expect(f.env.deferredCount).equals(0);
    expect(f.hub.pendingEventCount).equals(0);
    expect(f.hub.currentRevision).equals(2);
  });

  it('sends one message per watcher for the revisions of one turn, with the same event bytes for all', () => {
    const other = f.open();
    client.stream.create(watch('a'));
    other.stream.create(watch('a', { watchId: 7n }));
    f.put('a');
    f.put('a');
    f.env.settle();
    expect(client.raw.length).equals(2);
    expect(client.bodies[1]?.length).greaterThan(0);
    expect(client.bodies[1]).equals(other.bodies[1]);
    expect(eventsOf(other.take())).deep.equal(['2+a', '3+a']);
    expect(eventsOf(client.take())).deep.equals(['2+a', '3+a']);
  });

  it('sends all events of a revision in one response with the header of that revision', () => {
    client.stream.create(watch('a', { interval: { start: 'a', end: 'c' } }));
    f.commit({ type: 'put', key: 'a' }, { type: 'put', key: 'b' }, { type: 'put', key: 'c' });
    f.put('z');
    f.env.settle();
    const [created, events] = client.take();
    expect(created?.created).equals(true);
    expect(created?.header?.revision).equals(1);
    expect(events?.header?.revision).equals(2);
    expect(eventsOf(events === undefined ? [] : [events])).deep.equals(['2+a', '2+b']);
  });

  it('gives ids from a counter that skips ids in use and never goes back', () => {
    client.stream.create(watch('a'));
    client.stream.create(watch('a', { watchId: 2n }));
    client.stream.create(watch('a'));
    client.stream.create(watch('a'));
    client.stream.cancel(1n);
    client.stream.create(watch('a'));
    client.stream.create(watch('a', { watchId: 1n }));
    const ids = client.take().map((r) => `${r.canceled ? 'x' : ''}${r.watchId}`);
    expect(ids).deep.equals(['0', '2', '1', '3', 'x1', '4', '1']);
  });

  it('E10, E11: refuses duplicate ids, -1, empty intervals and negative starts under id -1', () => {
    client.stream.create(watch('a', { watchId: 7n }));
    client.take();
    client.stream.create(watch('a', { watchId: 7n }));
    client.stream.create(watch('a', { watchId: -1n }));
    client.stream.create(watch('a', { interval: null }));
    client.stream.create(watch('a', { startRevision: -1 }));
    const refusals = client.take();
    expect(refusals.map((r) => [r.watchId, r.created, r.canceled])).deep.equals(
      Array.from({ length: 4 }, () => [-1n, true, true]),
    );
    expect(refusals.map((r) => r.cancelReason)).deep.equals([
      'mvcc: duplicate watch ID provided on the WatchStream',
      'mvcc: duplicate watch ID provided on the WatchStream',
      'mvcc: watcher range is empty',
      'etcdserver: mvcc: required revision has been compacted',
    ]);
    expect(f.hub.watcherCount).equals(1);
  });

  it('E10: closes the watcher with id 0 and no other', () => {
    client.stream.create(watch('a'));
    client.stream.create(watch('a'));
    client.stream.cancel(0n);
    f.put('a');
    f.env.settle();
    expect(
      client
        .take()
        .filter((r) => r.events.length > 0)
        .map((r) => r.watchId),
    ).deep.equals([1n]);
  });

  it('answers a cancel once, sends nothing after it, and ignores unknown ids', () => {
    client.stream.create(watch('a'));
    f.put('a');
    client.stream.cancel(0n);
    client.stream.cancel(0n);
    client.stream.cancel(99n);
    f.env.settle();
    const responses = client.take();
    expect(responses.map((r) => r.canceled)).deep.equals([false, true]);
    expect(responses[1]?.cancelReason).equals('');
  });

  it('E20: forgets watchers and streams that end', () => {
    client.stream.create(watch('a', { interval: { start: 'a', end: 'z' } }));
    client.stream.create(watch('a', { interval: { start: 'a', end: 'y' } }));
    client.stream.create(watch('a', { progressNotify: true }));
    client.stream.cancel(0n);
    expect(f.hub.watcherCount).equals(2);
    client.stream.close();
    client.stream.close();
    expect([f.hub.watcherCount, f.hub.streamCount, f.env.timerCount]).deep.equals([0, 0, 0]);
  });

  it('E18, E15: a stream that is closed while it is behind or full is counted once', () => {
    f.put('a');
    client.stream.create(watch('a', { startRevision: 2 }));
    client.stream.create(watch('a'));
    client.isFull = true;
    f.put('a');
    f.env.settle();
    f.put('a');
    f.env.settle();
    expect(f.hub.slowWatcherCount).equals(2);
    client.stream.cancel(1n);
    client.stream.close();
    expect([f.hub.slowWatcherCount, f.hub.watcherCount]).deep.equals([0, 0]);
  });

  it('starts in the past from history and goes on live', () => {
    f.put('a');
    f.put('b');
    f.put('a');
    client.stream.create(watch('a', { startRevision: 2 }));
    f.env.settle();
    f.put('a');
    f.env.settle();
    const responses = client.take();
    expect(eventsOf(responses)).deep.equals(['2+a', '4+a', '5+a']);
    expect(responses.map((r) => r.header?.revision)).deep.equals([4, 4, 5]);
    expect(f.source.reads).equals(1);
  });

  it('waits for a start in the future', () => {
    client.stream.create(watch('a', { startRevision: 3 }));
    f.put('a');
    f.put('a');
    f.put('a');
    f.env.settle();
    expect(eventsOf(client.take())).deep.equals(['3+a', '4+a']);
  });

  it('filters puts and deletes', () => {
    client.stream.create(watch('a', { noPut: true }));
    client.stream.create(watch('a', { noDelete: true }));
    f.put('a');
    f.commit({ type: 'delete', key: 'a' });
    f.env.settle();
    const responses = client.take().filter((r) => r.events.length > 0);
    const seen = responses.map((r) => `${r.watchId}:${eventsOf([r]).join()}`);
    expect(seen).has.members(['0:3-a', '1:2+a']);
  });

  it('reads the previous row once for all watchers, and only if one wants it', () => {
    client.stream.create(watch('a'));
    f.put('a', 'one');
    f.put('a', 'two');
    f.env.settle();
    expect(f.source.rowReads).equals(0);
    client.stream.create(watch('a', { prevKv: true }));
    client.stream.create(watch('a', { interval: { start: 'a', end: null }, prevKv: true }));
    client.take();
    f.put('a', 'three');
    f.env.settle();
    const values = client
      .take()
      .map((r) => `${r.watchId}:${Buffer.from(r.events[0]?.prevKv?.value ?? []).toString()}`);
    expect(values).has.members(['0:', '1:two', '2:two']);
    expect(f.source.rowReads).equals(1);
  });

  it('E21: cuts a large response into fragments for watchers that asked for it, whole events only', () => {
    client.stream.create(watch('k', { interval: { start: 'k', end: 'l' }, fragment: true }));
    client.stream.create(watch('k', { interval: { start: 'k', end: 'l' } }));
    const changes = Array.from({ length: 10 }, (_, i) => ({
      type: 'put' as const,
      key: `k${i}`,
      value: 'x'.repeat(500),
    }));
    client.raw.length = 0;
    f.commit(...changes);
    f.env.settle();
    const parts = client.raw.map((message) => decodeWatchResponse(message));
    const cut = parts.filter((r) => r.watchId === 0n);
    const whole = parts.filter((r) => r.watchId === 1n);
    expect(whole.map((r) => [r.fragment, r.events.length])).deep.equals([[false, 10]]);
    expect(cut.map((r) => r.fragment)).deep.equals([true, true, true, false]);
    expect(eventsOf(cut)).deep.equals(eventsOf(whole));
    for (const message of client.raw.slice(0, 4)) expect(message.length).below(FRAGMENT_BYTES);
  });

  it('does not cut a single event', () => {
    client.stream.create(watch('k', { fragment: true }));
    f.put('k', 'x'.repeat(5000));
    f.env.settle();
    expect(client.take().map((r) => [r.fragment, r.events.length])).deep.equals([
      [false, 0],
      [false, 1],
    ]);
  });

  it('cancels a compacted start after creating it, and answers its cancel once', () => {
    for (let i = 0; i < 5; i++) f.put('a');
    f.source.compactRevision = 4;
    client.stream.create(watch('a', { startRevision: 3 }));
    client.stream.create(watch('a', { startRevision: 4 }));
    f.env.settle();
    const [created, , canceled, events] = client.take();
    expect([created?.created, created?.canceled]).deep.equals([true, false]);
    expect(canceled?.watchId).equals(0n);
    expect([canceled?.canceled, canceled?.compactRevision]).deep.equals([true, 4]);
    expect([canceled?.header?.revision, canceled?.cancelReason]).deep.equals([0, '']);
    expect(eventsOf(events === undefined ? [] : [events])).deep.equals(['4+a', '5+a', '6+a']);
    // The id stays taken, but counts neither as a watcher nor for progress (E14).
    expect(f.hub.watcherCount).equals(1);
    client.stream.requestProgress();
    client.stream.create(watch('a', { watchId: 0n }));
    client.stream.cancel(0n);
    client.stream.cancel(0n);
    const rest = client.take();
    expect(rest.map((r) => [r.watchId, r.created, r.canceled])).deep.equals([
      [-1n, false, false],
      [2n, true, false],
      [0n, false, true],
    ]);
  });

  it('E5: cancels a slow watcher whose next revision was compacted rather than skip', () => {
    client.stream.create(watch('a'));
    client.isFull = true;
    f.put('a');
    f.env.settle();
    for (let i = 0; i < 5; i++) f.put('a');
    f.env.settle();
    f.source.compactRevision = 5;
    client.isFull = false;
    client.stream.drained();
    f.env.settle();
    const responses = client.take();
    expect(eventsOf(responses)).deep.equals(['2+a']);
    expect(responses.at(-1)?.compactRevision).equals(5);
  });

  it('E6: delivers the delete at the compaction revision itself, without prev_kv', () => {
    f.put('a');
    f.commit({ type: 'delete', key: 'a' });
    f.source.compactRevision = 3;
    client.stream.create(watch('a', { startRevision: 3, prevKv: true }));
    f.env.settle();
    const [, events] = client.take();
    expect(eventsOf(events === undefined ? [] : [events])).deep.equals(['3-a']);
    expect(events?.events[0]?.prevKv).equals(undefined);
  });

  it('does not trust a read that a compaction overtook', () => {
    for (let i = 0; i < 5; i++) f.put('a');
    const reads: (() => void)[] = [];
    f.source.answer = (run) => reads.push(run);
    client.stream.create(watch('a', { startRevision: 2 }));
    client.stream.create(watch('a', { startRevision: 5 }));
    f.env.settle();
    f.source.compactRevision = 4;
    reads.shift()?.();
    f.env.settle();
    reads.shift()?.();
    f.env.settle();
    const responses = client.take();
    expect(responses.filter((r) => r.canceled).map((r) => r.watchId)).deep.equals([0n]);
    expect(eventsOf(responses)).deep.equals(['5+a', '6+a']);
  });

  it('E22: keeps nothing per event for a client that does not read, and serves it later', () => {
    client.stream.create(watch('a'));
    client.isFull = true;
    f.put('a');
    f.env.settle();
    const before = client.raw.length;
    for (let i = 0; i < 5000; i++) {
      f.put('a', 'x'.repeat(2000));
      if (i % 10 === 0) f.env.turn();
    }
    f.env.settle();
    expect(client.raw.length).equals(before);
    expect(f.hub.slowWatcherCount).equals(1);
    client.isFull = false;
    client.stream.drained();
    f.env.settle();
    const events = eventsOf(client.take());
    expect(events.length).equals(5001);
    expect(events).deep.equals(Array.from({ length: 5001 }, (_, i) => `${i + 2}+a`));
    expect(f.hub.slowWatcherCount).equals(0);
  });

  it('serves a watcher slightly behind without the disk', () => {
    client.stream.create(watch('a'));
    client.isFull = true;
    for (let i = 0; i < 20; i++) {
      f.put('a');
      f.env.settle();
    }
    client.isFull = false;
    client.stream.drained();
    f.env.settle();
    expect(eventsOf(client.take()).length).equals(20);
    expect(f.source.reads).equals(0);
  });

  it('keeps no event that every watcher was sent, and those that one behind needs', () => {
    const recent = Reflect.get(f.hub, 'recent') as RecentEvents;
    client.stream.create(watch('a'));
    f.put('a');
    f.env.settle();
    expect(recent.sizeBytes).equals(0);
    client.isFull = true;
    f.put('a');
    f.env.settle();
    f.put('a');
    f.env.settle();
    expect(recent.sizeBytes).greaterThan(0);
    client.isFull = false;
    client.stream.drained();
    f.env.settle();
    expect([recent.sizeBytes, f.source.reads]).to.deep.equal([0, 0]);
    expect(eventsOf(client.take()).length).equals(3);
  });

  it('puts at most 1000 revisions into one response', () => {
    for (let i = 0; i < 2500; i++) f.put('a', '');
    client.stream.create(watch('a', { startRevision: 2 }));
    f.env.settle();
    const sizes = client.take().map((r) => new Set(r.events.map((e) => e.kv?.modRevision)).size);
    expect(Math.max(...sizes)).equals(1000);
    expect(sizes.reduce((a, b) => a + b, 0)).equals(2500);
  });

  it('serves watchers that start at one revision from one reading of it', () => {
    for (let i = 0; i < 100; i++) f.put(`k${i % 10}`);
    const others = Array.from({ length: 300 }, () => f.open());
    for (const [i, other] of others.entries()) {
      other.stream.create(watch(`k${i % 10}`, { startRevision: 2 }));
    }
    f.env.settle();
    expect(f.source.reads).equals(1);
    for (const other of others) expect(eventsOf(other.take()).length).equals(10);
  });

  it('works in slices, and loses nothing when watchers come and go between them', () => {
    const others = Array.from({ length: 200 }, () => f.open());
    for (const other of others) other.stream.create(watch('a'));
    f.env.msPerLook = 2;
    f.put('a');
    f.env.turn();
    const served = others.filter((other) => other.raw.length === 2).length;
    expect(served).greaterThan(0).and.lessThan(200);
    for (const other of others.slice(150)) other.stream.close();
    const late = f.open();
    late.stream.create(watch('a'));
    f.put('a');
    f.env.settle();
    for (const other of others.slice(0, 150)) {
      expect(eventsOf(other.take())).deep.equals(['2+a', '3+a']);
    }
    for (const other of others.slice(150)) expect(other.raw.length).at.most(2);
    expect(eventsOf(late.take())).deep.equals(['3+a']);
  });

  describe('progress', () => {
    it('is answered once per request for a stream of synced watchers', () => {
      client.stream.create(watch('a'));
      f.put('z');
      f.env.settle();
      client.take();
      client.stream.requestProgress();
      client.stream.requestProgress();
      const responses = client.take();
      expect(responses.map((r) => [r.watchId, r.header?.revision, r.created])).deep.equals([
        [-1n, 2, false],
        [-1n, 2, false],
      ]);
    });

    it('E1: never overtakes events that are committed but not sent', () => {
      client.stream.create(watch('a'));
      f.put('a');
      client.stream.requestProgress();
      f.env.settle();
      const [, events, progress] = client.take();
      expect(eventsOf(events === undefined ? [] : [events])).deep.equals(['2+a']);
      expect([progress?.watchId, progress?.header?.revision]).deep.equals([-1n, 2]);
    });

    it('E2: answers for a new quiet watcher', () => {
      f.put('a');
      client.stream.create(watch('quiet'));
      client.take();
      client.stream.requestProgress();
      expect(client.take().map((r) => r.watchId)).deep.equals([-1n]);
    });

    it('is silent without watchers, with a future start, and while one is behind', () => {
      client.stream.requestProgress();
      f.env.settle();
      expect(client.take()).deep.equals([]);
      client.stream.create(watch('a'));
      client.stream.create(watch('a', { startRevision: 3 }));
      client.take();
      f.put('z');
      f.env.settle();
      client.stream.requestProgress();
      expect(client.take()).deep.equals([]);
      f.put('z');
      f.env.settle();
      client.stream.requestProgress();
      expect(client.take().length).equals(1);
      client.stream.create(watch('a', { startRevision: 2 }));
      client.take();
      client.stream.requestProgress();
      expect(client.take()).deep.equals([]);
    });

    it('comes by itself only to quiet watchers that asked for it', () => {
      client.stream.create(watch('a', { progressNotify: true }));
      client.stream.create(watch('b', { progressNotify: true }));
      client.stream.create(watch('b'));
      client.take();
      f.put('a');
      f.env.advance(1150);
      const first = client.take();
      expect(first.map((r) => [r.watchId, r.events.length])).deep.equals([
        [0n, 1],
        [1n, 0],
      ]);
      expect(first[1]?.header?.revision).equals(2);
      f.env.advance(1150);
      expect(client.take().map((r) => r.watchId)).deep.equals([0n, 1n]);
    });

    it('does not pile up for a client that does not read', () => {
      client.stream.create(watch('a', { progressNotify: true }));
      client.isFull = true;
      f.env.advance(20_000);
      expect(client.take().length).equals(2);
    });
  });

  describe('after a snapshot', () => {
    it('E3, E9: goes on from where each watcher was, neither back nor ahead', () => {
      client.stream.create(watch('a'));
      f.put('a');
      f.env.settle();
      f.put('a');
      f.source.commit([{ type: 'put', key: 'a' }]);
      f.source.commit([{ type: 'put', key: 'b' }]);
      f.hub.restore();
      f.put('a');
      f.env.settle();
      expect(eventsOf(client.take())).deep.equals(['2+a', '3+a', '4+a', '6+a']);
    });

    it('E4: leaves watchers of future revisions where they start', () => {
      client.stream.create(watch('a', { startRevision: 5 }));
      client.stream.create(watch('a', { startRevision: 3 }));
      for (let i = 0; i < 2; i++) f.source.commit([{ type: 'put', key: 'a' }]);
      f.hub.restore();
      f.env.settle();
      f.put('a');
      f.put('a');
      f.env.settle();
      const responses = client.take();
      expect(eventsOf(responses.filter((r) => r.watchId === 0n))).deep.equals(['5+a']);
      expect(eventsOf(responses.filter((r) => r.watchId === 1n))).deep.equals([
        '3+a',
        '4+a',
        '5+a',
      ]);
    });

    it('cancels watchers whose next revision the snapshot does not have', () => {
      client.stream.create(watch('a'));
      for (let i = 0; i < 5; i++) f.source.commit([{ type: 'put', key: 'a' }]);
      f.source.compactRevision = 4;
      f.hub.restore();
      f.env.settle();
      expect(client.take().at(-1)?.compactRevision).equals(4);
    });

    it('reads nothing from the store while its content is replaced', () => {
      f.put('a');
      f.put('a');
      f.hub.suspend();
      client.stream.create(watch('a', { startRevision: 2 }));
      f.env.settle();
      expect(f.source.reads).equals(0);
      f.hub.restore();
      f.env.settle();
      expect(eventsOf(client.take())).deep.equals(['2+a', '3+a']);
    });
  });

  it('has its streams ended when it closes, and those opened later', () => {
    client.stream.create(watch('a'));
    f.hub.close();
    expect(client.stopped).equals(true);
    const late = f.open();
    f.env.settle();
    expect(late.stopped).equals(true);
    expect([f.hub.streamCount, f.hub.watcherCount]).deep.equals([0, 0]);
  });

  it('stops the process when the history cannot be read', () => {
    f.put('a');
    client.stream.create(watch('a', { startRevision: 2 }));
    f.source.history = (_from, _to, _max, done) => done(new Error('EIO'), null);
    expect(() => f.env.settle()).throws('fatal');
  });

  it('insists on hearing of every revision', () => {
    client.stream.create(watch('a'));
    expect(() => f.hub.notify(7, [])).throws('is told of revision 7, not 2');
  });
});
