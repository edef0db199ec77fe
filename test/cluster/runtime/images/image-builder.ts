import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { packTar, type TarEntry } from 'modern-tar';
import { ARCHITECTURE } from '../../../../src/cluster/runtime/images/image-config.js';

export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function file(name: string, body: string, mode = 0o644, uid = 0): TarEntry {
  return { header: { name, size: Buffer.byteLength(body), mode, uid, gid: uid }, body };
}

export function directory(name: string, mode = 0o755): TarEntry {
  return { header: { name: `${name}/`, type: 'directory', size: 0, mode } };
}

export function link(type: 'symlink' | 'link', name: string, linkname: string): TarEntry {
  return { header: { name, type, linkname, size: 0 } };
}

/** With a fixed time, where none is given: equal entries are equal bytes, and so one layer. */
function dated(entry: TarEntry): TarEntry {
  return { ...entry, header: { mtime: new Date(0), ...entry.header } };
}

interface Built {
  readonly configText: string;
  readonly layers: { readonly plain: Uint8Array; readonly stored: Uint8Array }[];
}

async function built(
  layers: readonly TarEntry[][],
  config: object,
  isGzip: boolean,
): Promise<Built> {
  const packed: Built['layers'] = [];
  for (const entries of layers) {
    const plain = await packTar(entries.map(dated));
    packed.push({ plain, stored: isGzip ? gzipSync(plain) : plain });
  }
  const configText = JSON.stringify({
    architecture: ARCHITECTURE,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: packed.map(({ plain }) => digestOf(plain)) },
  });
  return { configText, layers: packed };
}

export interface LayoutOptions {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly config?: object;
  readonly isGzip?: boolean;
  /** Changes a stored layer after its digest was taken. */
  readonly spoil?: boolean;
}

/** Writes an OCI layout into `dir`. Returns the digest of the image's configuration. */
export async function writeLayout(
  dir: string,
  layers: readonly TarEntry[][],
  options: LayoutOptions = {},
): Promise<string> {
  const blobs = join(dir, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Uint8Array | string): { digest: string; size: number } => {
    const digest = digestOf(bytes);
    writeFileSync(join(blobs, digest.slice('sha256:'.length)), bytes);
    return { digest, size: bytes.length };
  };
  const image = await built(layers, options.config ?? {}, options.isGzip ?? false);
  const stored = image.layers.map(({ stored: bytes }) => put(bytes));
  const [first] = stored;
  if (options.spoil === true && first !== undefined) {
    const bytes = Buffer.from(image.layers[0]?.stored ?? []);
    // Content of the first file, behind the two headers before it.
    bytes[1024] = (bytes[1024] ?? 0) ^ 1;
    writeFileSync(join(blobs, first.digest.slice('sha256:'.length)), bytes);
  }
  const manifest = put(
    JSON.stringify({ schemaVersion: 2, config: put(image.configText), layers: stored }),
  );
  const entry = { ...manifest, annotations: options.annotations ?? {} };
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  return digestOf(image.configText);
}

/** An archive as `docker save` writes it. */
export async function dockerArchive(
  layers: readonly TarEntry[][],
  tags: readonly string[],
): Promise<Uint8Array> {
  const image = await built(layers, { Cmd: ['sh'] }, false);
  const names = image.layers.map((_, i) => `layer-${i}/layer.tar`);
  const manifest = [{ Config: 'config.json', RepoTags: tags, Layers: names }];
  return packTar([
    file('config.json', image.configText),
    ...image.layers.map(({ plain }, i) => ({
      header: { name: names[i] ?? '', size: plain.length },
      body: plain,
    })),
    file('manifest.json', JSON.stringify(manifest)),
  ]);
}
