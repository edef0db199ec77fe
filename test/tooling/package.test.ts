import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../../scripts/jobs.js';
import { slowness } from '../../scripts/machine.js';
import { freePorts } from '../support/servers.js';
import { until } from '../support/until.js';

/** Files of a clone that the build reads; node_modules is linked. */
const CLONE = ['bin', 'docs', 'proto', 'scripts', 'src', 'test/support'];
const CLONE_FILES = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', 'tsconfig.json'];
/** The user `nobody`, who owns no files. */
const NOBODY = 65_534;
/** Packages that only the cluster needs, as a module's name or in its path. */
const CLUSTER_PACKAGES =
  /(^|\/node_modules\/)(ws|@peculiar\/x509|reflect-metadata|dns-packet|modern-tar)(\/|$)/m;
const STEP_MS = 120_000;

/**
 * The package as its users get it: packed from an unbuilt clone, installed into an empty folder,
 * run by its user.
 */
describe('the package', () => {
  let dir: string;
  let program: string;
  const children: ChildProcess[] = [];

  function run(cwd: string, command: string, ...args: string[]): string {
    const result = spawnSync(command, args, { cwd, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`${command}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  }

  before(function () {
    this.timeout(2 * STEP_MS * slowness());
    dir = mkdtempSync(join(tmpdir(), 'package-test-'));
    chmodSync(dir, 0o755);
    const clone = join(dir, 'clone');
    mkdirSync(join(clone, 'test'), { recursive: true });
    for (const name of CLONE) {
      const isSource = (path: string): boolean => !path.endsWith('/src/gen');
      cpSync(join(ROOT, name), join(clone, name), { recursive: true, filter: isSource });
    }
    for (const name of CLONE_FILES) cpSync(join(ROOT, name), join(clone, name));
    symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
    run(clone, 'npm', 'pack', '--pack-destination', dir);
    const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz')) ?? '';
    const prefix = join(dir, 'prefix');
    mkdirSync(prefix);
    const options = ['--prefix', prefix, '--prefer-offline', '--no-audit', '--no-fund'];
    run(prefix, 'npm', 'install', ...options, join(dir, tarball));
    program = join(prefix, 'node_modules/.bin/mainstay');
    mkdirSync(join(dir, 'home'), { mode: 0o777 });
    chmodSync(join(dir, 'home'), 0o777);
  });

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(join(dir, 'home/a.etcd'), { recursive: true, force: true });
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  interface Running {
    readonly child: ChildProcess;
    text: string;
    code: number | null | undefined;
  }

  /** Starts the installed program as a user who may write nothing but their home. */
  function start(variables: Record<string, string>, ...args: string[]): Running {
    const home = join(dir, 'home');
    const isRoot = process.getuid?.() === 0;
    const child = spawn(program, args, {
      cwd: home,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: home, TMPDIR: home, ...variables },
      ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    });
    children.push(child);
    const running: Running = { child, text: '', code: undefined };
    const collect = (part: Buffer): void => void (running.text += part.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('close', (code) => (running.code = code));
    return running;
  }

  async function serverArgs(): Promise<string[]> {
    const [client = 0, peer = 0] = await freePorts(2);
    const urls = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`] as const;
    return [
      'server',
      '--name=a',
      `--listen-client-urls=${urls[0]}`,
      `--advertise-client-urls=${urls[0]}`,
      `--listen-peer-urls=${urls[1]}`,
      `--initial-advertise-peer-urls=${urls[1]}`,
    ];
  }

  async function says(running: Running, text: string): Promise<void> {
    await until(() => {
      if (running.code !== undefined && !running.text.includes(text)) throw new Error(running.text);
      return running.text.includes(text);
    });
  }

  it('has all it needs and no sources', () => {
    const files = readdirSync(join(dir, 'prefix/node_modules/mainstay'));
    expect(files).contain.members(['bin', 'dist', 'package.json', 'README.md']);
    expect(files).not.contain('src');
    const built = readdirSync(join(dir, 'prefix/node_modules/mainstay/dist'));
    // Compiled code is good for the Node.js of who packed; it must not be shipped to others.
    expect(built.filter((name) => name.endsWith('.code'))).deep.equal([]);
    expect(built).contain.members(['main.cjs', 'server-command.cjs', 'server-command.cjs.map']);
  });

  it('prints its version', async () => {
    const version = start({}, '--version');
    await until(() => version.code !== undefined);
    expect(version.text).match(/^mainstay \d+\.\d+\.\d+ \(etcd API 3\.6\.16\)\n$/);
  });

  it('loads for a start only the modules it needs', async () => {
    const loaded = async (...args: string[]): Promise<string> => {
      const list = join(dir, 'home', 'loaded');
      const running = start(
        { NODE_OPTIONS: `--require ${join(dir, 'record.cjs')}`, LIST: list },
        ...args,
      );
      if (args.length > 2) {
        await says(running, 'ready to serve client requests');
        running.child.kill('SIGTERM');
      }
      await until(() => running.code !== undefined);
      expect(running.code).equal(0);
      return readFileSync(list, 'utf8');
    };
    writeFileSync(
      join(dir, 'record.cjs'),
      `const fs = require('node:fs'), { Module } = require('node:module');
       const [read, load] = [fs.readFileSync, Module._load];
       const names = new Set();
       fs.readFileSync = (...args) => (names.add(String(args[0])), read(...args));
       Module._load = (...args) => (names.add(String(args[0])), load(...args));
       process.on('exit', () => fs.writeFileSync(process.env.LIST, [...names].join('\\n')));`,
    );
    expect(await loaded('--version'))
      .contain('/main.cjs')
      .not.contain('server-command')
      .not.match(CLUSTER_PACKAGES);
    const help = await loaded('server', '--help');
    expect(help)
      .contain('/server-command.cjs')
      .not.match(/main\.cjs|classic-level|grpc-js|yaml/)
      .not.match(CLUSTER_PACKAGES);
    const serving = await loaded(...(await serverArgs()));
    expect(serving)
      .contain('classic-level')
      .not.match(/main\.cjs|grpc-js|yaml|undici/)
      .not.match(CLUSTER_PACKAGES);
  });

  it('keeps the cluster out of the bundles of the store', () => {
    const dist = join(dir, 'prefix/node_modules/mainstay/dist');
    for (const bundle of ['main', 'server-command', 'wal-repair']) {
      const { sources } = JSON.parse(readFileSync(join(dist, `${bundle}.cjs.map`), 'utf8')) as {
        sources: string[];
      };
      const ofCluster = sources.filter(
        (source) => CLUSTER_PACKAGES.test(source) || source.includes('src/cluster/'),
      );
      expect(sources, bundle).length.greaterThan(3);
      expect(ofCluster, bundle).deep.equal([]);
    }
  });

  it('is installed with the packages of the cluster', () => {
    // @peculiar/x509 asks for reflect-metadata to be loaded before it.
    const packages = ['reflect-metadata', '@peculiar/x509', 'ws', 'dns-packet', 'modern-tar'];
    const load = `${JSON.stringify(packages)}.forEach((name) => require(name))`;
    run(join(dir, 'prefix/node_modules/mainstay'), process.execPath, '-e', load);
  });

  it('runs a whole cluster as another user than root, and says what it lacks', async () => {
    const up = start({}, 'up', '--store-members', '1');
    await says(up, 'Ctrl-C stops the cluster');
    expect(up.text)
      .contain('Without network namespaces (missing: root')
      .contain('1 node Ready')
      .contain('plain processes without isolation')
      .not.match(/npm (run|start)/);
    const path = / in (\S+) \.\.\./.exec(up.text)?.[1] ?? '';
    expect(existsSync(path)).equal(true);
    up.child.kill('SIGTERM');
    await until(() => up.code !== undefined);
    expect(up.code).equal(0);
    expect(existsSync(path)).equal(false);
  });

  it('runs a store alone, as another user than root, and names no checkout', async () => {
    const up = start({}, 'up', '--store-only', '--store-members', '1');
    await says(up, 'Ctrl-C stops the cluster');
    expect(up.text)
      .contain('etcdctl put greeting hello')
      .not.match(/npm (run|start)/);
    up.child.kill('SIGTERM');
    await until(() => up.code !== undefined);
    expect(up.code).equal(0);
  });

  it('runs a member, as another user than root, that no signal opens to a debugger', async () => {
    const server = start({}, ...(await serverArgs()));
    // While it loads too: from the program's first line on there is a listener.
    await says(server, 'starting an etcd server');
    server.child.kill('SIGUSR1');
    server.child.kill('SIGUSR2');
    await says(server, 'ready to serve client requests');
    const caller = /"caller":"([^"]*)","msg":"starting an etcd server"/.exec(server.text)?.[1];
    expect(caller).match(/^cli\/server-command\.ts:\d+$/);
    server.child.kill('SIGUSR1');
    await says(server, 'a signal without a meaning here is ignored');
    expect(server.text).not.contain('Debugger listening');
    expect(existsSync(join(dir, 'home/a.etcd'))).equal(true);
    server.child.kill('SIGTERM');
    await until(() => server.code !== undefined);
    expect(server.code).equal(0);
  });
});
