import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../../../src/cluster/runtime/command.js';
import { mountsBelow } from '../../../src/cluster/runtime/mounts.js';
import { until } from '../../support/until.js';
import { directoriesIn, EngineUnderTest } from './engine-under-test.js';
import { whereEngineRuns } from './facilities-needed.js';

const ROUNDS = 5;
const MAX_RUN_MS = 600;

whereEngineRuns('the engine, killed at any moment', () => {
  const under = new EngineUnderTest();
  after(() => under.cleanUp());

  it('keeps what it promised, and leaves nothing of the rest', async () => {
    // Makes the node's network, as another process does before a node starts.
    (await under.open()).close();
    const promised = new Map<string, string>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const [container, sandbox] of await runAndKill(under, `round-${round}`)) {
        promised.set(container, sandbox);
      }
      const runtime = await under.open();
      const running = new Map<string, string>();
      for (const { id, sandboxId, state } of await runtime.listContainers()) {
        if (state === 'running') running.set(id, sandboxId);
      }
      for (const [container, sandbox] of promised) {
        expect(running.get(container), `container of round ${round}`).to.equal(sandbox);
        const { stdout } = await runtime.execSync(container, ['echo', 'alive'], 0);
        expect(Buffer.from(stdout).toString()).to.equal('alive\n');
      }
      const sandboxes = await runtime.listPodSandboxes();
      const addresses = sandboxes.flatMap(({ ips }) => ips);
      expect(new Set(addresses).size).to.equal(addresses.length);
      runtime.close();
    }
    expect(promised.size).to.be.above(0);
    await expectNothingLeft(under);
  }).timeout(120_000);
});

/** Lets pods come and go, kills the process, and returns the containers that must still run. */
async function runAndKill(under: EngineUnderTest, prefix: string): Promise<Map<string, string>> {
  const main = join(import.meta.dirname, 'pod-loop-main.ts');
  const child = spawn(
    process.execPath,
    ['--import=tsx', main, under.dir, under.cgroup, under.networkNamespace, prefix],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const kept = new Map<string, string>();
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = new Promise((resolve) => child.on('close', resolve));
  try {
    await until(() => output.split('\n').length > 2);
    // Any moment of the work is as good as another.
    await new Promise((resolve) => setTimeout(resolve, randomInt(MAX_RUN_MS)));
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  for (const line of output.split('\n').slice(1, -1)) {
    const [first = '', second = ''] = line.split(' ');
    if (first === 'removing') kept.delete(second);
    else kept.set(second, first);
  }
  return kept;
}

async function expectNothingLeft(under: EngineUnderTest): Promise<void> {
  const runtime = await under.open();
  for (const { id } of await runtime.listPodSandboxes()) await runtime.removePodSandbox(id);
  expect(await runtime.listContainers()).to.deep.equal([]);
  runtime.close();
  const { rootDir, stateDir } = directoriesIn(under.dir);
  expect(mountsBelow(under.dir)).to.deep.equal([]);
  for (const name of ['containers', 'sandboxes', 'addresses', 'exits']) {
    expect(readdirSync(join(rootDir, name)), name).to.deep.equal([]);
  }
  for (const name of ['namespaces', 'runc']) {
    expect(readdirSync(join(stateDir, name)), name).to.deep.equal([]);
  }
  const links = await mustRun('nsenter', [`--net=${under.networkNamespace}`, 'ip', '-o', 'link']);
  expect(links).to.not.contain('veth');
}
