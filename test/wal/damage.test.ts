import { expect } from 'chai';
import { WalDamaged, WalForeign, damageAdvice } from '../../src/wal/errors.js';
import type { WalBatch, WalOptions } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import type { MemoryDisk } from '../support/memory-disk.js';
import { memoryEnv, seededU32 } from '../support/memory-env.js';
import type { SteppedDisk } from './harness.js';
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
  recoveryPrint,
  snapshotAt,
  walOptions,
} from './harness.js';

const SMALL = walOptions({ segmentBytes: 4096 });

/** Every state the log passed through, by what recovery must show. */
interface History {
  readonly stepped: SteppedDisk;
  readonly prints: string[];
  readonly lastIndex: number;
}

function build(batches: readonly WalBatch[], options: WalOptions): History {
  const { stepped, wal } = freshLog(options);
  const model = new LogModel();
  const prints = [modelPrint(model)];
  for (const batch of batches) {
    appendAll(stepped, wal, [batch]);
    model.apply(batch);
    prints.push(modelPrint(model));
  }
  closeLog(stepped, wal);
  return { stepped, prints, lastIndex: model.lastIndex };
}

/** Synced batches that fill a little more than one segment of 4 KiB. */
function smallHistory(): History {
  return build(
    [
      batchOf({ entries: entries(1, 3, 1, 40), hardState: { term: 1, vote: 5n, commit: 0 } }),
      batchOf({ entries: [entry(4, 1, 700)], hardState: { term: 1, vote: 5n, commit: 3 } }),
      batchOf({ entries: entries(3, 6, 2, 30), hardState: { term: 2, vote: 7n, commit: 2 } }),
      batchOf({ snapshot: snapshotAt(2, 1) }),
      batchOf({ entries: [entry(7, 2, 600)] }),
      batchOf({
        entries: [entry(8, 2, 20), entry(9, 2, 0)],
        hardState: { term: 2, vote: 7n, commit: 8 },
      }),
    ],
    SMALL,
  );
}

type Outcome = 'identical' | 'refused' | 'last batch dropped';

/** Opens a copy of `disk` after `change`; anything but the three honest outcomes fails the test. */
function outcomeOf(
  history: History,
  witnessIndex: number,
  change: (disk: MemoryDisk) => void,
  what: string,
): Outcome {
  const disk = history.stepped.disk.clone();
  change(disk);
  let print = '';
  try {
    const { recovery } = Wal.open(memoryEnv(disk), { ...SMALL, witnessIndex });
    print = recoveryPrint(recovery);
  } catch (error) {
    if (error instanceof WalDamaged || error instanceof WalForeign) return 'refused';
    throw error;
  }
  if (print === history.prints[history.prints.length - 1]) return 'identical';
  expect(print, `${what}: silent loss`).to.equal(history.prints[history.prints.length - 2]);
  return 'last batch dropped';
}

function segmentPaths(disk: MemoryDisk): string[] {
  return disk
    .readdirSync(DIR)
    .filter((name) => name.endsWith('.wal'))
    .map((name) => `${DIR}/${name}`);
}

function contentEnd(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

describe('Wal against damage', () => {
  it('survives or refuses the flip of any single bit, without a witness', function () {
    this.timeout(60_000);
    const history = smallHistory();
    const tally = { identical: 0, refused: 0, 'last batch dropped': 0 };
    for (const path of segmentPaths(history.stepped.disk)) {
      const original = history.stepped.disk.readFileSync(path);
      for (let at = 0; at < contentEnd(original); at++) {
        for (let bit = 0; bit < 8; bit++) {
          const outcome = outcomeOf(
            history,
            0,
            (disk) => {
              const bytes = original.slice();
              bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
              disk.tamper(path, bytes);
            },
            `${path} byte ${at} bit ${bit}`,
          );
          tally[outcome]++;
        }
      }
    }
    // A complete batch with a flipped bit differs from a torn one, so nothing acknowledged is ever
    // dropped.
    expect(tally['last batch dropped']).to.equal(0);
    expect(tally.refused).to.be.greaterThan(tally.identical);
  });

  it('survives or refuses any byte set to zero or to all ones, with a witness', function () {
    this.timeout(60_000);
    const history = smallHistory();
    for (const path of segmentPaths(history.stepped.disk)) {
      const original = history.stepped.disk.readFileSync(path);
      for (let at = 0; at < contentEnd(original); at++) {
        for (const value of [0, 255]) {
          const change = (disk: MemoryDisk): void => {
            const bytes = original.slice();
            bytes[at] = value;
            disk.tamper(path, bytes);
          };
          expect(outcomeOf(history, history.lastIndex, change, `${path} byte ${at}`)).to.not.equal(
            'last batch dropped',
          );
        }
      }
    }
  });

  it('refuses a file cut short at any byte', () => {
    const history = smallHistory();
    for (const path of segmentPaths(history.stepped.disk)) {
      const original = history.stepped.disk.readFileSync(path);
      for (let size = 0; size < original.length; size += size < contentEnd(original) ? 1 : 97) {
        const change = (disk: MemoryDisk): void => disk.tamper(path, original.slice(0, size));
        expect(outcomeOf(history, 0, change, `${path} cut to ${size}`)).to.equal('refused');
      }
    }
  });

  it('takes zeros from any byte of the last batch on for a torn write, unless a witness disproves it', () => {
    const history = smallHistory();
    const paths = segmentPaths(history.stepped.disk);
    const path = paths[paths.length - 1] ?? '';
    const original = history.stepped.disk.readFileSync(path);
    const end = contentEnd(original);
    const start = Math.floor((end - 1) / 512) * 512;
    for (let at = start; at < end; at++) {
      const change = (disk: MemoryDisk): void => {
        const bytes = original.slice();
        bytes.fill(0, at);
        disk.tamper(path, bytes);
      };
      expect(outcomeOf(history, 0, change, `zeros from ${at}`)).to.equal('last batch dropped');
      expect(outcomeOf(history, history.lastIndex, change, `zeros from ${at}`)).to.equal('refused');
    }
  });

  it('refuses a log whose earlier sector is gone', () => {
    const history = smallHistory();
    const [path = ''] = segmentPaths(history.stepped.disk);
    const original = history.stepped.disk.readFileSync(path);
    for (let sector = 0; sector < contentEnd(original) - 512; sector += 512) {
      const change = (disk: MemoryDisk): void => {
        const bytes = original.slice();
        bytes.fill(0, sector, sector + 512);
        disk.tamper(path, bytes);
      };
      expect(outcomeOf(history, 0, change, `sector ${sector}`)).to.equal('refused');
    }
  });

  it('refuses a segment that lost any whole sector of any batch but the last', () => {
    const options = walOptions({ segmentBytes: 16384 });
    const { stepped, wal } = freshLog(options);
    const ends: number[] = [];
    const [path = ''] = segmentPaths(stepped.disk);
    for (let i = 0; i < 8; i++) {
      appendAll(stepped, wal, [batchOf({ entries: [entry(i + 1, 1, 60 + 150 * i)] })]);
      ends.push(contentEnd(stepped.disk.readFileSync(path)));
    }
    const original = stepped.disk.readFileSync(path);
    const lastStart = Math.ceil((ends.at(-2) ?? 0) / 512) * 512;
    for (let sector = 0; sector < (ends.at(-1) ?? 0); sector += 512) {
      const disk = stepped.disk.clone();
      const bytes = original.slice();
      bytes.fill(0, sector, sector + 512);
      disk.tamper(path, bytes);
      const open = (): unknown => Wal.open(memoryEnv(disk), options).recovery.entries.length;
      if (sector < lastStart) expect(open, `sector ${sector}`).to.throw(WalDamaged);
      else expect(open(), `sector ${sector}`).to.equal(7);
    }
  });

  it('refuses missing, swapped, renamed, stale and foreign segments', () => {
    const { stepped, wal } = freshLog(SMALL);
    for (let i = 0; i < 12; i++)
      appendAll(stepped, wal, [batchOf({ entries: entries(2 * i + 1, 2 * i + 2, 1, 400) })]);
    closeLog(stepped, wal);
    const paths = segmentPaths(stepped.disk);
    expect(paths.length).to.be.greaterThan(3);
    const changes: Record<string, (disk: MemoryDisk) => void> = {};
    paths.forEach((path, i) => {
      changes[`removed ${i}`] = (disk) => disk.unlinkSync(path);
      const next = paths[(i + 1) % paths.length] ?? '';
      changes[`swapped ${i}`] = (disk) => {
        const [a, b] = [disk.readFileSync(path), disk.readFileSync(next)];
        disk.tamper(path, b);
        disk.tamper(next, a);
      };
      changes[`copied over ${i}`] = (disk) => disk.tamper(next, disk.readFileSync(path));
    });
    changes['renamed'] = (disk) =>
      disk.renameSync(paths[1] ?? '', `${DIR}/00000000000000ff-0000000000000001.wal`);
    changes['foreign'] = (disk) => {
      const other = freshLog(
        walOptions({ segmentBytes: 4096, identity: { clusterId: 9n, memberId: 9n } }),
        5,
      );
      disk.tamper(
        paths[0] ?? '',
        other.stepped.disk.readFileSync(`${DIR}/0000000000000001-0000000000000001.wal`),
      );
    };
    for (const [what, change] of Object.entries(changes)) {
      const disk = stepped.disk.clone();
      change(disk);
      let refusal: unknown;
      try {
        Wal.open(memoryEnv(disk), SMALL);
      } catch (error) {
        refusal = error;
      }
      expect(refusal instanceof WalDamaged || refusal instanceof WalForeign, what).to.equal(true);
    }
  });

  it('refuses an older version of the newest segment when a witness names later entries', () => {
    const { stepped, wal } = freshLog(SMALL);
    appendAll(stepped, wal, [batchOf({ entries: entries(1, 2) })]);
    const [path = ''] = segmentPaths(stepped.disk);
    const old = stepped.disk.readFileSync(path);
    appendAll(stepped, wal, [batchOf({ entries: entries(3, 4) })]);
    stepped.disk.tamper(path, old);
    expect(() => Wal.open(memoryEnv(stepped.disk), { ...SMALL, witnessIndex: 4 })).to.throw(
      WalDamaged,
      /ends with entry 2, but entry 4 is known to have been in it/,
    );
  });

  it('is not fooled by values that are parts of another log', () => {
    const other = freshLog(SMALL, 77);
    for (let i = 1; i <= 6; i++)
      appendAll(other.stepped, other.wal, [batchOf({ entries: [entry(i)] })]);
    const [otherPath = ''] = segmentPaths(other.stepped.disk);
    const lookalike = other.stepped.disk.readFileSync(otherPath).slice(512 * 5, 512 * 7);
    const { stepped, env, wal } = freshLog(SMALL);
    appendAll(stepped, wal, [batchOf({ entries: entries(1, 2) })]);
    const data = { ...entry(3), data: lookalike };
    wal.append(batchOf({ entries: [data] }), true, () => undefined);
    let sectors = 0;
    stepped.disk.crash(() => sectors++ > 0);
    expect(sectors).to.be.greaterThan(2);
    const { recovery } = Wal.open(env, SMALL);
    expect(recovery.entries.length).to.equal(2);
    expect(recovery.tornBytes).to.be.greaterThan(512);
  });

  it('reports the place of the damage, the loss and the next step', () => {
    const history = smallHistory();
    const [path = ''] = segmentPaths(history.stepped.disk);
    const bytes = history.stepped.disk.readFileSync(path);
    bytes[1100] = (bytes[1100] ?? 0) ^ 1;
    history.stepped.disk.tamper(path, bytes);
    let damage: unknown;
    try {
      Wal.open(memoryEnv(history.stepped.disk), SMALL);
    } catch (error) {
      damage = error;
    }
    if (!(damage instanceof WalDamaged)) throw new Error('not refused');
    expect(damage.path).to.equal(path);
    expect(damage.offset).to.equal(1024);
    expect(damage.firstLostIndex).to.equal(4);
    expect(damage.message).to.match(/wrong checksum/);
    expect(damageAdvice('/d', 1).join(' ')).to.match(/mainstay wal repair --data-dir \/d/);
    expect(damageAdvice('/d', 3).join(' '))
      .to.match(/To replace it/)
      .and.not.match(/wal repair/);
  });

  it('refuses arbitrary bytes without failing otherwise', () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    const random = seededU32(seed);
    const history = smallHistory();
    const paths = segmentPaths(history.stepped.disk);
    for (let i = 0; i < 2000; i++) {
      const path = paths[random() % paths.length] ?? '';
      const change = (disk: MemoryDisk): void => {
        const bytes = disk.readFileSync(path);
        const runs = 1 + (random() % 4);
        for (let k = 0; k < runs; k++) {
          const at = random() % bytes.length;
          const length = 1 + (random() % 64);
          for (let b = at; b < Math.min(bytes.length, at + length); b++) bytes[b] = random() & 0xff;
        }
        disk.tamper(path, bytes);
      };
      outcomeOf(history, history.lastIndex, change, `SEED=${seed} ${i}`);
    }
  });
});
