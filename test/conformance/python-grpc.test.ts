import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { expect } from 'chai';
import { skipWithout, startCluster, type TestCluster } from '../support/servers.js';

/** Debian's grpcio, Google's C core, does its work against mainstay on either transport. The cases are in python/. */

/** Not the first python3 on the path: the package belongs to the system's own. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = join(import.meta.dirname, 'python/grpc_cases.py');

const CASES: Readonly<Record<string, string>> = {
  unary: 'puts, gets and deletes',
  txn: 'compares and sets',
  errors: 'gets codes and texts of refusals',
  sizes: 'sends a megabyte, receives six, and is told what is too much',
  range_stream: 'reads a server stream',
  deadline: 'gives up at its deadline',
  watch: 'has several watches on one stream',
  cancel: 'cancels a stream, and the server forgets its watches',
  lease: 'keeps a lease alive on a stream',
  gzip: 'compresses, and takes compressed replies',
  concurrent: 'has 200 calls under way on one channel',
  metadata: 'sends metadata, text and binary',
  keepalive: 'pings with and without calls',
  stop: 'hears that the server stops while a stream is open',
};

const ACTIONS = { suspend: 'SIGSTOP', 'go on': 'SIGCONT', stop: 'SIGTERM' } as const;

interface Line {
  readonly cases?: readonly string[];
  /** Action on the server before the case goes on. */
  readonly do?: keyof typeof ACTIONS;
  readonly ok?: boolean;
  readonly error?: string;
}

/** The Python process: receives commands in lines, and answers in lines. */
class PythonClient {
  private readonly child: ChildProcess;
  private readonly lines: Interface;
  private readonly unread: Line[] = [];
  private ended = false;
  private wake: (() => void) | undefined;

  constructor(endpoint: string, transport: string) {
    this.child = spawn(PYTHON, ['-B', SCRIPT, endpoint, transport], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // A server that ends a connection is part of the cases, and no news for the log.
      env: { ...process.env, GRPC_VERBOSITY: 'NONE' },
    });
    this.lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream });
    this.lines.on('line', (line) => {
      this.unread.push(JSON.parse(line) as Line);
      this.wake?.();
    });
    this.lines.on('close', () => {
      this.ended = true;
      this.wake?.();
    });
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async next(): Promise<Line> {
    while (this.unread.length === 0) {
      if (this.ended) throw new Error('the Python process ended');
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    return this.unread.shift() as Line;
  }

  stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      this.child.once('exit', () => resolve());
      this.child.kill('SIGKILL');
    });
  }
}

const hasGrpcio = spawnSync(PYTHON, ['-c', 'import grpc']).status === 0;

for (const transport of ['http2', 'grpc-js']) {
  describe(`grpcio (C core) against ${transport}`, () => {
    let cluster: TestCluster | undefined;
    let client: PythonClient | undefined;
    let failed = false;

    before(async function () {
      if (!hasGrpcio) skipWithout(this, `grpcio for ${PYTHON} (Debian package python3-grpcio)`);
      const flags = { 'rpc-transport': transport, 'grpc-keepalive-min-time': '100ms' };
      cluster = await startCluster({ kind: 'mainstay', size: 1, flags });
      client = new PythonClient(cluster.member(0).endpoint, transport);
      expect((await client.next()).cases).to.eql(Object.keys(CASES));
    });

    afterEach(function () {
      failed ||= this.currentTest?.state === 'failed';
    });

    after(async () => {
      await client?.stop();
      await cluster?.stop(failed);
    });

    for (const [name, title] of Object.entries(CASES)) {
      it(title, async () => {
        client?.say(name);
        let line = await client?.next();
        while (line?.do !== undefined) {
          process.kill(cluster?.member(0).pid as number, ACTIONS[line.do]);
          client?.say('done');
          line = await client?.next();
        }
        expect(line?.error ?? '').to.equal('');
        expect(line?.ok).to.equal(true);
      });
    }
  });
}
