import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openClusterDir } from '../../src/cli/up/cluster-dir.js';
import { planStore, serverFlags } from '../../src/cli/up/store-plan.js';
import { SupervisedProcess } from '../../src/cli/up/supervised-process.js';
import type { UnexpectedExit } from '../../src/cli/up/supervised-process.js';
import { renderTable } from '../../src/cli/up/table.js';
import { parseServerConfig } from '../../src/server/config/parse.js';
import { StartupError } from '../../src/base/flags/startup-error.js';
import { until } from '../support/until.js';
import { startupRefusal } from '../support/startup-refusal.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'up-test-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A listener on a port of its choice. */
function occupy(): Promise<{ port: number; server: Server }> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () =>
      resolve({ port: (server.address() as AddressInfo).port, server }),
    );
  });
}

describe('the plan of a store', () => {
  it('gives members names and ports of their own, and is the same the next time', async () => {
    const plan = await planStore(dir, 3, undefined);
    expect(plan.members.map((member) => member.name)).deep.equal(['n1', 'n2', 'n3']);
    const ports = plan.members.flatMap((member) => [member.clientPort, member.peerPort]);
    expect(new Set(ports).size).equal(6);
    expect(await planStore(dir, 3, undefined)).deep.equal(plan);
  });

  it('becomes flags that the server accepts', async () => {
    const plan = await planStore(dir, 3, undefined);
    for (const member of plan.members) {
      const result = parseServerConfig(serverFlags(plan, member, dir), {});
      expect(result.kind).equal('run');
      if (result.kind !== 'run') return;
      expect(result.warnings).deep.equal([]);
      expect(result.config.cluster.members).have.length(3);
      expect(result.config.dataDir).equal(join(dir, member.name));
    }
  });

  it('refuses a given port that is in use', async () => {
    const { port, server } = await occupy();
    const error = await startupRefusal(planStore(dir, 1, port));
    expect(error.message).contain(`127.0.0.1:${port}`);
    expect(error.nextStep).contain('--client-port');
    const found = await planStore(dir, 1, undefined);
    expect(found.members[0]?.clientPort).not.equal(port);
    await new Promise((resolve) => server.close(resolve));
  });

  it('refuses to continue a cluster as another one', async () => {
    const plan = await planStore(dir, 2, undefined);
    expect((await startupRefusal(planStore(dir, 3, undefined))).message).contain(
      'store of 2, not of 3',
    );
    const other = (plan.members[0]?.clientPort ?? 0) + 10;
    expect((await startupRefusal(planStore(dir, 2, other))).message).contain(`not at ${other}`);
  });

  it('refuses a plan it cannot read', async () => {
    for (const text of ['{', '{}', '{"token":"t","members":[]}', '{"token":"t","members":[{}]}']) {
      writeFileSync(join(dir, 'cluster.json'), text);
      expect((await startupRefusal(planStore(dir, 1, undefined))).message).contain('cluster.json');
    }
  });

  it('names the directory that cannot be used', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => openClusterDir(join(dir, 'file/sub'))).throw(StartupError, join(dir, 'file/sub'));
  });
});

describe('SupervisedProcess', () => {
  const exits: UnexpectedExit[] = [];
  let started: number;
  let running: SupervisedProcess | undefined;

  beforeEach(() => {
    exits.length = 0;
    started = 0;
  });
  afterEach(() => running?.kill());

  function member(script: string): SupervisedProcess {
    running = new SupervisedProcess({
      command: process.execPath,
      args: ['-e', script],
      env: process.env,
      logFile: join(dir, 'm.log'),
      onExit: (exit) => exits.push(exit),
      onStart: () => started++,
    });
    running.start();
    return running;
  }

  it('starts a process again when it ends, with growing pauses, and quotes its last words', async () => {
    member('console.log("one"); console.error("two"); process.exit(3)');
    await until(() => started >= 2 && exits.length >= 2);
    expect(exits[0]?.how).equal('exit code 3');
    expect(exits[0]?.lastLines).deep.equal(['one', 'two']);
    expect(exits[1]?.restartInMs).equal(2 * (exits[0]?.restartInMs ?? 0));
  });

  it('starts a process again that was killed', async () => {
    const child = member('setInterval(() => {}, 1000)');
    const first = child.pid;
    process.kill(first ?? 0, 'SIGKILL');
    await until(() => started === 2);
    expect(exits[0]?.how).equal('signal SIGKILL');
    expect(child.pid).not.equal(first);
    await child.stop();
    expect(exits).have.length(1);
  });

  it('stops a process for good, gracefully', async () => {
    const script =
      'process.on("SIGTERM", () => { console.log("bye"); process.exit(0) }); setInterval(() => {}, 1000); console.log("up")';
    const child = member(script);
    const log = (): string => readFileSync(join(dir, 'm.log'), 'utf8');
    await until(() => log().includes('up'));
    await child.stop();
    expect(log()).equal('up\nbye\n');
    expect(exits).have.length(0);
    await child.stop();
  });

  it('reports a program that does not exist', async () => {
    running = new SupervisedProcess({
      command: join(dir, 'nothing'),
      args: [],
      env: {},
      logFile: join(dir, 'm.log'),
      onExit: (exit) => exits.push(exit),
    });
    running.start();
    await until(() => exits.length > 0);
    expect(exits[0]?.how).contain('ENOENT');
  });
});

describe('renderTable', () => {
  it('makes columns as wide as their widest cell', () => {
    expect(
      renderTable(
        ['A', 'LONG'],
        [
          ['x', 'y'],
          ['wide', ''],
        ],
      ),
    ).equal('  A     LONG\n  x     y\n  wide\n');
  });
});
