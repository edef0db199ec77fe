import { expect } from 'chai';
import { WalUnrepairable, repairWal } from '../../src/wal/repair.js';
import { Wal } from '../../src/wal/wal.js';
import type { MemoryDisk } from '../support/memory-disk.js';
import { memoryEnv } from '../support/memory-env.js';
import type { SteppedDisk } from './harness.js';
import {
  DIR,
  appendAll,
  batchOf,
  closeLog,
  entries,
  entry,
  freshLog,
  snapshotAt,
  walOptions,
} from './harness.js';

const OPTIONS = walOptions({ segmentBytes: 4096 });

/** Twelve batches of two entries, two or three to a segment. */
function history(): SteppedDisk {
  const { stepped, wal } = freshLog(OPTIONS);
  for (let i = 0; i < 12; i++) {
    const last = 2 * i + 2;
    const hardState = { term: 1, vote: 3n, commit: last };
    appendAll(stepped, wal, [batchOf({ entries: entries(last - 1, last, 1, 400), hardState })]);
  }
  closeLog(stepped, wal);
  return stepped;
}

function segments(disk: MemoryDisk): string[] {
  return disk
    .readdirSync(DIR)
    .filter((name) => name.endsWith('.wal'))
    .map((name) => `${DIR}/${name}`);
}

function flip(disk: MemoryDisk, path: string, at: number): void {
  const bytes = disk.readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  disk.tamper(path, bytes);
}

function indexes(disk: MemoryDisk, witnessIndex = 0): number[] {
  const { recovery } = Wal.open(memoryEnv(disk), { ...OPTIONS, witnessIndex });
  return recovery.entries.map((e) => e.index);
}

describe('repairWal', () => {
  it('leaves a sound log alone', () => {
    const { disk } = history();
    const before = disk.readdirSync(DIR);
    const report = repairWal(memoryEnv(disk), OPTIONS, null);
    expect(report).to.include({
      found: '',
      lastIndex: 24,
      lostFrom: 0,
      lostThrough: 0,
      savedIn: '',
    });
    expect(disk.readdirSync(DIR)).to.deep.equal(before);
  });

  it('cuts at the damage at any place, reports the loss and keeps the files as they were', () => {
    const reference = history().disk;
    for (const path of segments(reference)) {
      for (const at of [20, 560, 1100, 2100]) {
        const disk = reference.clone();
        flip(disk, path, at);
        const original = disk.readFileSync(path);
        const env = memoryEnv(disk);
        expect(() => Wal.open(env, OPTIONS)).to.throw();
        if (path === segments(reference)[0] && at === 20) {
          expect(() => repairWal(env, OPTIONS, null)).to.throw(WalUnrepairable);
          continue;
        }
        const report = repairWal(env, OPTIONS, null);
        const what = `${path} at ${at}`;
        expect(report.lostFrom, what).to.equal(report.lastIndex + 1);
        if (report.lostThrough !== 24) expect(path, what).to.equal(segments(reference).at(-1));
        expect(indexes(disk), what).to.deep.equal(entries(1, report.lastIndex).map((e) => e.index));
        const saved = disk.readdirSync(report.savedIn).map((name) => `${DIR}/${name}`);
        expect(saved, what).to.include(path);
        const name = path.slice(DIR.length + 1);
        expect(Buffer.compare(disk.readFileSync(`${report.savedIn}/${name}`), original)).to.equal(
          0,
        );
        expect(repairWal(env, OPTIONS, null).found, 'a repaired log is sound').to.equal('');
      }
    }
  });

  it('cuts when a segment is missing', () => {
    const { disk } = history();
    const paths = segments(disk);
    disk.unlinkSync(paths.at(-1) ?? '');
    const report = repairWal(memoryEnv(disk), OPTIONS, null);
    expect(report.found).to.match(/is missing/);
    expect(indexes(disk).at(-1)).to.equal(report.lastIndex);
  });

  it('restores the size of a file that was cut short or grew', () => {
    for (const size of [1000, 9000]) {
      const { disk } = history();
      const path = segments(disk).at(-1) ?? '';
      const bytes = new Uint8Array(size);
      bytes.set(disk.readFileSync(path).subarray(0, size));
      disk.tamper(path, bytes);
      repairWal(memoryEnv(disk), OPTIONS, null);
      expect(disk.readFileSync(path).length).to.equal(4096);
      indexes(disk);
    }
  });

  it('reports a backend that stays ahead of the log', () => {
    const { disk } = history();
    flip(disk, segments(disk)[1] ?? '', 560);
    const report = repairWal(memoryEnv(disk), { ...OPTIONS, witnessIndex: 20 }, null);
    expect(report.isBehindWitness).to.equal(true);
    expect(() => indexes(disk, 20)).to.throw(/entry 20 is known to have been in it/);
  });

  it('begins anew after the image when that reaches further, also when nothing else is left', () => {
    for (const damage of [
      (disk: MemoryDisk): void => flip(disk, segments(disk)[1] ?? '', 560),
      (disk: MemoryDisk): void => flip(disk, segments(disk)[0] ?? '', 20),
      (disk: MemoryDisk): void => segments(disk).forEach((path) => disk.unlinkSync(path)),
    ]) {
      const stepped = history();
      const { disk } = stepped;
      damage(disk);
      const env = memoryEnv(disk);
      const options = { ...OPTIONS, witnessIndex: 20 };
      const report = repairWal(env, options, snapshotAt(20, 1));
      expect(report).to.include({ isRestarted: true, isBehindWitness: false, lastIndex: 20 });
      const { wal, recovery } = Wal.open(env, options);
      expect(recovery.snapshot).to.deep.equal(snapshotAt(20, 1));
      expect(recovery.hardState.commit).to.equal(20);
      expect(recovery.entries).to.deep.equal([]);
      appendAll(stepped, wal, [batchOf({ entries: [entry(21)] })]);
      expect(indexes(disk, 21)).to.deep.equal([21]);
    }
  });

  it('can be interrupted anywhere and run again', () => {
    const reference = history().disk;
    flip(reference, segments(reference)[1] ?? '', 1100);
    const expected = repairWal(memoryEnv(reference.clone()), OPTIONS, null).lastIndex;
    for (const image of [null, snapshotAt(20)]) {
      for (let failAt = 1; ; failAt++) {
        const disk = reference.clone();
        disk.fault = () => (disk.changes >= failAt ? new Error('EIO') : null);
        let isComplete = true;
        try {
          repairWal(memoryEnv(disk), OPTIONS, image);
        } catch {
          isComplete = false;
        }
        disk.fault = null;
        disk.crash(() => failAt % 2 === 0);
        repairWal(memoryEnv(disk), OPTIONS, image);
        if (image === null) expect(indexes(disk).at(-1)).to.equal(expected);
        else expect(Wal.open(memoryEnv(disk), OPTIONS).recovery.snapshot.index).to.equal(20);
        if (isComplete) break;
      }
    }
  });
});
