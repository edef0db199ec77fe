import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskFile } from '../../../src/base/env/env.js';
import { FATAL_EXIT_CODE, createNodeEnv } from '../../../src/base/env/node.js';

describe('createNodeEnv', () => {
  const env = createNodeEnv();
  let dir = '';

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'mainstay-env-'));
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  function wait(run: (done: (error: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) =>
      run((error) => (error === null ? resolve() : reject(error))),
    );
  }

  function create(path: string, sizeBytes: number): Promise<DiskFile> {
    return new Promise((resolve, reject) => {
      env.disk.create(path, sizeBytes, (error, file) =>
        file === null ? reject(error ?? new Error('no file')) : resolve(file),
      );
    });
  }

  it('creates a file of zeros whose size is not a multiple of its chunk, both ways', async () => {
    const size = 2 * 1024 * 1024 + 777;
    (await create(join(dir, 'a'), size)).closeSync();
    env.disk.createSync(join(dir, 'b'), size).closeSync();
    for (const name of ['a', 'b']) {
      const bytes = env.disk.readFileSync(join(dir, name));
      expect(bytes.length).to.equal(size);
      expect(bytes.every((byte) => byte === 0)).to.equal(true);
      expect(statSync(join(dir, name)).blocks * 512).to.be.at.least(size);
    }
  });

  it('refuses to create over an existing file', async () => {
    const path = join(dir, 'a');
    env.disk.writeFileSync(path, Uint8Array.of(1));
    expect(() => env.disk.createSync(path, 10)).to.throw(/EEXIST/);
    const error = await create(path, 10).catch((e: unknown) => e);
    expect(String(error)).to.match(/EEXIST/);
    expect([...readFileSync(path)]).to.deep.equal([1]);
  });

  it('writes at a position and syncs through callbacks', async () => {
    const file = await create(join(dir, 'a'), 16);
    await wait((done) => file.write(Uint8Array.of(7, 8), 3, done));
    await wait((done) => file.writeDurable(Uint8Array.of(8), 4, done));
    file.writeSync(Uint8Array.of(9), 5);
    file.truncateSync(8);
    file.datasyncSync();
    file.closeSync();
    expect([...readFileSync(join(dir, 'a'))]).to.deep.equal([0, 0, 0, 7, 8, 9, 0, 0]);
  });

  it('reports errors of run-time operations to their callbacks', async () => {
    const missing = join(dir, 'no', 'such');
    for (const run of [
      (done: (error: Error | null) => void) => env.disk.rename(missing, join(dir, 'x'), done),
      (done: (error: Error | null) => void) => env.disk.unlink(missing, done),
      (done: (error: Error | null) => void) => env.disk.syncDir(missing, done),
    ]) {
      const error = await wait(run).catch((e: unknown) => e);
      expect(String(error)).to.match(/ENOENT/);
    }
  });

  it('replaces a file durably, lists names sorted, and removes trees', async () => {
    const sub = join(dir, 's', 't');
    env.disk.mkdirSync(sub);
    env.disk.mkdirSync(sub);
    env.disk.writeFileSync(join(sub, 'b'), Uint8Array.of(1));
    env.disk.writeFileSync(join(sub, 'b'), Uint8Array.of(2));
    env.disk.writeFileSync(join(sub, 'B'), Uint8Array.of(3));
    expect(env.disk.readdirSync(sub)).to.deep.equal(['B', 'b']);
    expect([...env.disk.readFileSync(join(sub, 'b'))]).to.deep.equal([2]);
    await wait((done) => env.disk.rename(join(sub, 'b'), join(sub, 'c'), done));
    await wait((done) => env.disk.syncDir(sub, done));
    await wait((done) => env.disk.unlink(join(sub, 'B'), done));
    expect(env.disk.readdirSync(sub)).to.deep.equal(['c']);
    env.disk.rmSync(join(dir, 's'));
    env.disk.rmSync(join(dir, 's'));
    expect(env.disk.existsSync(sub)).to.equal(false);
  });

  it('runs timers unless they are cancelled, and deferred work', async () => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      env.after(1, () => order.push('cancelled')).cancel();
      env.defer(() => order.push('deferred'));
      env.after(20, resolve);
    });
    expect(order).to.deep.equal(['deferred']);
    const before = env.clock.monoMs();
    expect(env.clock.monoMs()).to.be.at.least(before);
  });

  it('draws unsigned 32-bit integers that differ', () => {
    const seen = new Set<number>();
    for (let i = 0; i < 3000; i++) {
      const value = env.randomU32();
      expect(value >= 0 && value <= 0xffffffff && Number.isInteger(value)).to.equal(true);
      seen.add(value);
    }
    expect(seen.size).to.be.greaterThan(2900);
  });

  it('ends the process with one line of finding, next step and cause', () => {
    const code = `
      import { createNodeEnv } from './src/base/env/node.ts';
      const env = createNodeEnv({ onFatal: () => { throw new Error('ignored'); } });
      env.fatal('disk said no', 'replace the disk', new Error('EIO'));
      console.log('never');`;
    const child = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', code],
      { encoding: 'utf8' },
    );
    expect(child.status).to.equal(FATAL_EXIT_CODE);
    expect(child.stdout).to.equal('');
    const lines = child.stderr.trim().split('\n');
    expect(lines).to.have.length(1);
    const report = JSON.parse(lines[0] ?? '') as Record<string, string>;
    expect(report['msg']).to.equal('disk said no');
    expect(report['next']).to.equal('replace the disk');
    expect(report['cause']).to.match(/EIO/);
  });
});
