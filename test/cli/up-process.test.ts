import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  decodePutResponse,
  decodeRangeResponse,
  encodePutRequest,
  encodeRangeRequest,
} from '../../src/gen/rpc.js';
import { Up } from '../support/up-process.js';
import { until } from '../support/until.js';
import { isAlive } from '../support/processes.js';

/** A running `mainstay up --store-only`. */
class StoreUp extends Up {
  constructor(args: readonly string[]) {
    super(['up', '--store-only', ...args]);
  }

  /** The rows of the table. */
  members(): { name: string; port: number; pid: number; isLeader: boolean }[] {
    const rows = this.text.matchAll(
      /^ {2}(n\d) +http:\/\/[^:]+:(\d+) .*?(leader|follower) +(\d+) /gm,
    );
    return [...rows].map(([, name = '', port, role, pid]) => ({
      name,
      port: Number(port),
      pid: Number(pid),
      isLeader: role === 'leader',
    }));
  }
}

/** Ids of the processes whose command line names `text`. */
function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
      } catch {
        // It ended meanwhile.
        return false;
      }
    })
    .map(Number);
}

function call<T>(
  port: number,
  path: string,
  request: Uint8Array,
  decode: (reply: Uint8Array) => T,
): Promise<T> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      decode,
      request,
      { deadline: Date.now() + 10_000 },
      (error, reply) => {
        client.close();
        if (error !== null) reject(error);
        else if (reply !== undefined) resolve(reply);
      },
    );
  });
}

const KEY = Buffer.from('greeting');
const put = (port: number, value: string): Promise<unknown> =>
  call(
    port,
    '/etcdserverpb.KV/Put',
    encodePutRequest({ key: KEY, value: Buffer.from(value) }),
    decodePutResponse,
  );
const get = async (port: number): Promise<string> => {
  const request = encodeRangeRequest({ key: KEY });
  const reply = await call(port, '/etcdserverpb.KV/Range', request, decodeRangeResponse);
  return Buffer.from(reply.kvs[0]?.value ?? []).toString();
};

describe('mainstay up --store-only', () => {
  let dir: string;
  let up: StoreUp;

  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'up-process-test-'))));
  afterEach(async () => {
    // Stops the members too: they watch the process that started them.
    up.child.kill('SIGKILL');
    await until(() => up.members().every(({ pid }) => !isAlive(pid)));
    rmSync(dir, { recursive: true, force: true });
  });

  it('runs a cluster, restarts a member that dies, stops all, and continues from its directory', async () => {
    const data = join(dir, 'data');
    up = new StoreUp(['--dir', data]);
    await up.says('Ctrl-C stops the cluster');
    const members = up.members();
    expect(members.map(({ name }) => name)).deep.equal(['n1', 'n2', 'n3']);
    expect(members.filter(({ isLeader }) => isLeader)).have.length(1);
    // The line of README: with it in force, etcdctl 3.4 refuses a command line that names endpoints again.
    const endpoints = members.map(({ port }) => `127.0.0.1:${port}`).join(',');
    expect(up.text).contain(
      `  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=${endpoints}\n  etcdctl put greeting hello\n`,
    );
    expect(up.text).not.contain('--endpoints');
    const ports = members.map(({ port }) => port);
    await put(ports[0] ?? 0, 'hello');
    expect(await Promise.all(ports.map(get))).deep.equal(['hello', 'hello', 'hello']);

    const leader = members.find(({ isLeader }) => isLeader);
    process.kill(leader?.pid ?? 0, 'SIGKILL');
    await up.says(`${leader?.name ?? ''} died (signal SIGKILL)`);
    await up.says('is the leader now');
    await up.says(`${leader?.name ?? ''} is back`);
    expect(await get(leader?.port ?? 0)).equal('hello');
    await put(leader?.port ?? 0, 'again');

    up.child.kill('SIGINT');
    expect(await up.ends()).equal(0);
    expect(up.text).contain('Stopped.');
    expect(members.filter(({ pid }) => isAlive(pid))).deep.equal([]);

    up = new StoreUp(['--dir', data]);
    await up.says('Ctrl-C stops the cluster');
    expect(up.members().map(({ port }) => port)).deep.equal(ports);
    expect(await get(ports[2] ?? 0)).equal('again');
  });

  it('removes a temporary directory when it ends, and prints its place', async () => {
    up = new StoreUp(['--store-members', '1']);
    await up.says('its data is then removed');
    const path = /Starting 1 member in (.*) \.\.\./.exec(up.text)?.[1] ?? '';
    expect(existsSync(join(path, 'n1.log'))).equal(true);
    up.child.kill('SIGTERM');
    expect(await up.ends()).equal(0);
    expect(existsSync(path)).equal(false);
  });

  it('prints why a member does not start, and stops', async () => {
    const data = join(dir, 'data');
    mkdirSync(data);
    writeFileSync(join(data, 'n1'), 'not a directory');
    up = new StoreUp(['--store-members', '1', '--dir', data]);
    expect(await up.ends()).equal(1);
    const last = up.text.trimEnd().split('\n').slice(-2);
    expect(last[0]).match(/^mainstay: cannot start: n1 cannot start: .* is not a directory$/);
    expect(last[1]).contain(`; see ${join(data, 'n1.log')}`);
  });

  it('calls only a member back that died', async () => {
    up = new StoreUp(['--store-members', '1', '--dir', join(dir, 'data')]);
    await up.says('Ctrl-C stops the cluster');
    const [member] = up.members();
    process.kill(member?.pid ?? 0, 'SIGSTOP');
    await up.says('the cluster has no leader');
    process.kill(member?.pid ?? 0, 'SIGCONT');
    await up.says('n1 is the leader now');
    expect(up.text).not.contain('is back');
  });

  it('leaves no members behind when it is killed', async () => {
    up = new StoreUp(['--store-members', '1', '--dir', join(dir, 'data')]);
    await up.says('Ctrl-C stops the cluster');
    const [member] = up.members();
    expect(isAlive(member?.pid ?? 0)).equal(true);
    up.child.kill('SIGKILL');
    await until(() => !isAlive(member?.pid ?? 0));
  });

  it('leaves no members behind when it is killed while they load', async () => {
    const data = join(dir, 'data');
    up = new StoreUp(['--store-members', '2', '--dir', data]);
    await until(() => processesNaming(data).filter((pid) => pid !== up.child.pid).length === 2);
    up.child.kill('SIGKILL');
    await until(() => processesNaming(data).length === 0);
  });
});
