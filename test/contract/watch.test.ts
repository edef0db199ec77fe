import { expect } from 'chai';
import {
  bytes,
  describeForAll,
  freshPrefix,
  prefixEnd,
  text,
  type Target,
} from './support/targets.js';
import { eventText, WatchStream } from './support/watch.js';

/** etcdserverpb.Watch over the wire. */

const COMPACTED = 'etcdserver: mvcc: required revision has been compacted';
const NO_PUT = 0;
const NO_DELETE = 1;
const ALL = Uint8Array.of(0);

describeForAll('watch', (target: Target) => {
  const open: WatchStream[] = [];

  afterEach(() => {
    for (const opened of open.splice(0)) opened.close();
  });

  function stream(metadata: Readonly<Record<string, string>> = {}): WatchStream {
    const opened = new WatchStream(target.client, { metadata });
    open.push(opened);
    return opened;
  }

  const put = async (key: string, value: string): Promise<number> =>
    (await target.client.kv.put({ key: bytes(key), value: bytes(value) })).header?.revision ?? 0;

  const remove = async (key: string): Promise<number> =>
    (await target.client.kv.deleteRange({ key: bytes(key) })).header?.revision ?? 0;

  const range = (prefix: string): { key: Uint8Array; rangeEnd: Uint8Array } => ({
    key: bytes(prefix),
    rangeEnd: prefixEnd(prefix),
  });

  it('numbers watchers from 0 on each stream', async () => {
    const s = stream();
    expect((await s.create({ key: bytes('a') })).watchId).to.equal(0n);
    expect((await s.create({ key: bytes('a') })).watchId).to.equal(1n);
    s.sendCancel(1n);
    expect((await s.next()).canceled).to.equal(true);
    expect((await s.create({ key: bytes('a') })).watchId).to.equal(2n);
    expect((await s.create({ key: bytes('a'), watchId: 1n })).watchId).to.equal(1n);
    const other = await stream().create({ key: bytes('a') });
    expect(other.watchId).to.equal(0n);
    expect(other.header?.revision).to.be.greaterThan(0);
  });

  it('refuses an id in use', async () => {
    const s = stream();
    expect((await s.create({ key: bytes('a'), watchId: 7n })).watchId).to.equal(7n);
    const refused = await s.create({ key: bytes('a'), watchId: 7n });
    expect(refused.canceled).to.equal(true);
    expect(refused.watchId).to.equal(-1n);
    expect(refused.cancelReason).to.equal('mvcc: duplicate watch ID provided on the WatchStream');
  });

  it('refuses an empty interval', async () => {
    for (const rangeEnd of ['a', 'b']) {
      const refused = await stream().create({ key: bytes('b'), rangeEnd: bytes(rangeEnd) });
      expect(refused.canceled).to.equal(true);
      expect(refused.watchId).to.equal(-1n);
      // Older releases send nothing here.
      if (target.isSince(5)) expect(refused.cancelReason).to.equal('mvcc: watcher range is empty');
    }
  });

  const itSince35 = target.isSince(5) ? it : (): void => undefined;
  itSince35('refuses a negative start', async () => {
    const refused = await stream().create({ key: bytes('a'), startRevision: -1 });
    expect(refused.canceled).to.equal(true);
    expect(refused.watchId).to.equal(-1n);
    expect(refused.cancelReason).to.equal(COMPACTED);
  });

  it('cancels a watcher that starts below the compaction', async () => {
    const prefix = freshPrefix();
    const first = await put(prefix, '1');
    const second = await put(prefix, '2');
    await target.client.kv.compact({ revision: second });
    const s = stream();
    const created = await s.create({ key: bytes(prefix), startRevision: first });
    expect(created.canceled).to.equal(false);
    expect(created.watchId).to.equal(0n);
    const canceled = await s.next();
    expect(canceled.canceled).to.equal(true);
    expect(canceled.watchId).to.equal(0n);
    expect(canceled.compactRevision).to.equal(second);
    expect(canceled.header?.revision).to.equal(0);
    expect(canceled.cancelReason).to.equal('');
    expect(canceled.events).to.have.length(0);
    s.sendCancel(0n);
    const answer = await s.next();
    expect([answer.watchId, answer.canceled]).to.deep.equal([0n, true]);
    const at = stream();
    await at.create({ key: bytes(prefix), startRevision: second });
    expect(await at.events(1)).to.deep.equal([`PUT ${prefix}=2`]);
  });

  it('waits for a start to come', async () => {
    const prefix = freshPrefix();
    const now = await put(prefix, '0');
    const s = stream();
    await s.create({ key: bytes(prefix), startRevision: now + 2 });
    await put(prefix, '1');
    await put(prefix, '2');
    expect(await s.events(1)).to.deep.equal([`PUT ${prefix}=2`]);
  });

  it('delivers a transaction as one', async () => {
    const prefix = freshPrefix();
    const s = stream();
    await s.create(range(prefix));
    const { header } = await target.client.kv.txn({
      success: ['a', 'b', 'c'].map((name) => ({
        requestPut: { key: bytes(prefix + name), value: bytes(name) },
      })),
    });
    const response = await s.next();
    expect(response.events.map(eventText)).to.deep.equal(
      ['a', 'b', 'c'].map((name) => `PUT ${prefix}${name}=${name}`),
    );
    expect(response.header?.revision).to.equal(header?.revision);
    for (const event of response.events) {
      expect(event.kv?.modRevision).to.equal(header?.revision);
      expect(event.kv?.createRevision).to.equal(header?.revision);
      expect(event.prevKv).to.equal(undefined);
    }
  });

  it('shows the value from before the transaction, to watchers of now and of the past', async () => {
    const prefix = freshPrefix();
    const [old, fresh] = [bytes(`${prefix}a`), bytes(`${prefix}b`)];
    const first = await put(`${prefix}a`, 'before');
    const now = stream();
    await now.create({ ...range(prefix), prevKv: true });
    const puts = [old, fresh].map((key) => ({ requestPut: { key, value: bytes('between') } }));
    const removals = [old, fresh].map((key) => ({ requestDeleteRange: { key } }));
    // A key may be written twice only in transactions beside each other.
    await target.client.kv.txn({
      success: [puts, removals].map((success) => ({ requestTxn: { success } })),
    });
    const past = stream();
    await past.create({ ...range(prefix), prevKv: true, startRevision: first + 1 });
    for (const s of [now, past]) {
      const { events } = await s.next();
      expect(
        events.map((event) => `${eventText(event)} ${text(event.prevKv?.value)}`),
      ).to.deep.equal([
        `PUT ${prefix}a=between before`,
        `PUT ${prefix}b=between `,
        `DELETE ${prefix}a before`,
        `DELETE ${prefix}b `,
      ]);
    }
  });

  it('drops the events that filters exclude', async () => {
    const prefix = freshPrefix();
    const s = stream();
    const all = stream();
    await s.create({ ...range(prefix), filters: [NO_PUT] });
    await s.create({ ...range(prefix), filters: [NO_DELETE], watchId: 5n });
    await s.create({ ...range(prefix), filters: [NO_DELETE, NO_PUT], watchId: 6n });
    await all.create(range(prefix));
    await put(prefix, '1');
    await remove(prefix);
    await put(prefix, '2');
    await remove(prefix);
    await all.events(4);
    const seen: Record<string, string[]> = { 0: [], 5: [] };
    for (let i = 0; i < 4; i++) {
      const response = await s.next();
      (seen[String(response.watchId)] ?? []).push(...response.events.map(eventText));
    }
    expect(seen['0']).to.deep.equal([`DELETE ${prefix}`, `DELETE ${prefix}`]);
    expect(seen['5']).to.deep.equal([`PUT ${prefix}=1`, `PUT ${prefix}=2`]);
  });

  it('answers a progress request once all watchers are up to date', async () => {
    const prefix = freshPrefix();
    const s = stream();
    await s.create(range(prefix));
    await s.create({ key: bytes('elsewhere') });
    const revision = await put(prefix, '1');
    s.sendProgress();
    // Before 3.4.25 progress could overtake events.
    const two = [await s.next(), await s.next()];
    if (target.isSince(5)) expect(two[0]?.events).to.have.length(1);
    const progress = two.find((r) => r.events.length === 0);
    expect(progress?.watchId).to.equal(-1n);
    expect(progress?.header?.revision).to.equal(revision);
    expect(progress).to.include({ created: false, canceled: false });
  });

  itSince35('is silent on a progress request it cannot satisfy', async () => {
    const s = stream();
    s.sendProgress();
    const now = (await s.create({ key: bytes('a') })).header?.revision ?? 0;
    await s.create({ key: bytes('a'), startRevision: now + 1000 });
    s.sendProgress();
    s.sendCancel(1n);
    expect(await s.next()).to.include({ watchId: 1n, canceled: true });
    s.sendProgress();
    expect(await s.next()).to.include({ watchId: -1n, canceled: false });
  });

  // The interval cannot be set in older releases.
  itSince35('sends idle watchers progress by and by', async () => {
    const prefix = freshPrefix();
    const s = stream();
    const created = await s.create({ ...range(prefix), watchId: 3n, progressNotify: true });
    const first = await s.next();
    expect(first).to.include({ watchId: 3n, created: false });
    expect(first.events).to.have.length(0);
    expect(first.header?.revision).to.equal(created.header?.revision);
    const elsewhere = await put(freshPrefix(), 'x');
    let latest = await s.next();
    // One may have been under way already.
    if (latest.header?.revision !== elsewhere) latest = await s.next();
    expect(latest.header?.revision).to.equal(elsewhere);
  });

  it('answers a cancel once, and not one of an unknown id', async () => {
    const s = stream();
    await s.create({ key: bytes('a') });
    s.sendCancel(0n);
    s.sendCancel(0n);
    s.sendCancel(99n);
    const canceled = await s.next();
    expect(canceled).to.include({ watchId: 0n, canceled: true, cancelReason: '' });
    expect(canceled.header?.revision).to.be.greaterThan(0);
    s.sendEmpty();
    expect((await s.create({ key: bytes('a') })).watchId).to.equal(1n);
  });

  it('splits a large revision only for watchers that ask for it', async () => {
    const prefix = freshPrefix();
    const value = 'v'.repeat(300_000);
    for (let i = 0; i < 12; i++) await put(`${prefix}${i}`, value);
    const parts = stream();
    const whole = stream();
    await parts.create({ ...range(prefix), prevKv: true, fragment: true });
    await whole.create({ ...range(prefix), prevKv: true });
    const removed = (await target.client.kv.deleteRange(range(prefix))).header?.revision;
    const sizes: number[] = [];
    for (let more = true; more;) {
      const part = await parts.next();
      expect(part.watchId).to.equal(0n);
      expect(part.header?.revision).to.equal(removed);
      for (const event of part.events) {
        expect(event.kv?.modRevision).to.equal(removed);
        expect(event.prevKv?.value.length).to.equal(value.length);
      }
      sizes.push(part.events.length);
      more = part.fragment;
    }
    expect(sizes.reduce((sum, n) => sum + n)).to.equal(12);
    expect(sizes.length).to.be.greaterThan(1);
    const one = await whole.next();
    expect(one.events).to.have.length(12);
    expect(one.fragment).to.equal(false);
  });

  it('goes on after the client closed its side', async () => {
    const prefix = freshPrefix();
    const s = stream();
    await s.create(range(prefix));
    s.halfClose();
    await put(prefix, 'still');
    expect(await s.events(1)).to.deep.equal([`PUT ${prefix}=still`]);
    await remove(prefix);
    expect(await s.events(1)).to.deep.equal([`DELETE ${prefix}`]);
  });

  it('loses nothing when the client stops reading for a while', async () => {
    const prefix = freshPrefix();
    const s = stream();
    await s.create({ ...range(prefix), prevKv: true });
    s.pause();
    const count = 4000;
    const value = 'x'.repeat(2000);
    let written = 0;
    const writer = async (): Promise<void> => {
      while (written < count) {
        const i = written++;
        await put(`${prefix}${i % 10}`, `${i}:${value}`);
      }
    };
    await Promise.all(Array.from({ length: 32 }, writer));
    s.resume();
    const revisions: number[] = [];
    while (revisions.length < count) {
      const response = await s.next((r) => r.events.length > 0);
      for (const event of response.events) revisions.push(event.kv?.modRevision ?? 0);
    }
    const first = revisions[0] ?? 0;
    expect(revisions).to.deep.equal(Array.from({ length: count }, (_, i) => first + i));
  });

  itSince35('delivers the tombstone at a compaction without the previous pair', async () => {
    const prefix = freshPrefix();
    await put(prefix, '1');
    const removed = await remove(prefix);
    await put(`${prefix}x`, '2');
    await target.client.kv.compact({ revision: removed, physical: true });
    const s = stream();
    await s.create({ ...range(prefix), startRevision: removed, prevKv: true });
    const response = await s.next();
    expect(response.events.map(eventText)[0]).to.equal(`DELETE ${prefix}`);
    expect(response.events[0]?.prevKv).to.equal(undefined);
    expect(response.events[0]?.kv?.modRevision).to.equal(removed);
  });

  it('gives previous pairs in history and live', async () => {
    const prefix = freshPrefix();
    const s = stream();
    const first = await put(prefix, '1');
    await put(prefix, '2');
    await s.create({ ...range(prefix), startRevision: first, prevKv: true });
    await s.next();
    await put(prefix, '3');
    await remove(prefix);
    await put(prefix, '4');
    const history = stream();
    await history.create({ ...range(prefix), startRevision: first, prevKv: true });
    const previous: string[] = [];
    while (previous.length < 5) {
      const response = await history.next();
      for (const event of response.events) previous.push(text(event.prevKv?.value));
    }
    expect(previous).to.deep.equal(['', '1', '2', '3', '']);
    const live: string[] = [];
    while (live.length < 3) {
      const response = await s.next();
      for (const event of response.events) live.push(text(event.prevKv?.value));
    }
    expect(live).to.deep.equal(['2', '3', '']);
  });

  it('takes an empty key for the first of all, and an open end', async () => {
    const s = stream();
    await s.create({ rangeEnd: ALL });
    const prefix = freshPrefix();
    await put(prefix, 'x');
    expect(await s.events(1)).to.deep.equal([`PUT ${prefix}=x`]);
  });

  it('never reports progress before the events it covers', async function () {
    // Fixed in 3.4.25.
    if (!target.isSince(5)) return;
    const prefix = freshPrefix();
    const s = stream();
    await s.create(range(prefix));
    let delivered = 0;
    let progressed = 0;
    let last = 0;
    const writers = Promise.all(
      Array.from({ length: 4 }, async (_, w) => {
        for (let i = 0; i < 250; i++) last = Math.max(last, await put(`${prefix}${w}`, String(i)));
      }),
    ).then(() => s.sendProgress());
    const timer = setInterval(() => s.sendProgress(), 1);
    try {
      for (let seen = 0; seen < 1000 || progressed < last || last === 0;) {
        const response = await s.next();
        const revision = response.header?.revision ?? 0;
        if (response.events.length === 0) {
          expect(revision).to.be.at.least(progressed);
          progressed = revision;
          continue;
        }
        for (const event of response.events) {
          const at = event.kv?.modRevision ?? 0;
          expect(at).to.be.greaterThan(progressed);
          expect(at).to.be.greaterThan(delivered);
          delivered = at;
          seen++;
        }
      }
    } finally {
      clearInterval(timer);
    }
    await writers;
  });
});
