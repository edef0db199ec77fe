/**
 * Duties of every container runtime towards pods, as tests. A case names the capabilities it needs;
 * a runtime that lacks one gets the case reported as not applicable, by name, and not as a test.
 */
import { expect } from 'chai';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import {
  RuntimeError,
  type ContainerConfig,
  type ContainerEvent,
  type ContainerRuntime,
  type PodSandboxConfig,
} from '../../../src/cluster/runtime/runtime.js';
import { until } from '../../support/until.js';
import { containerConfig } from './container-config.js';
import { sandboxConfig } from './sandbox-config.js';

export type Capability =
  'isolation' | 'network' | 'resources' | 'terminal' | 'stdin' | 'mounts' | 'users';

/** A runtime that can be given up and opened again, as after kill -9. */
export interface RuntimeUnderTest {
  /** Opens the runtime on the same directories each time. `close` ends this process's part only. */
  open(): Promise<ClosableRuntime>;
  /** File of the node's network namespace. */
  readonly networkNamespace: string;
  /** Removes everything that the runtime made. */
  cleanUp(): Promise<void>;
}

export type ClosableRuntime = ContainerRuntime & { close(): void };

const IMAGE = 'busybox';
const SIZE_SHOWER = 'trap "stty size" WINCH;';
/** A signal ends a shell's `read` without a line. */
const READ_LOOP =
  'while :; do read line && echo "got $line"; if [ "$line" = quit ]; then exit 6; fi; done';

class Pods {
  readonly logs = mkdtempSync(join(tmpdir(), 'mainstay-pods-'));
  runtime: ClosableRuntime;
  private count = 0;

  constructor(runtime: ClosableRuntime) {
    this.runtime = runtime;
  }

  sandboxConfig(change: Partial<PodSandboxConfig> = {}): PodSandboxConfig {
    const uid = `pod-${process.pid}-${++this.count}`;
    return sandboxConfig({
      uid,
      logDirectory: join(this.logs, uid),
      cgroupParent: `/mainstay-test-${process.pid}/${uid}`,
      ...change,
    });
  }

  async containerConfig(
    script: string,
    change: Partial<ContainerConfig> = {},
  ): Promise<ContainerConfig> {
    const image = await this.runtime.imageStatus(IMAGE);
    return containerConfig({
      imageId: image?.id ?? '',
      image: IMAGE,
      command: ['sh', '-c', script],
      ...change,
    });
  }

  /** A sandbox with one container that runs `script`. */
  async run(
    script: string,
    change: Partial<ContainerConfig> = {},
    sandboxChange: Partial<PodSandboxConfig> = {},
  ): Promise<{ sandbox: string; container: string }> {
    const sandbox = await this.runtime.runPodSandbox(this.sandboxConfig(sandboxChange));
    const container = await this.start(sandbox, script, change);
    return { sandbox, container };
  }

  async start(
    sandbox: string,
    script: string,
    change: Partial<ContainerConfig> = {},
  ): Promise<string> {
    const config = await this.containerConfig(script, change);
    const container = await this.runtime.createContainer(sandbox, config);
    await this.runtime.startContainer(container);
    return container;
  }

  /** Runs `script` to its end and returns its exit code and what it wrote to standard output. */
  async output(
    script: string,
    change: Partial<ContainerConfig> = {},
    sandboxChange: Partial<PodSandboxConfig> = {},
  ): Promise<{ exitCode: number; text: string }> {
    const { container } = await this.run(script, change, sandboxChange);
    await this.ended(container);
    const { exitCode } = await this.runtime.containerStatus(container);
    return { exitCode, text: await this.log(container, 'stdout') };
  }

  async ended(container: string): Promise<void> {
    await until(async () => (await this.runtime.containerStatus(container)).state === 'exited');
  }

  /** Text of one stream in the container's log. */
  async log(container: string, stream: string): Promise<string> {
    const { logPath } = await this.runtime.containerStatus(container);
    const pattern = new RegExp(`^\\S+ ${stream} ([FP]) (.*)$`);
    return readFileSync(logPath, 'utf8')
      .split('\n')
      .map((line) => pattern.exec(line))
      .map((match) => (match === null ? '' : `${match[2]}${match[1] === 'F' ? '\n' : ''}`))
      .join('');
  }

  async exec(container: string, ...command: string[]): Promise<string> {
    const { stdout } = await this.runtime.execSync(container, command, 0);
    return Buffer.from(stdout).toString();
  }
}

interface Case {
  readonly name: string;
  readonly needs: readonly Capability[];
  readonly run: (pods: Pods, under: RuntimeUnderTest) => Promise<void>;
}

const CASES: Case[] = [];

function podCase(name: string, needs: readonly Capability[], run: Case['run']): void {
  CASES.push({ name, needs, run });
}

/** Declares the suite for one runtime; call it inside of a `describe`. */
export function podSuite(under: RuntimeUnderTest, has: readonly Capability[]): void {
  let pods: Pods;

  before(async () => {
    pods = new Pods(await under.open());
  });

  afterEach(async () => {
    for (const { id } of await pods.runtime.listPodSandboxes()) {
      await pods.runtime.removePodSandbox(id);
    }
  });

  after(async () => {
    pods.runtime.close();
    await under.cleanUp();
    rmSync(pods.logs, { recursive: true, force: true });
  });

  const applicable = CASES.filter(({ needs }) => needs.every((need) => has.includes(need)));
  for (const { name, run } of applicable) it(name, () => run(pods, under));
  for (const { name, needs } of CASES) {
    const lacking = needs.filter((need) => !has.includes(need));
    if (lacking.length > 0) console.log(`      not applicable (no ${lacking.join(', ')}): ${name}`);
  }
}

async function text(stream: Readable | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString();
}

/** Collects a stream while it goes on. */
function collect(stream: Readable): () => string {
  let all = '';
  stream.setEncoding('utf8').on('data', (part: string) => (all += part));
  return () => all;
}

async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof RuntimeError) return error.reason;
    throw error;
  }
  return 'none';
}

podCase('runs a container to its end and keeps its exit code and log', [], async (pods) => {
  const { container } = await pods.run('echo out; echo err >&2; exit 3');
  await pods.ended(container);
  const status = await pods.runtime.containerStatus(container);
  expect(status).to.include({ state: 'exited', exitCode: 3, reason: 'Error', name: 'app' });
  expect(status.startedAtMs).to.be.at.least(status.createdAtMs);
  expect(status.finishedAtMs).to.be.at.least(Math.floor(status.startedAtMs / 1000) * 1000);
  expect(await pods.log(container, 'stdout')).to.equal('out\n');
  expect(await pods.log(container, 'stderr')).to.equal('err\n');
  const lines = readFileSync(status.logPath, 'utf8').trim().split('\n');
  for (const line of lines) {
    expect(line).to.match(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) std(out|err) [FP] /,
    );
  }
});

podCase('reports exit code 0 as Completed', [], async (pods) => {
  const { container } = await pods.run('exit 0');
  await pods.ended(container);
  expect(await pods.runtime.containerStatus(container)).to.include({
    exitCode: 0,
    reason: 'Completed',
  });
});

podCase('tells of what happens to a container, in order', [], async (pods) => {
  const seen: ContainerEvent[] = [];
  const end = pods.runtime.onEvent((event) => seen.push(event));
  const { container, sandbox } = await pods.run('exit 0');
  await until(() => seen.some(({ type }) => type === 'stopped'));
  await pods.runtime.removeContainer(container);
  end();
  const types = seen.filter(({ containerId }) => containerId === container).map(({ type }) => type);
  expect(types).to.deep.equal(['created', 'started', 'stopped', 'deleted']);
  expect(new Set(seen.map(({ sandboxId }) => sandboxId))).to.deep.equal(new Set([sandbox]));
});

podCase('lists sandboxes and containers as they were configured', [], async (pods) => {
  const config = pods.sandboxConfig();
  const sandbox = await pods.runtime.runPodSandbox(config);
  const container = await pods.start(sandbox, 'sleep 100', { labels: { of: 'app' } });
  const [listed] = await pods.runtime.listPodSandboxes();
  expect(listed).to.deep.include({ id: sandbox, isReady: true });
  expect(listed?.config).to.deep.include({ uid: config.uid, labels: { app: 'web' } });
  expect(listed?.config.annotations).to.deep.equal({ note: 'kept' });
  const [summary] = await pods.runtime.listContainers();
  expect(summary).to.deep.include({ id: container, sandboxId: sandbox, state: 'running' });
  expect(summary).to.deep.include({ labels: { of: 'app' }, image: IMAGE, attempt: 0 });
});

podCase('passes arguments, environment and working directory', [], async (pods) => {
  const change = {
    command: ['sh', '-c', 'pwd; echo "$0 $1 $GREETING"'],
    args: ['first', 'second word'],
    env: [{ name: 'GREETING', value: 'hello $there' }],
    workingDir: '/tmp',
  };
  const { text: output } = await pods.output('', change);
  expect(output).to.equal('/tmp\nfirst second word hello $there\n');
});

podCase(
  'stops a container with its signal, and kills it after the grace period',
  [],
  async (pods) => {
    const polite = 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done';
    const { sandbox, container } = await pods.run(polite);
    await until(async () => (await pods.log(container, 'stdout')) === 'ready\n');
    await pods.runtime.stopContainer(container, 30);
    expect(await pods.runtime.containerStatus(container)).to.include({ exitCode: 7 });
    const rude = 'trap "" TERM; echo ready; while :; do sleep 0.05; done';
    const deaf = await pods.start(sandbox, rude, { name: 'deaf' });
    await until(async () => (await pods.log(deaf, 'stdout')) === 'ready\n');
    await pods.runtime.stopContainer(deaf, 1);
    expect(await pods.runtime.containerStatus(deaf)).to.include({ exitCode: 137, reason: 'Error' });
    await pods.runtime.stopContainer(deaf, 1);
  },
);

podCase('sends the stop signal of the configuration', [], async (pods) => {
  const script = 'trap "exit 9" USR1; echo ready; while :; do sleep 0.05; done';
  const { container } = await pods.run(script, { stopSignal: 'SIGUSR1' });
  await until(async () => (await pods.log(container, 'stdout')) === 'ready\n');
  await pods.runtime.stopContainer(container, 30);
  expect(await pods.runtime.containerStatus(container)).to.include({ exitCode: 9 });
});

podCase('reports a program that cannot be run', [], async (pods) => {
  const sandbox = await pods.runtime.runPodSandbox(pods.sandboxConfig());
  const config = await pods.containerConfig('', { command: ['/no/such/program'] });
  const container = await pods.runtime.createContainer(sandbox, config);
  expect(await reasonOf(pods.runtime.startContainer(container))).to.equal('Internal');
  const status = await pods.runtime.containerStatus(container);
  expect(status).to.include({ state: 'exited', exitCode: 128, reason: 'StartError' });
  expect(status.message).to.contain('/no/such/program');
});

podCase('rejects what is not there or there twice', [], async (pods) => {
  const { runtime } = pods;
  const config = pods.sandboxConfig();
  const sandbox = await runtime.runPodSandbox(config);
  expect(await reasonOf(runtime.runPodSandbox(config))).to.equal('AlreadyExists');
  expect(await reasonOf(runtime.podSandboxStatus('none'))).to.equal('NotFound');
  expect(await reasonOf(runtime.containerStatus('none'))).to.equal('NotFound');
  const container = await runtime.createContainer(sandbox, await pods.containerConfig('exit 0'));
  const same = runtime.createContainer(sandbox, await pods.containerConfig('exit 0'));
  expect(await reasonOf(same)).to.equal('AlreadyExists');
  const unknown = await pods.containerConfig('', {
    name: 'b',
    imageId: `sha256:${'0'.repeat(64)}`,
  });
  expect(await reasonOf(runtime.createContainer(sandbox, unknown))).to.equal('ImageNotFound');
  const bad = await pods.containerConfig('', { name: 'c', stopSignal: 'SIGNONE' });
  expect(await reasonOf(runtime.createContainer(sandbox, bad))).to.equal('InvalidArgument');
  expect(await reasonOf(runtime.execSync(container, ['true'], 0))).to.equal('InvalidArgument');
  await runtime.removeContainer('none');
  await runtime.stopContainer('none', 0);
  await runtime.stopPodSandbox('none');
  await runtime.removePodSandbox('none');
});

podCase('is stopped and removed by several at once', [], async (pods) => {
  const { runtime } = pods;
  const { sandbox } = await pods.run('sleep 100');
  const stop = (): Promise<void> => runtime.stopPodSandbox(sandbox);
  await Promise.all([stop(), stop(), runtime.removePodSandbox(sandbox), stop()]);
  expect(await reasonOf(runtime.podSandboxStatus(sandbox))).to.equal('NotFound');
});

podCase('runs commands in a container', [], async (pods) => {
  const { container } = await pods.run('sleep 100', { env: [{ name: 'OWN', value: 'yes' }] });
  const script = 'echo "$OWN"; echo problem >&2; exit 4';
  const result = await pods.runtime.execSync(container, ['sh', '-c', script], 10_000);
  expect(Buffer.from(result.stdout).toString()).to.equal('yes\n');
  expect(Buffer.from(result.stderr).toString()).to.equal('problem\n');
  expect(result.exitCode).to.equal(4);
  const absent = pods.runtime.execSync(container, ['/no/such/program'], 0);
  expect(await reasonOf(absent)).to.equal('Internal');
});

podCase('ends a command that takes too long', [], async (pods) => {
  const { container } = await pods.run('sleep 100');
  const slow = pods.runtime.execSync(container, ['sh', '-c', 'exec sleep 321'], 100);
  expect(await reasonOf(slow)).to.equal('DeadlineExceeded');
  const isGone = async (): Promise<boolean> =>
    !(await pods.exec(container, 'ps', '-o', 'args')).includes('sleep 321');
  await until(isGone);
});

podCase('gives a command its input to the end, and its streams apart', [], async (pods) => {
  const { container } = await pods.run('sleep 100');
  const script = 'cat; echo done >&2; exit 5';
  const session = await pods.runtime.exec(container, ['sh', '-c', script], {
    stdin: true,
    tty: false,
  });
  const stderr = text(session.stderr);
  session.stdin?.end('some input');
  expect(await text(session.stdout)).to.equal('some input');
  expect(await stderr).to.equal('done\n');
  expect(await session.ended).to.equal(5);
});

podCase('kills the process of a session that is closed', [], async (pods) => {
  const { container } = await pods.run('sleep 100');
  const session = await pods.runtime.exec(container, ['sh', '-c', 'echo on; exec sleep 322'], {
    stdin: false,
    tty: false,
  });
  const seen = collect(session.stdout);
  await until(() => seen() === 'on\n');
  session.close();
  await session.ended;
  await until(async () => !(await pods.exec(container, 'ps', '-o', 'args')).includes('sleep 322'));
});

podCase('gives a command a terminal with a size', ['terminal'], async (pods) => {
  const { container } = await pods.run('sleep 100');
  const script = `${SIZE_SHOWER} tty; ${READ_LOOP}`;
  const session = await pods.runtime.exec(container, ['sh', '-c', script], {
    stdin: true,
    tty: true,
  });
  const seen = collect(session.stdout);
  await until(() => seen().includes('/dev/pts/'));
  session.resize({ width: 101, height: 37 });
  await until(async () => {
    session.stdin?.write('\n');
    return seen().includes('37 101');
  });
  session.stdin?.write('hello\n');
  await until(() => seen().includes('got hello'));
  session.stdin?.write('quit\n');
  expect(await session.ended).to.equal(6);
});

podCase('attaches to the output of a container from now on', [], async (pods) => {
  const script = 'echo before; until [ -e $F ]; do sleep 0.05; done; echo after; printf end >&2';
  const flag = join(pods.logs, 'flag');
  const hasMounts = pods.runtime.version().name === 'mainstay';
  const mounts = [
    {
      containerPath: pods.logs,
      hostPath: pods.logs,
      isReadOnly: false,
      propagation: 'private' as const,
    },
  ];
  const { container } = await pods.run(script, {
    env: [{ name: 'F', value: flag }],
    mounts: hasMounts ? mounts : [],
  });
  await until(async () => (await pods.log(container, 'stdout')).includes('before'));
  const session = await pods.runtime.attach(container, { stdin: false, tty: false });
  const stderr = text(session.stderr);
  writeFileSync(flag, '');
  expect(await text(session.stdout)).to.equal('after\n');
  expect(await stderr).to.match(/^end\n?$/);
  expect(await session.ended).to.equal(undefined);
});

podCase('gives a container the input of the first client, to its end', ['stdin'], async (pods) => {
  const { container } = await pods.run('cat; echo end', { hasStdin: true, isStdinOnce: true });
  const session = await pods.runtime.attach(container, { stdin: true, tty: false });
  const seen = collect(session.stdout);
  session.stdin?.write('one\n');
  await until(() => seen().includes('one\n'));
  session.stdin?.end();
  await pods.ended(container);
  await session.ended;
  expect(seen()).to.equal('one\nend\n');
});

podCase('keeps the input open for the next client', ['stdin'], async (pods) => {
  const { container } = await pods.run('cat', { hasStdin: true });
  for (const word of ['first', 'second']) {
    const session = await pods.runtime.attach(container, { stdin: true, tty: false });
    session.stdin?.end(`${word}\n`);
    await until(async () => (await pods.log(container, 'stdout')).includes(word));
    session.close();
  }
  expect(await pods.runtime.containerStatus(container)).to.include({ state: 'running' });
});

podCase('attaches to a terminal and sets its size', ['terminal', 'stdin'], async (pods) => {
  const script = `${SIZE_SHOWER} ${READ_LOOP}`;
  const { container } = await pods.run(script, { hasTty: true, hasStdin: true });
  const session = await pods.runtime.attach(container, { stdin: true, tty: true });
  expect(session.stderr).to.equal(undefined);
  const seen = collect(session.stdout);
  session.stdin?.write('hello\n');
  await until(() => seen().includes('got hello'));
  session.resize({ width: 99, height: 33 });
  await until(async () => {
    session.stdin?.write('\n');
    return seen().includes('33 99');
  });
  session.close();
});

podCase('writes to a new log file after the old one was moved', [], async (pods) => {
  const { container } = await pods.run('while :; do echo tick; sleep 0.05; done');
  const { logPath } = await pods.runtime.containerStatus(container);
  await until(() => readFileSync(logPath, 'utf8').includes('tick'));
  const session = await pods.runtime.attach(container, { stdin: false, tty: false });
  const seen = collect(session.stdout);
  renameSync(logPath, `${logPath}.1`);
  await pods.runtime.reopenContainerLog(container);
  await until(async () => (await pods.log(container, 'stdout')).includes('tick'));
  const before = seen().length;
  await until(() => seen().length > before + 10);
  session.close();
});

podCase('finds its pods again after it was killed', [], async (pods, under) => {
  const { sandbox, container } = await pods.run('echo up; sleep 1; echo still; exit 8');
  const running = await pods.start(sandbox, 'sleep 100', { name: 'running' });
  const created = await pods.runtime.createContainer(
    sandbox,
    await pods.containerConfig('echo late', { name: 'created' }),
  );
  const before = await pods.runtime.podSandboxStatus(sandbox);
  pods.runtime.close();
  pods.runtime = await under.open();
  expect(await pods.runtime.podSandboxStatus(sandbox)).to.deep.equal(before);
  expect(await pods.runtime.containerStatus(running)).to.include({ state: 'running' });
  await pods.ended(container);
  expect(await pods.runtime.containerStatus(container)).to.include({ exitCode: 8 });
  expect(await pods.log(container, 'stdout')).to.equal('up\nstill\n');
  expect(await pods.exec(running, 'echo', 'reached')).to.equal('reached\n');
  await pods.runtime.startContainer(created);
  await pods.ended(created);
  expect(await pods.log(created, 'stdout')).to.equal('late\n');
});

podCase('connects to a port on the loopback of a pod', [], async (pods) => {
  const port = await freePort();
  const { sandbox, container } = await pods.run('sleep 100');
  const listener = await pods.runtime.exec(
    container,
    ['nc', '-l', '-p', String(port), '-e', 'sh', '-c', 'read line; echo "echo $line"'],
    { stdin: false, tty: false },
  );
  let answer = '';
  await until(async () => {
    try {
      const stream = await pods.runtime.portForward(sandbox, port);
      stream.end('hello\n');
      answer = await text(stream);
    } catch (error) {
      expect(error).to.be.instanceOf(RuntimeError);
    }
    return answer !== '';
  });
  expect(answer).to.equal('echo hello\n');
  listener.close();
  await listener.ended;
  const refused = pods.runtime.portForward(sandbox, port);
  expect(await reasonOf(refused)).to.equal('Internal');
});

podCase('ends a forwarded connection when the pod ends it first', [], async (pods) => {
  const port = await freePort();
  const { sandbox, container } = await pods.run('sleep 100');
  const listener = await pods.runtime.exec(
    container,
    ['nc', '-l', '-p', String(port), '-e', 'echo', 'bye'],
    { stdin: false, tty: false },
  );
  let answer = '';
  await until(async () => {
    try {
      // Nothing is written, and this side stays open.
      answer = await text(await pods.runtime.portForward(sandbox, port));
    } catch (error) {
      expect(error).to.be.instanceOf(RuntimeError);
    }
    return answer !== '';
  });
  expect(answer).to.equal('bye\n');
  await listener.ended;
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

podCase('tells of images, and how to get one that is not there', [], async (pods) => {
  const image = await pods.runtime.imageStatus('docker.io/library/busybox:1');
  expect(image?.id).to.match(/^sha256:[0-9a-f]{64}$/);
  expect(image?.tags).to.include('docker.io/library/busybox:latest');
  expect(await pods.runtime.imageStatus(image?.id ?? '')).to.deep.equal(image);
  expect(await pods.runtime.imageStatus('nothing:1')).to.equal(undefined);
  expect(await reasonOf(pods.runtime.pullImage('nothing:1'))).to.equal('ImagePull');
  expect(await reasonOf(pods.runtime.pullImage('Not An Image'))).to.equal('InvalidImageName');
  expect(await reasonOf(pods.runtime.imageStatus('Not An Image'))).to.equal('InvalidImageName');
  expect((await pods.runtime.imageFsUsage()).usedBytes).to.be.above(100_000);
});

podCase('has a root file system of its own', ['isolation'], async (pods) => {
  const { container, sandbox } = await pods.run('sleep 100');
  expect(
    await pods.exec(container, 'sh', '-c', 'echo changed > /etc/group; cat /etc/group'),
  ).to.equal('changed\n');
  const other = await pods.start(sandbox, 'sleep 100', { name: 'other' });
  expect(await pods.exec(other, 'cat', '/etc/group')).to.contain('root:x:0:');
  expect(await pods.exec(other, 'ls', '/')).to.not.contain('work');
});

podCase('sees only its own processes', ['isolation'], async (pods) => {
  const { text: output } = await pods.output('echo $$; hostname; cat /etc/hostname');
  expect(output).to.equal('1\nweb\nweb\n');
});

podCase('shares processes in a pod that asks for it', ['isolation'], async (pods) => {
  const namespaces = { network: 'pod', pid: 'pod', ipc: 'pod' } as const;
  const { sandbox, container } = await pods.run('exec sleep 333', {}, { namespaces });
  const other = await pods.start(sandbox, 'sleep 100', { name: 'other' });
  expect(await pods.exec(other, 'ps', '-o', 'args')).to.contain('sleep 333');
  await pods.runtime.stopContainer(container, 0);
  expect(await pods.runtime.containerStatus(other)).to.include({ state: 'running' });
});

podCase('uses the network of the node if asked to', ['isolation'], async (pods, under) => {
  const namespaces = { network: 'node', pid: 'container', ipc: 'pod' } as const;
  const { sandbox, container } = await pods.run('sleep 100', {}, { namespaces, hostname: '' });
  expect((await pods.runtime.podSandboxStatus(sandbox)).ips).to.deep.equal([]);
  const { ino } = statSync(under.networkNamespace);
  expect(await pods.exec(container, 'readlink', '/proc/self/ns/net')).to.equal(`net:[${ino}]\n`);
});

podCase('sets sysctls of the pod, and refuses those of the node', ['isolation'], async (pods) => {
  const name = 'net.ipv4.ip_unprivileged_port_start';
  const { text: output } = await pods.output(
    `cat /proc/sys/${name.replaceAll('.', '/')}`,
    {},
    { sysctls: { [name]: '81' } },
  );
  expect(output).to.equal('81\n');
  const forbidden = pods.sandboxConfig({ sysctls: { 'vm.swappiness': '1' } });
  expect(await reasonOf(pods.runtime.runPodSandbox(forbidden))).to.equal('InvalidArgument');
  const left = (await pods.runtime.listPodSandboxes()).map(({ config }) => config.uid);
  expect(left).to.not.include(forbidden.uid);
});

podCase('resolves names as its pod says', ['isolation'], async (pods) => {
  const { text: output } = await pods.output('cat /etc/resolv.conf');
  expect(output).to.equal('nameserver 10.96.0.10\nsearch svc.cluster.local\noptions ndots:5\n');
});

podCase('mounts volumes, read-only ones too', ['mounts'], async (pods) => {
  const volume = join(pods.logs, 'volume');
  mkdirSync(volume, { recursive: true });
  writeFileSync(join(volume, 'file'), 'content\n');
  const mount = { hostPath: volume, propagation: 'private' as const };
  const { text: output } = await pods.output(
    'cat /data/file; echo new > /data/file; echo new > /fixed/file || echo refused; cat /data/file',
    {
      mounts: [
        { ...mount, containerPath: '/fixed', isReadOnly: true },
        { ...mount, containerPath: '/data', isReadOnly: false },
      ],
    },
  );
  expect(output).to.equal('content\nrefused\nnew\n');
});

podCase('keeps the root file system from being written', ['isolation'], async (pods) => {
  const { security } = await pods.containerConfig('');
  const { text: output } = await pods.output('echo x > /file || echo refused', {
    security: { ...security, isRootReadOnly: true },
  });
  expect(output).to.equal('refused\n');
});

podCase('runs as the user it is told, with its groups', ['users'], async (pods) => {
  const { security } = await pods.containerConfig('');
  const { text: output } = await pods.output('id -u; id -g; id -G', {
    security: { ...security, runAsUser: 33, runAsGroup: 1000, supplementalGroups: [2000, 3000] },
  });
  expect(output).to.equal('33\n1000\n1000 2000 3000\n');
});

podCase('has the usual capabilities, more or fewer', ['isolation'], async (pods) => {
  const { security } = await pods.containerConfig('');
  const show = 'grep CapEff /proc/self/status';
  const usual = await pods.output(show);
  expect(usual.text).to.equal('CapEff:\t00000000a80425fb\n');
  const none = await pods.output(show, { security: { ...security, dropCapabilities: ['ALL'] } });
  expect(none.text).to.equal('CapEff:\t0000000000000000\n');
  const one = await pods.output(show, {
    security: { ...security, dropCapabilities: ['ALL'], addCapabilities: ['NET_ADMIN'] },
  });
  expect(one.text).to.equal('CapEff:\t0000000000001000\n');
  const bad = { security: { ...security, addCapabilities: ['NOTHING'] } };
  expect(await reasonOf(pods.run('', bad))).to.equal('InvalidArgument');
});

podCase('may do everything when privileged', ['isolation'], async (pods) => {
  const { security } = await pods.containerConfig('');
  const { text: output, exitCode } = await pods.output(
    'mount -t tmpfs none /mnt 2>&1 || mkdir -p /mnt && mount -t tmpfs none /mnt && ls -l /dev/kmsg',
    { security: { ...security, isPrivileged: true } },
  );
  expect(output).to.match(/\/dev\/kmsg/);
  expect(exitCode).to.equal(0);
});

podCase(
  'shows no address of a stopped pod, as it is free for others',
  ['network'],
  async (pods) => {
    const { sandbox } = await pods.run('sleep 100');
    expect((await pods.runtime.podSandboxStatus(sandbox)).ips).to.have.length(1);
    await pods.runtime.stopPodSandbox(sandbox);
    expect((await pods.runtime.podSandboxStatus(sandbox)).ips).to.deep.equal([]);
  },
);

podCase('gives each pod an address that others reach', ['network'], async (pods) => {
  const server = await pods.run('httpd -f -p 8080 -h /etc');
  const [address = ''] = (await pods.runtime.podSandboxStatus(server.sandbox)).ips;
  expect(address).to.match(/^10\.\d+\.\d+\.\d+$/);
  const client = await pods.run('sleep 100');
  const [other] = (await pods.runtime.podSandboxStatus(client.sandbox)).ips;
  expect(other).to.not.equal(address);
  let page = '';
  await until(async () => {
    page = await pods.exec(
      client.container,
      'wget',
      '-q',
      '-O',
      '-',
      `http://${address}:8080/hostname`,
    );
    return page !== '';
  });
  expect(page).to.equal('web\n');
  expect(await pods.exec(server.container, 'ip', 'route')).to.contain('default via 169.254.1.1');
});

podCase('keeps to its limit of memory and says so when killed', ['resources'], async (pods) => {
  const { resources } = await pods.containerConfig('');
  const { container } = await pods.run('tail /dev/zero', {
    resources: { ...resources, memoryLimitBytes: 16 * 1024 * 1024 },
  });
  await pods.ended(container);
  expect(await pods.runtime.containerStatus(container)).to.include({
    exitCode: 137,
    reason: 'OOMKilled',
  });
});

podCase('measures its containers and changes their limits', ['resources'], async (pods) => {
  const { resources } = await pods.containerConfig('');
  const { container } = await pods.run(
    'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 100',
  );
  await until(async () => ((await pods.runtime.containerStats())[0]?.cpuUsageNs ?? 0) > 1_000_000);
  const [stats] = await pods.runtime.containerStats();
  expect(stats?.containerId).to.equal(container);
  expect(stats?.memoryUsageBytes).to.be.above(0);
  expect(stats?.memoryWorkingSetBytes).to.be.at.most(stats?.memoryUsageBytes ?? 0);
  await pods.runtime.updateResources(container, {
    ...resources,
    memoryLimitBytes: 32 * 1024 * 1024,
  });
  const file = '/sys/fs/cgroup/memory/memory.limit_in_bytes';
  const script = `cat ${file} 2> /dev/null || cat /sys/fs/cgroup/memory.max`;
  expect(await pods.exec(container, 'sh', '-c', script)).to.equal('33554432\n');
});
