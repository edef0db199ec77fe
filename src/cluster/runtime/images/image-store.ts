/**
 * Images of a node: one index file and the unpacked layers. Every change is written beside the old
 * state and renamed, so that kill -9 leaves either all of it or nothing.
 */
import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Serial } from '../serial.js';
import { RuntimeError, type Image } from '../runtime.js';
import { readState, writeDurable } from '../state-files.js';
import { run } from '../command.js';
import { readImages, type ImageSource } from './image-archive.js';
import { parseConfig, type ImageConfig } from './image-config.js';
import { LayerStore, sha256, type LayerStoreOptions } from './layer-store.js';
import { formatReference, parseReference } from './reference.js';

export interface StoredImage {
  readonly id: string;
  readonly tags: readonly string[];
  /** `docker.io/library/busybox@sha256:...`. */
  readonly digests: readonly string[];
  readonly sizeBytes: number;
  /** Keys of layers, lowest first. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
}

const INDEX = 'images';

export class ImageStore {
  readonly layers: LayerStore;
  private readonly dir: string;
  private readonly serial = new Serial();
  private images: readonly StoredImage[] = [];

  constructor(options: LayerStoreOptions) {
    this.dir = options.dir;
    this.layers = new LayerStore(options);
  }

  async open(): Promise<void> {
    await mkdir(this.dir, { recursive: true });
    await this.layers.open();
    this.images = (await readState<StoredImage[]>(this.indexPath())) ?? [];
  }

  list(): Image[] {
    return this.images.map(describe);
  }

  /** By reference or id. Throws: RuntimeError InvalidImageName. */
  find(image: string): StoredImage | undefined {
    if (image.startsWith('sha256:')) return this.images.find(({ id }) => id === image);
    const reference = parseReference(image);
    // A digest says all; a tag beside it is only for people.
    if (reference.digest === '') {
      const name = formatReference(reference);
      return this.images.find(({ tags }) => tags.includes(name));
    }
    const digest = `${reference.repository}@${reference.digest}`;
    return this.images.find(({ digests }) => digests.includes(digest));
  }

  /** Adds the images of an archive or layout. Returns their tags. */
  load(path: string): Promise<string[]> {
    return this.serial.run(INDEX, async () => {
      const scratch = await this.layers.scratch();
      try {
        const sources = await readImages(path, scratch);
        const tags: string[] = [];
        for (const source of sources) tags.push(...(await this.addNow(source)).tags);
        return tags;
      } finally {
        await rm(scratch, { recursive: true, force: true });
      }
    });
  }

  add(source: ImageSource): Promise<StoredImage> {
    return this.serial.run(INDEX, () => this.addNow(source));
  }

  /** Removes an image with all its names; `used` are layers that containers still need. */
  remove(image: string, used: () => ReadonlySet<string>): Promise<void> {
    return this.serial.run(INDEX, async () => {
      const found = this.find(image);
      if (found !== undefined) {
        await this.write(this.images.filter(({ id }) => id !== found.id));
      }
      await this.layers.collect(new Set([...this.usedLayers(), ...used()]));
    });
  }

  /** Removes the layers that neither an image nor a container uses. */
  collect(used: () => ReadonlySet<string>): Promise<void> {
    return this.serial.run(INDEX, () =>
      this.layers.collect(new Set([...this.usedLayers(), ...used()])),
    );
  }

  /** Space that the unpacked layers take. */
  async usage(): Promise<{ usedBytes: number; inodesUsed: number }> {
    const { stdout } = await run('du', ['-sk', this.layers.layersRoot()]);
    const inodes = await run('du', ['-s', '--inodes', this.layers.layersRoot()]);
    // The whole file system's numbers stand in if du cannot count: there are no better ones.
    const whole = await statfs(this.dir);
    const kibibytes = Number.parseInt(stdout, 10);
    const files = Number.parseInt(inodes.stdout, 10);
    return {
      usedBytes: Number.isNaN(kibibytes)
        ? (whole.blocks - whole.bfree) * whole.bsize
        : kibibytes * 1024,
      inodesUsed: Number.isNaN(files) ? whole.files - whole.ffree : files,
    };
  }

  private async addNow(source: ImageSource): Promise<StoredImage> {
    const { config, diffIds } = parseConfig(source.configText);
    const layers = await this.layers.add(source.layers, diffIds);
    const id = sha256(source.configText);
    const before = this.images.find((image) => image.id === id);
    const digests = source.tags.flatMap((tag) =>
      source.manifestDigest === undefined
        ? []
        : [`${parseReference(tag).repository}@${source.manifestDigest}`],
    );
    const image: StoredImage = {
      id,
      tags: [...new Set([...(before?.tags ?? []), ...source.tags])],
      digests: [...new Set([...(before?.digests ?? []), ...digests])],
      sizeBytes: before?.sizeBytes ?? (await this.sizeOf(layers)),
      layers,
      config,
    };
    // A tag names one image: the newest that took it.
    const others = this.images
      .filter((other) => other.id !== id)
      .map((other) => ({
        ...other,
        tags: other.tags.filter((tag) => !source.tags.includes(tag)),
      }));
    await this.write([...others, image]);
    return image;
  }

  private async sizeOf(layers: readonly string[]): Promise<number> {
    const paths = layers.map((key) => join(this.layers.layersRoot(), key));
    const { stdout } = await run('du', ['-sk', ...paths]);
    const sizes = stdout
      .trim()
      .split('\n')
      .map((line) => Number.parseInt(line, 10));
    return sizes.reduce((sum, size) => sum + (Number.isNaN(size) ? 0 : size * 1024), 0);
  }

  private usedLayers(): string[] {
    return this.images.flatMap(({ layers }) => layers);
  }

  private async write(images: readonly StoredImage[]): Promise<void> {
    await writeDurable(this.indexPath(), images);
    this.images = images;
  }

  private indexPath(): string {
    return join(this.dir, 'images.json');
  }
}

export function describe(image: StoredImage): Image {
  const { id, tags, digests, sizeBytes, config } = image;
  return { id, tags, digests, sizeBytes, user: config.user };
}

/** There is no client of registries, so a pull says so, and how to get an image here. */
export function pullImpossible(image: string): RuntimeError {
  const name = formatReference(parseReference(image));
  return new RuntimeError(
    'ImagePull',
    `failed to pull "${name}": this runtime does not reach registries; load an OCI layout or ` +
      'the output of "docker save" with "mainstay image load FILE" on the node',
  );
}
