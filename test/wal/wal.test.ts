import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeEnv } from '../../src/base/env/node.js';
import { WalForeign } from '../../src/wal/errors.js';
import { MAX_ENTRY_BYTES } from '../../src/wal/limits.js';
import type { WalBatch } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import { seededU32 } from '../support/memory-env.js';
import {
  DIR,
  LogModel,
  appendAll,
  batchOf,
  closeLog,
  entries,
  entry,
  freshLog,
  modelPrint,
  randomBatch,
  recoveryPrint,
  snapshotAt,
  walOptions,
} from './harness.js';

describe('Wal', () => {
  it('gives back an empty state for a new log', () => {
    const { stepped, env, wal } = freshLog();
    expect(Wal.exists(env, DIR)).to.equal(true);
    closeLog(stepped, wal);
    const { recovery } = Wal.open(env, walOptions());
    expect(recovery).to.deep.equal({
      identity: walOptions().identity,
      hardState: { term: 0, vote: 0n, commit: 0 },
      snapshot: { index: 0, term: 0, confState: { voters: [], learners: [] } },
      entries: [],
      tornBytes: 0,
    });
  });

  it('gives back entries, hard state and marker', () => {
    const { stepped, env, wal } = freshLog();
    appendAll(stepped, wal, [
      batchOf({ entries: entries(1, 5), hardState: { term: 1, vote: 2n ** 63n + 5n, commit: 3 } }),
      batchOf({ snapshot: snapshotAt(2) }),
    ]);
    closeLog(stepped, wal);
    const { recovery } = Wal.open(env, walOptions());
    expect(recovery.hardState).to.deep.equal({ term: 1, vote: 2n ** 63n + 5n, commit: 3 });
    expect(recovery.snapshot).to.deep.equal(snapshotAt(2));
    expect(recovery.entries.map((e) => e.index)).to.deep.equal([3, 4, 5]);
    expect(recovery.entries.map((e) => [...e.data])).to.deep.equal(
      entries(3, 5).map((e) => [...e.data]),
    );
  });

  it('matches the model over random batches, overwrites, rotations, groups and reopenings', () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    for (let round = 0; round < 60; round++) {
      const random = seededU32(seed + round);
      const { stepped, env, wal: first } = freshLog(walOptions(), seed + round);
      let wal = first;
      const model = new LogModel();
      for (let step = 0; step < 80; step++) {
        const batch = randomBatch(model, random);
        const order: number[] = [];
        wal.append(batch, random() % 4 !== 0, () => order.push(0));
        model.apply(batch);
        if (random() % 3 === 0) stepped.run();
        if (random() % 10 === 0) wal.release(model.snapshot.index);
        if (random() % 15 !== 0) continue;
        closeLog(stepped, wal);
        const opened = Wal.open(env, walOptions({ witnessIndex: model.lastIndex }));
        wal = opened.wal;
        expect(recoveryPrint(opened.recovery), `SEED=${seed} round ${round}`).to.equal(
          modelPrint(model),
        );
        expect(opened.recovery.hardState.commit).to.equal(model.hardState.commit);
        expect(opened.recovery.tornBytes).to.equal(0);
      }
    }
  });

  it('runs callbacks in the order of the appends, after the sync of their group', () => {
    const { stepped, wal } = freshLog();
    const order: string[] = [];
    wal.append(batchOf({ entries: [entry(1)] }), true, () => order.push('a'));
    wal.append(batchOf({ entries: [entry(2)] }), true, () => order.push('b'));
    wal.append(batchOf({ entries: [entry(3)] }), false, () => order.push('c'));
    wal.append(batchOf({ entries: [entry(4)] }), true, () => order.push('d'));
    stepped.run(1);
    expect(order).to.deep.equal([]);
    stepped.run(1);
    expect(order).to.deep.equal(['a']);
    stepped.run(2);
    expect(order).to.deep.equal(['a', 'b', 'c', 'd']);
  });

  it('holds back unsynced entries, but not a mere commit index, until the next synced batch', () => {
    const { stepped, env, wal } = freshLog();
    const order: string[] = [];
    appendAll(stepped, wal, [
      batchOf({ entries: entries(1, 3), hardState: { term: 1, vote: 0n, commit: 0 } }),
    ]);
    wal.append(batchOf({ hardState: { term: 1, vote: 0n, commit: 2 } }), false, () =>
      order.push('commit'),
    );
    expect(order).to.deep.equal(['commit']);
    wal.append(batchOf({ entries: [entry(4)] }), false, () => order.push('unsynced'));
    expect(stepped.run()).to.equal(0);
    wal.append(batchOf({ entries: [entry(5)] }), true, () => order.push('synced'));
    stepped.run();
    expect(order).to.deep.equal(['commit', 'unsynced', 'synced']);
    expect(Wal.open(env, walOptions()).recovery.hardState.commit).to.equal(2);
  });

  it('writes the newest commit index when it closes', () => {
    const { stepped, env, wal } = freshLog();
    appendAll(stepped, wal, [batchOf({ entries: entries(1, 3) })]);
    wal.append(batchOf({ hardState: { term: 0, vote: 0n, commit: 3 } }), false, () => undefined);
    closeLog(stepped, wal);
    expect(Wal.open(env, walOptions()).recovery.hardState.commit).to.equal(3);
  });

  it('never seals a commit index beyond the entries it holds', () => {
    const { stepped, env, wal } = freshLog();
    appendAll(stepped, wal, [batchOf({ hardState: { term: 4, vote: 0n, commit: 900 } })]);
    expect(Wal.open(env, walOptions()).recovery.hardState.commit).to.equal(0);
    appendAll(stepped, wal, [batchOf({ snapshot: snapshotAt(900, 4) })]);
    expect(Wal.open(env, walOptions()).recovery.hardState.commit).to.equal(900);
  });

  it('restarts after a snapshot that is ahead of the log or contradicts it, and keeps entries behind one that agrees', () => {
    for (const [snapshot, kept] of [
      [snapshotAt(50, 2), []],
      [snapshotAt(4, 2), []],
      [snapshotAt(4, 1), [5, 6]],
    ] as const) {
      const { stepped, env, wal } = freshLog();
      appendAll(stepped, wal, [batchOf({ entries: entries(1, 6) }), batchOf({ snapshot })]);
      appendAll(
        stepped,
        wal,
        kept.length === 0 ? [batchOf({ entries: [entry(snapshot.index + 1, 3)] })] : [],
      );
      const { recovery } = Wal.open(env, walOptions());
      expect(recovery.entries.map((e) => e.index)).to.deep.equal(
        kept.length === 0 ? [snapshot.index + 1] : kept,
      );
    }
  });

  it('stores an entry of the greatest size in a segment of its own size', () => {
    const { stepped, env, wal } = freshLog();
    const large = entry(2, 1, 100_000);
    appendAll(stepped, wal, [
      batchOf({ entries: [entry(1)] }),
      batchOf({ entries: [large] }),
      batchOf({ entries: entries(3, 100) }),
    ]);
    closeLog(stepped, wal);
    const { recovery } = Wal.open(env, walOptions());
    expect(recovery.entries.length).to.equal(100);
    expect(Buffer.from(recovery.entries[1]?.data ?? []).equals(large.data)).to.equal(true);
    expect(() => wal.append(batchOf({}), true, () => undefined)).to.throw(/being closed/);
  });

  it('refuses an entry that leaves a gap or exceeds the greatest size', () => {
    const { wal } = freshLog();
    expect(() => wal.append(batchOf({ entries: [entry(2)] }), true, () => undefined)).to.throw(
      /entry 2 appended after entry 0/,
    );
    const tooLong = { ...entry(1), data: new Uint8Array(MAX_ENTRY_BYTES + 1) };
    expect(() => wal.append(batchOf({ entries: [tooLong] }), true, () => undefined)).to.throw(
      /larger/,
    );
  });

  it('releases whole segments below the marker, never the newest two nor the one with the newest marker', () => {
    const { stepped, env, wal } = freshLog();
    const names = (): string[] => env.disk.readdirSync(DIR).filter((name) => name.endsWith('.wal'));
    for (let i = 0; i < 40; i++)
      appendAll(stepped, wal, [batchOf({ entries: entries(i * 10 + 1, i * 10 + 10, 1, 90) })]);
    const before = names().length;
    expect(before).to.be.greaterThan(5);
    wal.release(400);
    stepped.run();
    expect(names().length, 'nothing is released without a marker').to.equal(before);
    appendAll(stepped, wal, [batchOf({ snapshot: snapshotAt(205) })]);
    wal.release(150);
    stepped.run();
    const firstKept = Number.parseInt(names()[1]?.slice(17, 33) ?? '', 16);
    expect(firstKept - 1).to.be.greaterThan(150);
    wal.release(400);
    stepped.run();
    expect(Wal.open(env, walOptions()).recovery.entries[0]?.index).to.equal(206);
    appendAll(stepped, wal, [batchOf({ snapshot: snapshotAt(400) })]);
    wal.release(400);
    stepped.run();
    expect(names().length).to.equal(2);
    expect(wal.sizeBytes).to.equal(2 * 8192);
    expect(Wal.open(env, walOptions()).recovery.entries).to.deep.equal([]);
  });

  it('ignores foreign files and removes left-overs of an interrupted rotation', () => {
    const { stepped, env, wal } = freshLog();
    appendAll(stepped, wal, [batchOf({ entries: entries(1, 3) })]);
    env.disk.mkdirSync(`${DIR}/lost+found`);
    env.disk.writeFileSync(`${DIR}/README`, Uint8Array.of(1));
    env.disk.writeFileSync(`${DIR}/spare.tmp`, Uint8Array.of(1));
    const { recovery } = Wal.open(env, walOptions());
    expect(recovery.entries.length).to.equal(3);
    expect(env.disk.readdirSync(DIR))
      .to.include.members(['README', 'lost+found'])
      .and.not.include('spare.tmp');
  });

  it('refuses a log of another member or cluster', () => {
    const { env } = freshLog();
    for (const identity of [
      { clusterId: 0xc1n, memberId: 0xa2n },
      { clusterId: 0xc2n, memberId: 0xa1n },
    ]) {
      expect(() => Wal.open(env, walOptions({ identity }))).to.throw(
        WalForeign,
        /belongs to member a1 of cluster c1/,
      );
    }
  });

  it('writes without syncing when fsync is switched off', () => {
    const { stepped, env, wal } = freshLog(walOptions({ noFsync: true }));
    let syncs = 0;
    stepped.disk.fault = (operation) => {
      if (operation === 'datasync') syncs++;
      return null;
    };
    appendAll(stepped, wal, [batchOf({ entries: entries(1, 3) })]);
    expect(syncs).to.equal(0);
    expect(Wal.open(env, walOptions()).recovery.entries.length).to.equal(3);
  });

  it('reports bytes and seconds of group commits', () => {
    for (const noFsync of [false, true]) {
      const bytes: number[] = [];
      const written: [number, boolean][] = [];
      const { stepped, wal } = freshLog(
        walOptions({
          noFsync,
          onWrite: (count) => bytes.push(count),
          onWritten: (seconds, isDurable) => written.push([seconds, isDurable]),
        }),
      );
      appendAll(stepped, wal, [batchOf({ entries: entries(1, 3) })]);
      expect(bytes).to.have.length(1);
      expect(bytes[0]).to.be.greaterThan(100);
      expect(written).to.have.length(1);
      expect(written[0]?.[0]).to.be.at.least(0);
      expect(written[0]?.[1]).to.equal(!noFsync);
    }
  });

  it('works on a real disk', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mainstay-wal-'));
    try {
      const env = createNodeEnv();
      const options = walOptions({ dir: join(dir, 'member', 'wal'), segmentBytes: 64 * 1024 });
      const wal = Wal.create(env, options);
      const model = new LogModel();
      const append = (batch: WalBatch): Promise<void> => {
        model.apply(batch);
        return new Promise((resolve) => wal.append(batch, true, () => resolve()));
      };
      const random = seededU32(7);
      for (let i = 0; i < 30; i++) {
        const waits: Promise<void>[] = [];
        for (let k = 0; k < 10; k++) waits.push(append(randomBatch(model, random, 4000)));
        await Promise.all(waits);
      }
      await new Promise<void>((resolve) => wal.close(() => resolve()));
      const { wal: again, recovery } = Wal.open(env, { ...options, witnessIndex: model.lastIndex });
      expect(recoveryPrint(recovery)).to.equal(modelPrint(model));
      await new Promise<void>((resolve) => again.close(() => resolve()));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('uses the environment only, so that equal seeds give equal bytes', () => {
    const run = (): string => {
      const { stepped, env, wal } = freshLog(walOptions(), 99);
      appendAll(stepped, wal, [batchOf({ entries: entries(1, 40, 1, 500) })]);
      closeLog(stepped, wal);
      return env.disk
        .readdirSync(DIR)
        .map((name) => Buffer.from(env.disk.readFileSync(`${DIR}/${name}`)).toString('base64'))
        .join();
    };
    expect(run()).to.equal(run());
  });
});
