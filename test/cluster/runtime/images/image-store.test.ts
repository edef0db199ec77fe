import { expect } from 'chai';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { TarEntry } from 'modern-tar';
import { ImageStore } from '../../../../src/cluster/runtime/images/image-store.js';
import { mountOverlay, unmountBelow } from '../../../../src/cluster/runtime/mounts.js';
import { RuntimeError } from '../../../../src/cluster/runtime/runtime.js';
import { whereEngineRuns } from '../facilities-needed.js';
import { digestOf, directory, dockerArchive, file, link, writeLayout } from './image-builder.js';

const BASE: TarEntry[] = [
  directory('etc'),
  file('etc/keep', 'kept'),
  file('etc/gone', 'gone'),
  directory('opaque'),
  file('opaque/below', 'below'),
  directory('opaque/deep'),
  file('opaque/deep/below', 'below'),
  file('tool', '#!', 0o4755),
  link('link', 'tool-again', 'tool'),
  link('symlink', 'absolute', '/etc/keep'),
];
const CHANGES: TarEntry[] = [
  file('etc/.wh.gone', ''),
  directory('opaque'),
  file('opaque/above', 'above'),
  file('opaque/.wh..wh..opq', ''),
  file('etc/keep', 'changed'),
];

/** One suite for both forms of the store; `tree` gives a directory that shows an image's files. */
function storeSuite(usesOverlay: boolean): void {
  let dir = '';
  let store: ImageStore;
  const none = (): ReadonlySet<string> => new Set();

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'mainstay-images-'));
    store = await openStore();
  });

  afterEach(async () => {
    await unmountBelow(dir);
    rmSync(dir, { recursive: true, force: true });
  });

  async function openStore(): Promise<ImageStore> {
    const options = { dir: join(dir, 'store'), usesOverlay, keepsOwners: usesOverlay };
    const opened = new ImageStore(options);
    await opened.open();
    return opened;
  }

  async function tree(image: string): Promise<string> {
    const layers = store.find(image)?.layers ?? [];
    const root = store.layers.layersRoot();
    const [first = ''] = layers;
    if (!usesOverlay) return join(root, store.layers.treeOf(first));
    const lower = layers.map((key) => store.layers.treeOf(key)).reverse();
    for (const name of ['upper', 'work', 'merged']) mkdirSync(join(dir, name));
    const target = join(dir, 'merged');
    const upper = join(dir, 'upper');
    await mountOverlay({ base: root, lower, upper, work: join(dir, 'work'), target });
    return target;
  }

  async function layout(layers: TarEntry[][], options = {}): Promise<string> {
    const path = join(dir, 'images', 'Sample');
    await writeLayout(path, layers, options);
    return path;
  }

  it('unpacks layers with deletions, links, modes', async () => {
    const tags = await store.load(await layout([BASE, CHANGES], { isGzip: true }));
    expect(tags).to.deep.equal(['docker.io/library/sample:latest']);
    const root = await tree('sample');
    expect(readFileSync(join(root, 'etc/keep'), 'utf8')).to.equal('changed');
    expect(existsSync(join(root, 'etc/gone'))).to.equal(false);
    expect(readdirSync(join(root, 'opaque'))).to.deep.equal(['above']);
    expect(statSync(join(root, 'tool')).mode & 0o7777).to.equal(0o4755);
    expect(statSync(join(root, 'tool')).nlink).to.equal(2);
    expect(lstatSync(join(root, 'absolute')).isSymbolicLink()).to.equal(true);
  });

  it('shares layers, and removes those that nobody uses', async () => {
    await store.load(await layout([BASE, CHANGES]));
    const first = store.find('sample');
    const other = join(dir, 'other');
    await writeLayout(other, [BASE]);
    await store.load(other);
    const keys = (): string[] => readdirSync(store.layers.layersRoot()).sort();
    if (usesOverlay) expect(keys()).to.deep.equal([...(first?.layers ?? [])].sort());
    await store.remove('sample', () => new Set(first?.layers));
    expect(store.find('sample')).to.equal(undefined);
    expect(keys()).to.include.members([...(first?.layers ?? [])]);
    await store.collect(none);
    expect(keys()).to.deep.equal(store.find('other')?.layers);
    await store.remove('sample', none);
    await store.remove('other', none);
    expect(keys()).to.deep.equal([]);
  });

  it('is the same after it was opened again', async () => {
    await store.load(await layout([BASE]));
    const before = store.list();
    mkdirSync(join(dir, 'store/scratch/unfinished'));
    store = await openStore();
    expect(store.list()).to.deep.equal(before);
    expect(readdirSync(join(dir, 'store/scratch'))).to.deep.equal([]);
  });

  it('gives a tag to the image that took it last', async () => {
    const annotations = { 'org.opencontainers.image.ref.name': 'quay.io/team/app:v1' };
    await store.load(await layout([BASE], { annotations }));
    const second = join(dir, 'second');
    const id = await writeLayout(second, [CHANGES], { annotations });
    expect(await store.load(second)).to.deep.equal(['quay.io/team/app:v1']);
    expect(store.find('quay.io/team/app:v1')?.id).to.equal(id);
    expect(store.list().map(({ tags }) => tags.length)).to.deep.equal([0, 1]);
  });

  it('names an image by its tag and its file', async () => {
    const annotations = { 'org.opencontainers.image.ref.name': '1.2' };
    const tags = await store.load(await layout([BASE], { annotations }));
    expect(tags).to.deep.equal(['docker.io/library/sample:1.2']);
    const [image] = store.list();
    expect(store.find(image?.digests[0] ?? '')?.id).to.equal(image?.id);
  });

  it('reads the archives of docker save, compressed ones too', async () => {
    const archive = await dockerArchive([BASE, CHANGES], ['app:1', 'localhost:5000/app:2']);
    for (const bytes of [archive, gzipSync(archive)]) {
      const path = join(dir, 'app.tar');
      writeFileSync(path, bytes);
      expect(await store.load(path)).to.deep.equal([
        'docker.io/library/app:1',
        'localhost:5000/app:2',
      ]);
    }
    expect(store.find('app:1')?.config.cmd).to.deep.equal(['sh']);
    expect(store.list().length).to.equal(1);
  });

  it('never writes outside of the layer', async () => {
    const outside = join(dir, 'outside');
    mkdirSync(outside);
    chmodSync(outside, 0o700);
    await store.load(
      await layout([
        [
          link('symlink', 'way', outside),
          file('way/planted', 'x'),
          link('symlink', 'up', '../../../../../../../../tmp'),
          file('up/planted', 'x'),
        ],
        [file('way/.wh.planted', ''), file('way/second', 'y')],
      ]),
    );
    expect(readdirSync(outside)).to.deep.equal([]);
    expect(existsSync('/tmp/planted')).to.equal(false);
    const root = await tree('sample');
    expect(readFileSync(join(root, 'tmp/planted'), 'utf8')).to.equal('x');
    expect(readdirSync(join(root, outside))).to.deep.equal(['second']);
  });

  const bad: [string, () => Promise<string>, RegExp][] = [
    ['a changed layer', () => layout([BASE], { spoil: true }), /has digest/],
    ['an entry that leads upwards', () => layout([[file('../evil', 'x')]]), /outside of its root/],
    [
      'an image of another platform',
      async () => {
        const path = join(dir, 'riscv');
        const archive = await dockerArchive([BASE], ['app:1']);
        const text = Buffer.from(archive).toString('latin1');
        const own = /"architecture":"(\w+)"/.exec(text)?.[1] ?? '';
        writeFileSync(path, text.replace(own, 'z'.repeat(own.length)), 'latin1');
        return path;
      },
      /image is for linux\/z+/,
    ],
    [
      'a file that is no archive',
      () => {
        const path = join(dir, 'text');
        writeFileSync(path, 'x'.repeat(2000));
        return Promise.resolve(path);
      },
      /not a tar archive|neither/,
    ],
    [
      'a directory without an index',
      () => Promise.resolve(dir),
      /neither an OCI layout nor a docker archive/,
    ],
    ['nothing', () => Promise.resolve(join(dir, 'absent')), /cannot read/],
  ];
  for (const [what, make, words] of bad) {
    it(`refuses ${what}, and keeps nothing of it`, async () => {
      const error: unknown = await store.load(await make()).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(RuntimeError);
      expect((error as RuntimeError).message).to.match(words);
      expect(store.list()).to.deep.equal([]);
      expect(readdirSync(store.layers.layersRoot())).to.deep.equal([]);
      expect(readdirSync(join(dir, 'store/scratch'))).to.deep.equal([]);
    });
  }

  it('has the digest of its content as id', async () => {
    const path = await layout([BASE]);
    const [tag = ''] = await store.load(path);
    const id = store.find(tag)?.id ?? '';
    const blob = readFileSync(join(path, 'blobs/sha256', id.slice('sha256:'.length)));
    expect(digestOf(blob)).to.equal(id);
  });
}

describe('images as one tree each', () => storeSuite(false));
whereEngineRuns('images as layers of overlayfs', () => storeSuite(true));
