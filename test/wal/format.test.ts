import { expect } from 'chai';
import { crc32c } from '../../src/base/bytes/crc32c.js';
import { WalNewer } from '../../src/wal/errors.js';
import { readIdentity } from '../../src/wal/identity.js';
import { repairWal } from '../../src/wal/repair.js';
import { Wal } from '../../src/wal/wal.js';
import type { MemoryDisk } from '../support/memory-disk.js';
import { FatalStop, memoryEnv } from '../support/memory-env.js';
import {
  DIR,
  LogModel,
  SteppedDisk,
  appendAll,
  batchOf,
  closeLog,
  entries,
  freshLog,
  modelPrint,
  recoveryPrint,
  snapshotAt,
  walOptions,
} from './harness.js';

const OPTIONS = walOptions({ segmentBytes: 4096 });
const VERSION_AT = 8;
const LENGTH_AT = 12;
const READABLE_SINCE_AT = 104;

function segmentNames(disk: MemoryDisk): string[] {
  return disk.readdirSync(DIR).filter((name) => name.endsWith('.wal'));
}

function versionOf(disk: MemoryDisk, name: string): number {
  return Buffer.from(disk.readFileSync(`${DIR}/${name}`)).readUInt32LE(VERSION_AT);
}

/** Writes the header of a segment again as another format would have it. */
function setFormat(disk: MemoryDisk, name: string, version: number, release: number[]): void {
  const path = `${DIR}/${name}`;
  const bytes = Buffer.from(disk.readFileSync(path));
  bytes.writeUInt32LE(version, VERSION_AT);
  release.forEach((part, i) => bytes.writeUInt16LE(part, READABLE_SINCE_AT + 2 * i));
  const crcAt = bytes.readUInt32LE(LENGTH_AT) - 4;
  bytes.writeUInt32LE(crc32c(bytes, 0, 0, crcAt), crcAt);
  disk.tamper(path, bytes);
}

interface OldLog {
  readonly disk: MemoryDisk;
  readonly print: string;
}

/** A closed log of several segments as mainstay 0.1 left it: format 1, nothing in the reserved bytes. */
function oldLog(): OldLog {
  const { stepped, wal } = freshLog(OPTIONS);
  const model = new LogModel();
  for (let i = 0; i < 9; i++) {
    const hardState = { term: 1, vote: 3n, commit: 2 * i };
    const batch = batchOf({ entries: entries(2 * i + 1, 2 * i + 2, 1, 400), hardState });
    appendAll(stepped, wal, [batch]);
    model.apply(batch);
  }
  const marker = batchOf({ snapshot: snapshotAt(4) });
  appendAll(stepped, wal, [marker]);
  model.apply(marker);
  closeLog(stepped, wal);
  for (const name of segmentNames(stepped.disk)) setFormat(stepped.disk, name, 1, [0, 0, 0]);
  return { disk: stepped.disk, print: modelPrint(model) };
}

describe('Wal and formats of other releases', () => {
  it('continues a log of format 1 in a segment of format 2 that is durable before any append', () => {
    const { disk, print } = oldLog();
    const before = segmentNames(disk);
    expect(Wal.open(memoryEnv(disk), OPTIONS).recovery).to.satisfy(
      (recovery: Parameters<typeof recoveryPrint>[0]) => recoveryPrint(recovery) === print,
    );
    disk.crash(() => false);
    const after = segmentNames(disk);
    expect(after.slice(0, before.length)).to.deep.equal(before);
    expect(after.map((name) => versionOf(disk, name))).to.deep.equal([...before.map(() => 1), 2]);
  });

  it('begins that segment once, and gives back old and new entries together', () => {
    const { disk } = oldLog();
    const stepped = new SteppedDisk(disk);
    const { wal } = Wal.open(memoryEnv(stepped.disk), OPTIONS);
    appendAll(stepped, wal, [batchOf({ entries: entries(19, 21) })]);
    closeLog(stepped, wal);
    const names = segmentNames(stepped.disk);
    const { recovery } = Wal.open(memoryEnv(stepped.disk), { ...OPTIONS, witnessIndex: 21 });
    expect(recovery.entries.map((e) => e.index)).to.deep.equal(entries(5, 21).map((e) => e.index));
    expect(segmentNames(stepped.disk)).to.deep.equal(names);
  });

  it('loses nothing when the process ends anywhere while that segment is begun', () => {
    const reference = oldLog();
    let points = 0;
    for (let failAt = 1; ; failAt++) {
      const disk = reference.disk.clone();
      const last = disk.changes + failAt;
      disk.fault = () => (disk.changes >= last ? new FatalStop('power is lost', '', null) : null);
      let ended = false;
      try {
        Wal.open(memoryEnv(disk), OPTIONS);
        ended = true;
      } catch (error) {
        if (!(error instanceof FatalStop)) throw error;
      }
      disk.fault = null;
      if (ended) break;
      points++;
      for (const keep of [true, false]) {
        const crashed = disk.clone();
        crashed.crash(() => keep);
        const { recovery } = Wal.open(memoryEnv(crashed), OPTIONS);
        expect(recoveryPrint(recovery), `stopped at change ${failAt}`).to.equal(reference.print);
        const newest = segmentNames(crashed).at(-1) ?? '';
        expect(versionOf(crashed, newest)).to.equal(2);
      }
    }
    expect(points).to.be.greaterThan(5);
  });

  it('refuses a newer format, names the release that reads it, and changes nothing', () => {
    const { disk } = oldLog();
    const newest = segmentNames(disk).at(-1) ?? '';
    setFormat(disk, newest, 7, [3, 1, 4]);
    const changes = disk.changes;
    const attempts = [
      () => Wal.open(memoryEnv(disk), OPTIONS),
      () => readIdentity(disk, DIR),
      () => repairWal(memoryEnv(disk), OPTIONS, null),
    ];
    for (const attempt of attempts) {
      let refusal: unknown;
      try {
        attempt();
      } catch (error) {
        refusal = error;
      }
      if (!(refusal instanceof WalNewer)) throw new Error(`not refused: ${String(refusal)}`);
      expect(refusal.message).to.match(/has format 7: a newer mainstay wrote it.*formats 1 to 2/);
      expect(refusal.nextStep).to.equal('start this member with mainstay 3.1.4 or newer');
    }
    expect(disk.changes).to.equal(changes);
  });

  it('names in every header the first release that reads it', () => {
    const { stepped } = freshLog(OPTIONS);
    const [name = ''] = segmentNames(stepped.disk);
    const bytes = Buffer.from(stepped.disk.readFileSync(`${DIR}/${name}`));
    const release = [0, 2, 4].map((at) => bytes.readUInt16LE(READABLE_SINCE_AT + at));
    expect([bytes.readUInt32LE(VERSION_AT), release]).to.deep.equal([2, [0, 2, 0]]);
  });

  it('takes a format that never existed for damage', () => {
    const { disk } = oldLog();
    const newest = segmentNames(disk).at(-1) ?? '';
    setFormat(disk, newest, 0, [0, 0, 0]);
    expect(() => Wal.open(memoryEnv(disk), OPTIONS)).to.throw(
      /header of the segment is unreadable/,
    );
  });
});
