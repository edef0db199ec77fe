/**
 * Makes a fresh clone ready: `node scripts/ensure.js start` before a start, `test` before the tests.
 *
 * Plain Node.js without packages, because it runs before there are any. Each step is skipped when
 * its result is there and current. It prints one line when it works, and shows a tool's output only
 * when the tool fails. It is called from the npm scripts themselves and not as a pre-script: npm
 * drops those when scripts are blocked.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');
const STAMP = join(ROOT, 'dist', '.built-from');
/** Input of the build: any change of name, size or time means building again. */
const BUILD_INPUTS = [
  'src',
  'proto',
  'scripts/build.ts',
  'scripts/gen.ts',
  'scripts/gen',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
];

/** Programs for root are here, and an ordinary user's path may not name it. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin'];

/** Of the two packages of Debian, one needs libraries, which an image would lack. */
const HAS_STATIC_BUSYBOX = 'program=$(command -v busybox) && ! ldd "$program" > /dev/null 2>&1';

/**
 * Programs with which nodes run containers, and their Debian packages. Without them `up` runs what
 * it can, and says so.
 */
const NODE_TOOLS = [
  { name: 'busybox', package: 'busybox-static', check: ['sh', '-c', HAS_STATIC_BUSYBOX] },
  { name: 'conmon', package: 'conmon' },
  { name: 'conntrack', package: 'conntrack' },
  { name: 'ip', package: 'iproute2' },
  { name: 'nft', package: 'nftables' },
  { name: 'runc', package: 'runc' },
  { name: 'socat', package: 'socat' },
];

/**
 * Programs that the tests run, and their Debian packages: a program on the path, or a command that
 * succeeds.
 */
const TEST_TOOLS = [
  ...NODE_TOOLS,
  { name: 'etcd', package: 'etcd-server' },
  { name: 'etcdctl', package: 'etcd-client' },
  { name: 'h2load', package: 'nghttp2-client' },
  // For the system's Python, which need not be the first on the path.
  { name: 'grpcio', package: 'python3-grpcio', check: ['/usr/bin/python3', '-c', 'import grpc'] },
];

const purpose = process.argv[2] ?? 'start';

ensureNode();
ensurePackages();
ensureBuild();
if (purpose === 'test') ensureTestTools();
else if (isRoot()) installMissing(NODE_TOOLS);

function ensureNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(
    `mainstay needs Node.js 20.19 or newer; this is ${process.versions.node}.`,
    'Install a current Node.js and run the command again.',
  );
}

function ensurePackages() {
  if (!existsSync(join(ROOT, 'package-lock.json')) || packagesAreCurrent()) return;
  step('installing npm packages', () =>
    run('npm', [
      'ci',
      '--include=dev',
      '--no-audit',
      '--no-fund',
      '--no-progress',
      '--loglevel=error',
    ]),
  );
}

/** Compares what npm wrote into node_modules with the lock file; packages for other platforms may be missing. */
function packagesAreCurrent() {
  const installedPath = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return false;
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const have = installed[path];
    if (have === undefined ? entry.optional !== true : have.version !== entry.version) return false;
  }
  return true;
}

function ensureBuild() {
  if (!existsSync(join(ROOT, 'src'))) return;
  const inputs = fingerprint();
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === inputs) return;
  step('building', () => {
    rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
    run('npm', ['run', '--silent', 'build']);
    writeFileSync(STAMP, fingerprint());
  });
}

function fingerprint() {
  const hash = createHash('sha256');
  for (const name of BUILD_INPUTS) addToFingerprint(hash, name);
  return hash.digest('hex');
}

function addToFingerprint(hash, name) {
  const path = join(ROOT, name);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || name === 'src/gen') return;
  if (!stat.isDirectory()) {
    hash.update(`${name} ${stat.size} ${stat.mtimeMs}\n`);
    return;
  }
  for (const child of readdirSync(path).sort()) addToFingerprint(hash, `${name}/${child}`);
}

function ensureTestTools() {
  installMissing(TEST_TOOLS);
  const missing = missingOf(TEST_TOOLS);
  if (missing.length === 0) return;
  const names = missing.map((tool) => `${tool.name} (Debian package ${tool.package})`).join(', ');
  const text = `not installed: ${names}.`;
  const next = 'Install them by hand, then run the command again.';
  if (process.env.CI === 'true') fail(text, next);
  console.error(`\nWARNING: ${text}\nTests that need them will be skipped. ${next}\n`);
}

function missingOf(tools) {
  return tools.filter((tool) => !isThere(tool));
}

function isThere({ name, check }) {
  if (check === undefined) return onPath(name);
  return spawnSync(check[0], check.slice(1), { stdio: 'ignore' }).status === 0;
}

function onPath(program) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return [...folders, ...SYSTEM_FOLDERS].some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function isRoot() {
  return process.getuid?.() === 0;
}

/** Through apt, as root or with a sudo that asks nothing; on other systems there is nothing to do. */
function installMissing(tools) {
  const packages = missingOf(tools).map((tool) => tool.package);
  if (packages.length === 0 || !onPath('apt-get')) return;
  if (!isRoot() && (!onPath('sudo') || spawnSync('sudo', ['-n', 'true']).status !== 0)) return;
  // A server package starts its service on installation; the policy file forbids that while we install.
  const script = `
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod 755 "$policy"
      trap 'rm -f "$policy"' EXIT
    fi
    apt-get -q update
    for name in "$@"; do
      apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$name" || status=1
      if [ "$name" = etcd-server ] && command -v systemctl > /dev/null; then
        systemctl disable etcd.service > /dev/null 2>&1 || true
      fi
    done
    exit \${status:-0}`;
  const command = ['sh', '-c', script, 'sh', ...packages];
  if (!isRoot()) command.unshift('sudo', '-n');
  const began = Date.now();
  process.stderr.write(`installing ${packages.join(', ')} `);
  const result = spawnSync(command[0], command.slice(1), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.stderr.write(result.status === 0 ? `(${seconds(began)})\n` : 'FAILED\n');
  if (result.status !== 0) process.stderr.write(lastLines(result.stdout + result.stderr, 15));
}

function step(text, work) {
  const began = Date.now();
  process.stderr.write(`${text} `);
  work();
  process.stderr.write(`(${seconds(began)})\n`);
}

function run(command, args) {
  const result = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === 'win32',
  });
  if (result.status === 0) return;
  const output = result.error === undefined ? result.stdout + result.stderr : String(result.error);
  process.stderr.write('FAILED\n');
  process.stderr.write(lastLines(output, 60));
  fail(`\`${command} ${args.join(' ')}\` failed.`, 'The lines above say why.');
}

function lastLines(text, count) {
  const lines = text.trimEnd().split('\n');
  return `${lines.slice(-count).join('\n')}\n`;
}

function seconds(beganMs) {
  return `${((Date.now() - beganMs) / 1000).toFixed(1)} s`;
}

function fail(what, next) {
  console.error(`\n${what}\n${next}`);
  // The line that ends every test run, also one that could not begin.
  if (purpose === 'test') console.log('0 passed, 1 failed, 0 skipped');
  process.exit(1);
}
