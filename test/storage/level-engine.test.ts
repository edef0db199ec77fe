import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openLevelEngine } from '../../src/storage/level-engine.js';
import type { Engine, EngineBatch, EngineFactory } from '../../src/storage/engine.js';
import { memoryEngineFactory } from '../support/memory-engine.js';
import { call, open } from './engines.js';

type Rows = [Uint8Array, Uint8Array][];

function batch(puts: readonly [string, string][], deletes: readonly string[] = []): EngineBatch {
  return {
    puts: puts.map(([key, value]) => ({ key: Buffer.from(key), value: Buffer.from(value) })),
    deletes: deletes.map((key) => Buffer.from(key)),
  };
}

async function readAll(
  engine: Engine,
  from: string,
  to: string,
  during?: () => Promise<void>,
): Promise<string[]> {
  const iterator = engine.iterate({ gte: Buffer.from(from), lt: Buffer.from(to) });
  await during?.();
  const found: string[] = [];
  for (;;) {
    const rows = await new Promise<Rows>((resolve, reject) => {
      iterator.next(2, (error, next) => (error === null ? resolve(next) : reject(error)));
    });
    if (rows.length === 0) break;
    expect(rows.length).to.be.at.most(2);
    for (const [key, value] of rows)
      found.push(`${Buffer.from(key).toString()}=${Buffer.from(value).toString()}`);
  }
  iterator.close();
  return found;
}

function suite(name: string, factory: EngineFactory): void {
  describe(name, () => {
    let dir: string;
    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), 'mainstay-engine-'));
    });
    afterEach(() => {
      rmSync(dir, { recursive: true, force: true });
    });

    it('reads back batches, ordered, half-open and as of one moment, and keeps them', async () => {
      const engine = await open(factory, dir);
      await call((done) =>
        engine.write(
          batch([
            ['b', '2'],
            ['a', '1'],
            ['c', '3'],
            ['\xff', '4'],
          ]),
          false,
          done,
        ),
      );
      expect(Buffer.from(engine.get(Buffer.from('b')) ?? []).toString()).to.equal('2');
      expect(engine.get(Buffer.from('x'))).to.equal(undefined);
      const change = (): Promise<void> =>
        call((done) => engine.write(batch([['d', '5']], ['a']), true, done));
      expect(await readAll(engine, 'a', 'z', change)).to.deep.equal(['a=1', 'b=2', 'c=3']);
      expect(await readAll(engine, 'a', 'c')).to.deep.equal(['b=2']);
      await call((done) => engine.compactRange(Buffer.from('a'), Buffer.from('z'), done));
      expect(engine.sizeBytes()).to.be.at.least(0);
      await call((done) => engine.forgetReads(done));
      expect(Buffer.from(engine.get(Buffer.from('d')) ?? []).toString()).to.equal('5');
      await call((done) => engine.write(batch([['e', '6']]), false, done));
      await call((done) => engine.close(done));
      const again = await open(factory, dir);
      expect(await readAll(again, 'a', 'z')).to.deep.equal(['b=2', 'c=3', 'd=5', 'e=6']);
      await call((done) => again.close(done));
    });

    it('takes batches larger than its memory, with and without sync', async () => {
      const engine = await open(factory, dir);
      const big = 'x'.repeat(1 << 20);
      for (let i = 0; i < 20; i++) {
        await call((done) =>
          engine.write(batch([[`k${String(i + 10)}`, big + String(i)]]), i === 3, done),
        );
      }
      await call((done) => engine.write(batch([]), true, done));
      expect((await readAll(engine, 'k', 'l')).length).to.equal(20);
      await call((done) => engine.close(done));
    });

    it('is filled by loads that a synced write completes', async () => {
      const engine = await open(factory, dir);
      const big = 'x'.repeat(1 << 20);
      for (let i = 0; i < 40; i++)
        await call((done) => engine.load(batch([[`k${String(i + 10)}`, big]]), done));
      await call((done) => engine.write(batch([['l', '']]), true, done));
      await call((done) => engine.close(done));
      const again = await open(factory, dir);
      expect((await readAll(again, 'k', 'm')).length).to.equal(41);
      await call((done) => again.close(done));
    });
  });
}

suite('the LevelDB engine', openLevelEngine);
suite(
  'the engine in memory',
  memoryEngineFactory({ defer: setImmediate, randomU32: () => 1 }, new Map()),
);

describe('openLevelEngine', () => {
  it('does not merge the tables of rows that were written in order', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mainstay-engine-'));
    const engine = await open(openLevelEngine, dir);
    const big = 'x'.repeat(1 << 20);
    for (let i = 0; i < 110; i++)
      await call((done) => engine.write(batch([[`k${String(i + 100)}`, big]]), false, done));
    await call((done) => engine.close(done));
    const log = readFileSync(join(dir, 'LOG'), 'utf8');
    expect(log.match(/Level-0 table #\d+: started/g)?.length, 'tables').to.be.at.least(6);
    expect(log).to.not.match(/Compacting \d+@0/);
    rmSync(dir, { recursive: true, force: true });
  });

  it('unmaps the files it read on forget', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mainstay-engine-'));
    const engine = await open(openLevelEngine, dir);
    const mapped = (): string[] =>
      readFileSync('/proc/self/maps', 'latin1').match(new RegExp(`${dir}/\\S+`, 'g')) ?? [];
    await call((done) => engine.write(batch([['k', 'x'.repeat(1 << 20)]]), true, done));
    await readAll(engine, 'k', 'l');
    const before = mapped();
    expect(before).to.not.deep.equal([]);
    await call((done) => engine.forgetReads(done));
    // Opening maps what it has just written itself.
    expect(mapped().filter((path) => before.includes(path))).to.deep.equal([]);
    expect(engine.get(Buffer.from('k'))?.length).to.equal(1 << 20);
    await call((done) => engine.close(done));
    rmSync(dir, { recursive: true, force: true });
  });

  it('reports a directory that another process holds', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mainstay-engine-'));
    const engine = await open(openLevelEngine, dir);
    const error = await open(openLevelEngine, dir).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(Error);
    await call((done) => engine.close(done));
    rmSync(dir, { recursive: true, force: true });
  });
});
