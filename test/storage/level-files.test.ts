import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createNodeEnv } from '../../src/base/env/node.js';
import { ImageDamaged } from '../../src/storage/errors.js';
import { checkLevelFiles, type LevelFiles } from '../../src/storage/level-files.js';
import { openLevelEngine, verifiedLevelEngine } from '../../src/storage/level-engine.js';
import type { Engine } from '../../src/storage/engine.js';
import { uncompressSnappy } from '../../src/storage/snappy.js';
import { Random } from '../raft/support/random.js';
import { call, open } from './engines.js';

const env = createNodeEnv();
const FOOTER_BYTES = 48;
const MAGIC_BYTES = 8;

function check(dir: string): Promise<LevelFiles> {
  return new Promise((resolve, reject) => {
    checkLevelFiles(env, dir, (error, files) =>
      files === null ? reject(error ?? new Error('no outcome')) : resolve(files),
    );
  });
}

/** Rows of value `n` 0 to 9; the value of `count` names the newest one. */
async function write(engine: Engine, from: number, to: number, isSynced: boolean): Promise<void> {
  for (let n = from; n < to; n++) {
    const puts = Array.from({ length: 40 }, (_, i) => ({
      key: Buffer.from(`row ${String((n * 7 + i) % 90).padStart(3, '0')}`),
      value: Buffer.from(`value ${n} of the row, compressible: ${'x'.repeat(300)}`),
    }));
    puts.push({ key: Buffer.from('count'), value: Buffer.from(String(n)) });
    const deletes = [Buffer.from(`row ${String((n * 13) % 90).padStart(3, '0')}`)];
    await call((done) => engine.write({ puts, deletes }, isSynced, done));
  }
}

async function count(dir: string): Promise<number> {
  const engine = await open(
    verifiedLevelEngine(env, () => undefined),
    dir,
  );
  const value = engine.get(Buffer.from('count'));
  await call((done) => engine.close(done));
  return value === undefined ? -1 : Number(Buffer.from(value).toString());
}

describe('the files of a LevelDB', function () {
  this.timeout(60_000);
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  const random = new Random(seed);
  let dir: string;
  let sample: string;
  let names: string[];

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'mainstay-level-'));
    sample = join(dir, 'sample');
    const engine = await open(openLevelEngine, sample);
    // Tables on two levels, deletions among them, and a log behind.
    await write(engine, 0, 4, true);
    await call((done) => engine.compactRange(Uint8Array.of(0), Uint8Array.of(0xff), done));
    await write(engine, 4, 8, true);
    await write(engine, 8, 10, false);
    cpSync(sample, join(dir, 'running'), { recursive: true });
    await call((done) => engine.close(done));
    rmSync(sample, { recursive: true });
    cpSync(join(dir, 'running'), sample, { recursive: true });
    names = readdirSync(sample);
  });

  after(() => rmSync(dir, { recursive: true, force: true }));

  async function damaged(change: (path: string) => void): Promise<string> {
    const copy = join(dir, 'copy');
    rmSync(copy, { recursive: true, force: true });
    cpSync(sample, copy, { recursive: true });
    change(copy);
    return copy;
  }

  async function outcome(change: (path: string) => void): Promise<string> {
    const copy = await damaged(change);
    try {
      const files = await check(copy);
      return files.cut === null ? 'whole' : 'cut';
    } catch (error) {
      if (!(error instanceof ImageDamaged)) throw error;
      return 'damaged';
    }
  }

  it('are whole after a process that died', async () => {
    const files = await check(sample);
    expect(files.exists).to.equal(true);
    expect(files.tables).to.be.greaterThan(2);
    expect(files.cut).to.equal(null);
    expect(await count(await damaged(() => undefined))).to.equal(9);
  });

  it(`are refused with any bit of a table, of MANIFEST or of CURRENT flipped (SEED=${seed})`, async () => {
    let flips = 0;
    for (const name of names.filter((n) => /ldb$|^MANIFEST|^CURRENT/.test(n))) {
      const bytes = readFileSync(join(sample, name));
      for (
        let at = random.below(3);
        at < bytes.length;
        at += 1 + random.below(1 + bytes.length / 25)
      ) {
        const isFooter = name.endsWith('.ldb') && at >= bytes.length - FOOTER_BYTES;
        // Zeros that fill the footer up carry nothing.
        if (isFooter && bytes[at] === 0 && at < bytes.length - MAGIC_BYTES) continue;
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] as number) ^ (1 << random.below(8));
        const change = (path: string): void => writeFileSync(join(path, name), flipped);
        expect(await outcome(change), `${name} at ${at}`).to.equal('damaged');
        flips++;
      }
    }
    expect(flips).to.be.greaterThan(80);
  });

  it('are refused with a table cut short, lengthened or missing', async () => {
    for (const name of names.filter((n) => n.endsWith('.ldb'))) {
      const bytes = readFileSync(join(sample, name));
      const changes: ((path: string) => void)[] = [
        (path) => writeFileSync(path, bytes.subarray(0, random.below(bytes.length))),
        (path) => writeFileSync(path, bytes.subarray(0, bytes.length - 1)),
        (path) => writeFileSync(path, Buffer.concat([bytes, Buffer.from('x')])),
        (path) => rmSync(path),
      ];
      for (const change of changes) {
        expect(await outcome((path) => change(join(path, name))), name).to.equal('damaged');
      }
    }
  });

  it('are refused without CURRENT or without the MANIFEST it names', async () => {
    for (const name of ['CURRENT', names.find((n) => n.startsWith('MANIFEST')) as string]) {
      expect(await outcome((path) => rmSync(join(path, name)))).to.equal('damaged');
    }
  });

  it('are accepted in the log up to the first record that is not whole', async () => {
    const log = names.find((n) => n.endsWith('.log')) as string;
    const bytes = readFileSync(join(sample, log));
    expect(bytes.length).to.be.greaterThan(20_000);
    const counts = new Set<number>();
    for (let i = 0; i < 25; i++) {
      const at = random.below(bytes.length);
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ (1 << random.below(8));
      const copy = await damaged((path) => writeFileSync(join(path, log), flipped));
      counts.add(await count(copy));
      const cut = await damaged((path) => writeFileSync(join(path, log), bytes.subarray(0, at)));
      counts.add(await count(cut));
    }
    // Batches 8 and 9 are in the log: what is left is the state after 7, 8 or 9.
    for (const left of counts) expect([7, 8, 9]).to.include(left);
    expect(counts.size).to.be.greaterThan(1);
  });

  it('are none before a database was created, or when its creation was interrupted', async () => {
    expect((await check(join(dir, 'absent'))).exists).to.equal(false);
    const copy = await damaged((path) => {
      for (const name of names) if (!name.startsWith('MANIFEST')) rmSync(join(path, name));
    });
    expect((await check(copy)).exists).to.equal(false);
  });
});

describe('uncompressSnappy', () => {
  it('reads literals and copies', () => {
    // 'abcabcabcabc' as a literal of 3 and a copy of 9 from 3 bytes before; then a copy with a two-byte offset.
    const bytes = Uint8Array.of(16, 2 << 2, 0x61, 0x62, 0x63, (5 << 2) | 1, 3, (3 << 2) | 2, 3, 0);
    expect(Buffer.from(uncompressSnappy(bytes)).toString()).to.equal('abcabcabcabcabca');
  });

  it('refuses handles that reach outside', () => {
    for (const bytes of [[], [4], [4, 0], [200, 1, 0, 0x61], [4, 1, 1], [4, 0, 0x61, 1, 9]]) {
      expect(() => uncompressSnappy(Uint8Array.from(bytes)), String(bytes)).to.throw(RangeError);
    }
  });
});
