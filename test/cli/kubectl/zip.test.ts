import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { readZipEntry, ZipError } from '../../../src/cli/kubectl/zip.js';

/** Python's own module writes the archives: nothing here is both writer and reader. */
const WRITER = `
import json, sys, zipfile, base64
spec = json.load(sys.stdin)
with zipfile.ZipFile(spec['path'], 'w') as z:
    for f in spec['files']:
        kind = zipfile.ZIP_DEFLATED if f['deflate'] else zipfile.ZIP_STORED
        z.writestr(f['name'], base64.b64decode(f['data']), kind)
    z.comment = spec['comment'].encode()
`;

interface ZipFile {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate: boolean;
}

describe('readZipEntry', () => {
  let dir: string;
  before(() => (dir = mkdtempSync(join(tmpdir(), 'zip-test-'))));
  after(() => rmSync(dir, { recursive: true, force: true }));

  function zip(files: readonly ZipFile[], comment = ''): Buffer {
    const path = join(dir, 'a.zip');
    const spec = files.map((file) => ({
      ...file,
      data: Buffer.from(file.data).toString('base64'),
    }));
    const input = JSON.stringify({ path, files: spec, comment });
    const { status, stderr } = spawnSync('python3', ['-c', WRITER], { input, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return readFileSync(path);
  }

  it('finds each file, stored or deflated, also behind a comment that looks like an end', () => {
    const files = [
      { name: 'a/', data: new Uint8Array(), deflate: false },
      { name: 'a/stored', data: Buffer.from('one'), deflate: false },
      { name: 'a/deflated', data: Buffer.alloc(100_000, 'x'), deflate: true },
      { name: 'empty', data: new Uint8Array(), deflate: true },
    ];
    const archive = zip(files, 'PK\u0005\u0006 is how an end begins');
    for (const { name, data } of files) {
      expect(readZipEntry(archive, name).equals(Buffer.from(data)), name).equal(true);
    }
    expect(() => readZipEntry(archive, 'b')).throw(ZipError, 'no file b');
  });

  it('never gives a wrong content for a damaged archive', () => {
    const data = Buffer.from('the content of a file, long enough to be compressed. '.repeat(20));
    const whole = zip([
      { name: 'first', data: Buffer.from('first'), deflate: false },
      { name: 'wanted', data, deflate: true },
    ]);
    const damage = fc.record({
      at: fc.nat(whole.length - 1),
      value: fc.integer({ min: 0, max: 255 }),
      keep: fc.integer({ min: 0, max: whole.length }),
    });
    fc.assert(
      fc.property(damage, ({ at, value, keep }) => {
        const damaged = Buffer.from(whole);
        damaged[at] = value;
        for (const archive of [damaged, whole.subarray(0, keep)]) {
          try {
            expect(readZipEntry(archive, 'wanted').equals(data)).equal(true);
          } catch (error) {
            if (!(error instanceof ZipError)) throw error;
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
