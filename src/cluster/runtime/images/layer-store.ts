/**
 * Layers of images, each unpacked once into a directory named after its content and that of the
 * layers below it. With overlayfs a layer's directory holds only what it changes, and containers
 * mount the stack; without, one directory holds the whole tree of an image.
 */
import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { mustRun } from '../command.js';
import { mountOverlay, unmountBelow } from '../mounts.js';
import { RuntimeError } from '../runtime.js';
import { codeOf, namesIn, syncDirectory } from '../state-files.js';
import { applyLayer } from './apply-layer.js';

/** Short, because all layers of an image stand in one mount option; 96 bits. */
const KEY_LENGTH = 24;
/** More do not fit in the options of one mount. */
const MAX_LAYERS = 120;

export interface LayerSource {
  readonly isGzip: boolean;
  /** Of the archive as it is stored, `sha256:...`; undefined when nothing states it. */
  readonly digest: string | undefined;
  open(): Readable;
}

export interface LayerStoreOptions {
  readonly dir: string;
  readonly usesOverlay: boolean;
  readonly keepsOwners: boolean;
}

export class LayerStore {
  private readonly options: LayerStoreOptions;
  private nextScratch = 0;

  constructor(options: LayerStoreOptions) {
    this.options = options;
  }

  /** Removes what an earlier process left unfinished. */
  async open(): Promise<void> {
    if (this.options.usesOverlay) await unmountBelow(this.scratchRoot());
    await fs.rm(this.scratchRoot(), { recursive: true, force: true });
    await fs.mkdir(this.scratchRoot(), { recursive: true });
    await fs.mkdir(this.layersRoot(), { recursive: true });
  }

  /** Directory below which the directories of layers are. */
  layersRoot(): string {
    return join(this.options.dir, 'layers');
  }

  /** The tree of a layer, relative to `layersRoot`. */
  treeOf(key: string): string {
    return join(key, 'fs');
  }

  /** A new empty directory, gone at the next start. */
  async scratch(): Promise<string> {
    const path = join(this.scratchRoot(), String(this.nextScratch++));
    await fs.mkdir(path);
    return path;
  }

  /** Unpacks what is not there yet and returns the keys to mount, lowest first. Rejects with RuntimeError. */
  async add(layers: readonly LayerSource[], diffIds: readonly string[]): Promise<string[]> {
    if (layers.length !== diffIds.length || layers.length > MAX_LAYERS) {
      throw new RuntimeError(
        'InvalidArgument',
        `image has ${layers.length} layers for ${diffIds.length} digests; at most ${MAX_LAYERS} are possible`,
      );
    }
    const keys = chainKeys(diffIds);
    const steps = layers.map((layer, i) => ({
      layer,
      diffId: diffIds[i] ?? '',
      key: keys[i] ?? '',
    }));
    if (!this.options.usesOverlay) {
      const key = keys.at(-1) ?? '';
      await this.unpack(key, [], steps);
      return [key];
    }
    for (const [i, step] of steps.entries()) await this.unpack(step.key, keys.slice(0, i), [step]);
    return keys;
  }

  /** Removes the layers that nobody uses. */
  async collect(used: ReadonlySet<string>): Promise<void> {
    for (const key of namesIn(this.layersRoot())) {
      if (used.has(key)) continue;
      // Renamed first, so that a layer is never there in part.
      const doomed = join(await this.scratch(), key);
      await fs.rename(join(this.layersRoot(), key), doomed);
      await fs.rm(doomed, { recursive: true, force: true });
    }
  }

  private async unpack(
    key: string,
    below: readonly string[],
    steps: readonly { layer: LayerSource; diffId: string }[],
  ): Promise<void> {
    const final = join(this.layersRoot(), key);
    if (namesIn(final).length > 0) return;
    const scratch = await this.scratch();
    try {
      await fs.mkdir(join(scratch, key, 'fs'), { recursive: true });
      const root = below.length === 0 ? join(scratch, key, 'fs') : join(scratch, 'merged');
      if (below.length > 0) await this.mountAbove(below, scratch, key);
      for (const { layer, diffId } of steps) await this.applyVerified(root, layer, diffId);
      await unmountOverlay(below, scratch);
      // One call for all files of the layer; then the name that makes it valid.
      await mustRun('sync', ['--file-system', join(scratch, key)]);
      await fs.rename(join(scratch, key), final).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOTEMPTY') throw error;
      });
      await syncDirectory(this.layersRoot());
    } finally {
      await unmountOverlay(below, scratch);
      await fs.rm(scratch, { recursive: true, force: true });
    }
  }

  /** Deletions are done on the merged tree: the kernel then writes overlayfs' own marks into the layer. */
  private async mountAbove(below: readonly string[], scratch: string, key: string): Promise<void> {
    await fs.mkdir(join(scratch, 'work'));
    await fs.mkdir(join(scratch, 'merged'));
    await mountOverlay({
      base: this.layersRoot(),
      lower: below.map((layer) => this.treeOf(layer)).reverse(),
      upper: join(scratch, key, 'fs'),
      work: join(scratch, 'work'),
      target: join(scratch, 'merged'),
    });
  }

  private async applyVerified(root: string, layer: LayerSource, diffId: string): Promise<void> {
    const stored = createHash('sha256');
    const plain = createHash('sha256');
    await pipeline(
      layer.open(),
      tap(stored),
      layer.isGzip ? createGunzip() : new PassThrough(),
      tap(plain),
      (tar: AsyncIterable<Uint8Array>) =>
        applyLayer(root, Readable.from(tar), { keepsOwners: this.options.keepsOwners }),
    ).catch((error: unknown) => {
      if (error instanceof RuntimeError) throw error;
      throw new RuntimeError(
        'InvalidArgument',
        `layer ${diffId} cannot be unpacked: ${String(error)}`,
      );
    });
    checkDigest(layer.digest, stored);
    checkDigest(diffId, plain);
  }

  private scratchRoot(): string {
    return join(this.options.dir, 'scratch');
  }
}

/** `sha256:` and the hexadecimal digest of `bytes`. */
export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function unmountOverlay(below: readonly string[], scratch: string): Promise<void> {
  if (below.length > 0) await unmountBelow(join(scratch, 'merged'));
}

/** Names of a layer that depend on all layers below it (image-spec's chain ids, shortened). */
function chainKeys(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain.map((id) => id.slice('sha256:'.length).slice(0, KEY_LENGTH));
}

function tap(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

function checkDigest(expected: string | undefined, hash: Hash): void {
  const actual = `sha256:${hash.digest('hex')}`;
  if (expected !== undefined && expected !== actual) {
    throw new RuntimeError('InvalidArgument', `layer has digest ${actual}, not ${expected}`);
  }
}
