/**
 * Builds dist/ from src/: one bundle a command, its source map, and the table of lines that may log. Then runs each
 * bundle once, so that compiled code lies beside it (bin/load.js, docs/decisions/0026).
 *
 * Types are not checked here; `npm run check` does that.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { SourceMap } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { build, type OutputFile, type Plugin } from 'esbuild';

const ROOT = resolve(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
const BIN = join(ROOT, 'bin/mainstay.js');
/** Each is a bundle of its own; bin/mainstay.js and the dynamic imports among them load it by its name. */
const ENTRIES = [
  'src/cli/control-plane-command.ts',
  'src/cli/image-command.ts',
  'src/cli/kubectl/kubectl-command.ts',
  'src/cli/main.ts',
  'src/cli/node-command.ts',
  'src/cli/server-command.ts',
  'src/cli/up/down-command.ts',
  'src/cli/up/up-command.ts',
  'src/cli/wal-repair.ts',
] as const;
/** A native module, and packages that few starts need: loaded from node_modules when code that uses them runs. */
const EXTERNAL = [
  'classic-level',
  // The parser of config files, and the reference transport.
  'yaml',
  '@grpc/grpc-js',
  // The cluster's: WebSockets, certificates, DNS messages, images of containers.
  'ws',
  '@peculiar/x509',
  'reflect-metadata',
  'dns-packet',
  'modern-tar',
];
const BUILD_ID_LENGTH = 16;
/**
 * The function that Node.js puts around a CommonJS module; written here, so that loading need not
 * copy the text.
 */
const MODULE_HEAD = '(function (exports, require, module, __filename, __dirname) {';
const MODULE_END = '})';
const MEMBERS = 3;
const READY_WITHIN_MS = 60_000;

/** An import of another bundle's entry, made only when a command is run, stays an import. */
const otherBundles: Plugin = {
  name: 'other-bundles',
  setup(setup) {
    setup.onResolve({ filter: /^[.]/ }, ({ kind, path, resolveDir }) => {
      if (kind !== 'dynamic-import') return null;
      const source = resolve(resolveDir, path.replace(/[.]js$/, '.ts'));
      if (!ENTRIES.some((entry) => join(ROOT, entry) === source)) return null;
      return { path: `./${basename(source, '.ts')}.cjs`, external: true };
    });
  },
};

async function bundle(): Promise<void> {
  rmSync(DIST, { recursive: true, force: true });
  mkdirSync(DIST);
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: [...ENTRIES],
    entryNames: '[name]',
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    sourcemap: 'external',
    sourcesContent: false,
    external: EXTERNAL,
    // Compiled code is kept for scripts, which load each other with require.
    supported: { 'dynamic-import': false },
    define: { MAINSTAY_VERSION: JSON.stringify(version), 'import.meta.url': '__moduleUrl' },
    banner: {
      js: `${MODULE_HEAD}const __moduleUrl = require("node:url").pathToFileURL(__filename).href;`,
    },
    footer: { js: MODULE_END },
    plugins: [otherBundles],
    logLevel: 'warning',
  });
  for (const file of outputFiles) if (file.path.endsWith('.cjs')) writeBundle(file, outputFiles);
}

function writeBundle(file: OutputFile, all: readonly OutputFile[]): void {
  const map = all.find(({ path }) => path === `${file.path}.map`);
  if (map === undefined) throw new Error(`${file.path} has no source map`);
  const id = createHash('sha256').update(file.contents).digest('hex').slice(0, BUILD_ID_LENGTH);
  writeFileSync(file.path, `${file.text}//# build=${id}\n`);
  writeFileSync(map.path, map.contents);
  writeFileSync(`${file.path}.callers.json`, JSON.stringify(callers(file.text, map.text)));
}

/** For each line of a bundle that may log: its place in the source, as `folder/file.ts:line`. */
function callers(code: string, mapText: string): Record<string, string> {
  const map = new SourceMap(JSON.parse(mapText) as ConstructorParameters<typeof SourceMap>[0]);
  const table: Record<string, string> = {};
  code.split('\n').forEach((line, i) => {
    const column = line.search(/[lL]og(ger)?\??[.[(]/);
    if (column < 0) return;
    const entry = map.findEntry(i, column);
    if (!('originalSource' in entry) || entry.originalSource.includes('node_modules')) return;
    const place = entry.originalSource.split('/').slice(-2).join('/');
    table[i + 1] = `${place}:${entry.originalLine + 1}`;
  });
  return table;
}

/** Runs a command of the built program to its end. Throws: Error with what it printed. */
function runOnce(...args: string[]): void {
  const result = spawnSync(BIN, args, { encoding: 'utf8', env: recordingEnv() });
  if (result.status === 0) return;
  throw new Error(`mainstay ${args.join(' ')} failed: ${result.stdout}${result.stderr}`);
}

function recordingEnv(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_'));
  return { ...Object.fromEntries(own), MAINSTAY_KEEP_CODE: '1' };
}

/** Runs a cluster until it is ready, so that what a start executes is compiled. */
async function runCluster(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'mainstay-build-'));
  const port = await freePorts(2 * MEMBERS);
  const size = ['--store-only', '--store-members', String(MEMBERS)];
  const args = ['up', ...size, '--dir', dir, '--client-port', String(port)];
  const child = spawn(BIN, args, { stdio: ['ignore', 'pipe', 'pipe'], env: recordingEnv() });
  let text = '';
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_WITHIN_MS);
  const collect = (part: Buffer): void => {
    const wasReady = text.includes('Ctrl-C stops');
    text += part.toString();
    if (!wasReady && text.includes('Ctrl-C stops')) child.kill('SIGTERM');
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const code = await new Promise<number | null>((done) => child.once('close', done));
  clearTimeout(timer);
  rmSync(dir, { recursive: true, force: true });
  if (code === 0) return;
  // The build itself is whole; on a machine where no cluster can run it is still of use.
  process.stderr.write(
    `no compiled code was kept, because the built program did not start:\n${text}`,
  );
}

/** The first of `count` neighbouring ports that are free: `up` gives each member two. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const held = [await listen(0)];
    const { port } = held[0]?.address() as AddressInfo;
    for (let i = 1; i < count; i++) {
      const server = await listen(port + i).catch(() => undefined);
      if (server === undefined) break;
      held.push(server);
    }
    await Promise.all(held.map((server) => new Promise((done) => server.close(done))));
    if (held.length === count) return port;
  }
}

function listen(port: number): Promise<ReturnType<typeof createServer>> {
  const server = createServer();
  return new Promise((done, refuse) => {
    server.once('error', refuse);
    server.listen(port, '127.0.0.1', () => done(server));
  });
}

await bundle();
runOnce('--help');
await runCluster();
