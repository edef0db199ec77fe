/** The image `busybox`, made from the node's own static busybox, so that a cluster without a registry can run pods. */
import { readFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { Readable } from 'node:stream';
import { packTar, type TarEntry } from 'modern-tar';
import { mustRun } from '../command.js';
import type { ImageSource } from './image-archive.js';
import { ARCHITECTURE } from './image-config.js';
import { sha256 } from './layer-store.js';

const TAGS = ['docker.io/library/busybox:latest', 'docker.io/library/busybox:1'];
const PROGRAM = 'bin/busybox';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DIRECTORIES = ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'sbin', 'sys', 'usr'];
const MORE_DIRECTORIES = ['usr/bin', 'usr/sbin', 'var', 'var/run', 'var/www'];
const WRITABLE_BY_ALL = ['tmp', 'var/tmp'];
const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': [
    'root:x:0:0:root:/root:/bin/sh',
    'daemon:x:1:1:daemon:/usr/sbin:/bin/false',
    'www-data:x:33:33:www-data:/var/www:/bin/false',
    'nobody:x:65534:65534:nobody:/home:/bin/false',
    '',
  ].join('\n'),
  'etc/group': 'root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n',
};

/** The same program gives the same digest. Rejects with RuntimeError when the program does not list its applets. */
export async function baseImage(busybox: string): Promise<ImageSource> {
  const program = await readFile(busybox);
  const applets = (await mustRun(busybox, ['--list-full'])).trim().split('\n');
  const layer = await packTar(entries(program, applets.filter(isLink).sort()));
  const digest = sha256(layer);
  const configText = JSON.stringify({
    architecture: ARCHITECTURE,
    os: 'linux',
    config: { Cmd: ['sh'], Env: [`PATH=${PATH}`] },
    rootfs: { type: 'layers', diff_ids: [digest] },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: { digest: sha256(configText), size: configText.length },
    layers: [{ digest, size: layer.length }],
  });
  return {
    tags: TAGS,
    manifestDigest: sha256(manifest),
    configText,
    layers: [{ isGzip: false, digest, open: () => Readable.from([Buffer.from(layer)]) }],
  };
}

function isLink(applet: string): boolean {
  return applet !== '' && applet !== PROGRAM && !applet.startsWith('/');
}

function entries(program: Uint8Array, applets: readonly string[]): TarEntry[] {
  const mtime = new Date(0);
  const directories = new Set([...DIRECTORIES, ...MORE_DIRECTORIES, ...applets.map(dirname)]);
  directories.delete('.');
  const directory = (name: string, mode: number): TarEntry => ({
    header: { name: `${name}/`, type: 'directory', size: 0, mode, mtime, uid: 0, gid: 0 },
  });
  const file = (name: string, body: Uint8Array, mode: number): TarEntry => ({
    header: { name, size: body.length, mode, mtime, uid: 0, gid: 0 },
    body,
  });
  return [
    ...[...directories].sort().map((name) => directory(name, 0o755)),
    ...WRITABLE_BY_ALL.map((name) => directory(name, 0o1777)),
    file(PROGRAM, program, 0o755),
    // Relative, so that the links also lead to the program when the tree is not the root.
    ...applets.map((name) => ({
      header: {
        name,
        type: 'symlink' as const,
        linkname: relative(dirname(name), PROGRAM),
        size: 0,
        mtime,
        uid: 0,
        gid: 0,
      },
    })),
    ...Object.entries(FILES).map(([name, text]) => file(name, Buffer.from(text), 0o644)),
  ];
}
