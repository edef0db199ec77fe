/**
 * Images in files: an OCI layout (image-spec image-layout.md) as a directory or a tar, and the
 * archive of `docker save`.
 */
import * as fs from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { createGunzip } from 'node:zlib';
import { RuntimeError } from '../runtime.js';
import { readText } from '../state-files.js';
import { applyLayer } from './apply-layer.js';
import { ARCHITECTURE, parseJson } from './image-config.js';
import { sha256, type LayerSource } from './layer-store.js';
import { formatReference, parseReference } from './reference.js';
import { resolveInRoot } from './rooted-path.js';

/** One image, ready to be added to a store. */
export interface ImageSource {
  /** Normalised references. */
  readonly tags: readonly string[];
  /** Of its manifest; undefined for Docker's archives, which have none. */
  readonly manifestDigest: string | undefined;
  readonly configText: string;
  readonly layers: readonly LayerSource[];
}

interface Descriptor {
  readonly mediaType?: string;
  readonly digest: string;
  readonly platform?: { readonly os?: string; readonly architecture?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly manifests?: readonly Descriptor[];
  readonly config?: Descriptor;
  readonly layers?: readonly Descriptor[];
}

interface DockerImage {
  readonly Config: string;
  readonly RepoTags?: readonly string[] | null;
  readonly Layers: readonly string[];
}

const GZIP_MAGIC = 0x1f8b;
const ZSTD_MAGIC = 0x28b52ffd;
const MAX_INDEX_DEPTH = 4;
const REFERENCE_NAMES = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];

/** Images at `path`; tars are unpacked into `scratch`. Rejects with RuntimeError InvalidArgument or NotFound. */
export async function readImages(path: string, scratch: string): Promise<ImageSource[]> {
  const root = await asDirectory(path, scratch);
  // Newer archives of `docker save` are both; only this file names all tags.
  const docker = await readText(resolveInRoot(root, 'manifest.json'));
  if (docker !== undefined) return await dockerImages(root, parseJson(docker) as DockerImage[]);
  const index = await readText(resolveInRoot(root, 'index.json'));
  if (index === undefined) {
    throw new RuntimeError(
      'InvalidArgument',
      `${path} is neither an OCI layout nor a docker archive: it has no index.json and no manifest.json`,
    );
  }
  const layout = new OciLayout(root, nameOf(path));
  const images = await layout.images(parseJson(index) as Manifest);
  if (images.length === 0) {
    throw new RuntimeError('InvalidArgument', `${path} has no image for linux/${ARCHITECTURE}`);
  }
  return images;
}

async function asDirectory(path: string, scratch: string): Promise<string> {
  const stat = await fs.stat(path).catch((error: unknown) => {
    throw new RuntimeError('NotFound', `cannot read ${path}: ${String(error)}`);
  });
  if (stat.isDirectory()) return path;
  const file = createReadStream(path);
  const tar = (await magicOf(path)).gzip ? file.pipe(createGunzip()) : file;
  try {
    await applyLayer(scratch, tar, { keepsOwners: false });
  } catch (error) {
    if (error instanceof RuntimeError) throw error;
    throw new RuntimeError('InvalidArgument', `${path} is not a tar archive: ${String(error)}`);
  }
  return scratch;
}

async function dockerImages(root: string, images: readonly DockerImage[]): Promise<ImageSource[]> {
  const found: ImageSource[] = [];
  for (const image of images) {
    const layers: LayerSource[] = [];
    for (const layer of image.Layers) {
      layers.push(await layerAt(resolveInRoot(root, layer), undefined));
    }
    found.push({
      tags: (image.RepoTags ?? []).map((tag) => formatReference(parseReference(tag))),
      manifestDigest: undefined,
      configText: await mustRead(resolveInRoot(root, image.Config)),
      layers,
    });
  }
  return found;
}

class OciLayout {
  private readonly root: string;
  /** Repository of images that are named by a tag alone. */
  private readonly defaultName: string;

  constructor(root: string, defaultName: string) {
    this.root = root;
    this.defaultName = defaultName;
  }

  async images(index: Manifest): Promise<ImageSource[]> {
    const found: ImageSource[] = [];
    for (const descriptor of index.manifests ?? []) {
      const image = await this.resolve(descriptor, this.tagOf(descriptor), MAX_INDEX_DEPTH);
      if (image !== undefined) found.push(image);
    }
    return found;
  }

  /** The image, or of an index the one for this machine. */
  private async resolve(
    descriptor: Descriptor,
    tag: string,
    depth: number,
  ): Promise<ImageSource | undefined> {
    const { os = 'linux', architecture = ARCHITECTURE } = descriptor.platform ?? {};
    if (os !== 'linux' || architecture !== ARCHITECTURE || depth === 0) return undefined;
    const manifest = parseJson(await this.blob(descriptor.digest)) as Manifest;
    for (const inner of manifest.manifests ?? []) {
      const image = await this.resolve(inner, tag, depth - 1);
      if (image !== undefined) return image;
    }
    if (manifest.config === undefined || manifest.layers === undefined) return undefined;
    const layers: LayerSource[] = [];
    for (const layer of manifest.layers) {
      layers.push(await layerAt(this.blobPath(layer.digest), layer.digest));
    }
    return {
      tags: [tag],
      manifestDigest: descriptor.digest,
      configText: await this.blob(manifest.config.digest),
      layers,
    };
  }

  /** A full name from the annotations; else a tag from there, and the name of the file. */
  private tagOf(descriptor: Descriptor): string {
    const names = REFERENCE_NAMES.map((key) => descriptor.annotations?.[key]);
    const name = names.find((text) => text !== undefined && text !== '') ?? 'latest';
    const isFull = name.includes('/') || name.includes(':');
    return formatReference(parseReference(isFull ? name : `${this.defaultName}:${name}`));
  }

  private async blob(digest: string): Promise<string> {
    const text = await mustRead(this.blobPath(digest));
    if (sha256(text) !== digest) {
      throw new RuntimeError('InvalidArgument', `blob has digest ${sha256(text)}, not ${digest}`);
    }
    return text;
  }

  private blobPath(digest: string): string {
    if (!/^sha256:[a-f0-9]{64}$/.test(digest)) {
      throw new RuntimeError('InvalidArgument', `unsupported digest "${digest}"`);
    }
    return resolveInRoot(this.root, `blobs/sha256/${digest.slice('sha256:'.length)}`);
  }
}

async function layerAt(path: string, digest: string | undefined): Promise<LayerSource> {
  const magic = await magicOf(path);
  if (magic.zstd) {
    throw new RuntimeError(
      'InvalidArgument',
      'layers compressed with zstd cannot be read; convert the image to gzip',
    );
  }
  return { isGzip: magic.gzip, digest, open: () => createReadStream(path) };
}

async function magicOf(path: string): Promise<{ gzip: boolean; zstd: boolean }> {
  const file = await fs.open(path, 'r').catch((error: unknown) => {
    throw new RuntimeError('InvalidArgument', `image lacks a file: ${String(error)}`);
  });
  try {
    const head = Buffer.alloc(4);
    await file.read(head, 0, head.length, 0);
    return {
      gzip: head.readUInt16BE(0) === GZIP_MAGIC,
      zstd: head.readUInt32BE(0) === ZSTD_MAGIC,
    };
  } finally {
    await file.close();
  }
}

async function mustRead(path: string): Promise<string> {
  const text = await readText(path);
  if (text === undefined) {
    throw new RuntimeError('InvalidArgument', `image lacks the file ${basename(path)}`);
  }
  return text;
}

/** Name of a file or directory without the endings of archives, as a repository. */
function nameOf(path: string): string {
  return basename(path)
    .replace(/([.](tar|tgz|gz|oci))+$/, '')
    .toLowerCase();
}
