import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Backend } from '../../src/storage/backend.js';
import type { HashResult } from '../../src/mvcc/hash.js';
import { Store } from '../../src/mvcc/store.js';
import { MemoryEngine } from '../support/memory-engine.js';
import { SteppedEnv } from './stepped-env.js';
import { skipWithout } from '../support/servers.js';

/** The same history on a real etcd and here must hash to the same values. */

type Op =
  | { readonly op: 'put'; readonly key: string; readonly value: string; readonly leased?: boolean }
  | { readonly op: 'delete'; readonly key: string; readonly end: string | null };
type Step = readonly Op[] | { readonly compact: number };

const LEASE = 7_587_848_943_239_472_601n;

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

class Etcd {
  readonly url: string;
  private readonly child: ChildProcess;
  private readonly dir: string;

  constructor(clientPort: number, peerPort: number) {
    this.dir = mkdtempSync(join(tmpdir(), 'mainstay-hash-'));
    this.url = `http://127.0.0.1:${String(clientPort)}`;
    const peer = `http://127.0.0.1:${String(peerPort)}`;
    const flags = {
      name: 'one',
      'data-dir': this.dir,
      'listen-client-urls': this.url,
      'advertise-client-urls': this.url,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `one=${peer}`,
      'log-level': 'error',
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    this.child = spawn('etcd', args, { stdio: 'ignore' });
  }

  async ready(): Promise<void> {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const answer = await fetch(`${this.url}/health`).catch(() => null);
      if (answer?.ok === true) return;
      if (Date.now() > deadline) throw new Error('etcd did not become healthy');
    }
  }

  async call(path: string, body: object): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.url}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** HashKV at the revision: hash and compaction revision. The gateways of 3.4 and 3.5 do not serve it. */
  hash(revision: number): string {
    const args = [
      'endpoint',
      'hashkv',
      `--endpoints=${this.url}`,
      `--rev=${String(revision)}`,
      '--write-out=json',
    ];
    const run = spawnSync('etcdctl', args, {
      encoding: 'utf8',
      env: { ...process.env, ETCDCTL_API: '3' },
    });
    const answers = JSON.parse(run.stdout) as {
      HashKV: { hash: number; compact_revision?: number };
    }[];
    return `${String(answers[0]?.HashKV.hash)} compacted ${String(answers[0]?.HashKV.compact_revision)}`;
  }

  stop(): void {
    this.child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20 });
  }
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64');
}

function etcdOp(op: Op): object {
  if (op.op === 'put') {
    const lease = op.leased === true ? { lease: String(LEASE) } : {};
    return { requestPut: { key: base64(op.key), value: base64(op.value), ...lease } };
  }
  return {
    requestDeleteRange: { key: base64(op.key), range_end: op.end === null ? '' : base64(op.end) },
  };
}

describe('HashKV', function () {
  this.timeout(60_000);
  let etcd: Etcd;

  before(async function () {
    const version = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
    if (version.status !== 0) skipWithout(this, 'etcd on the PATH to compare hashes with');
    etcd = new Etcd(await freePort(), await freePort());
    await etcd.ready();
    await etcd.call('lease/grant', { ID: String(LEASE), TTL: '3600' });
  });

  after(() => {
    // Not set when the suite was skipped.
    (etcd as Etcd | undefined)?.stop();
  });

  it('equals a real etcd for the same history, before and after compactions', async () => {
    const env = new SteppedEnv(1);
    const backend = new Backend({ engine: new MemoryEngine(env), env });
    const store = env.wait<Store>((done) => {
      Store.open({ backend, env, onLease: () => undefined }, (error, opened) =>
        done(error, opened as Store),
      );
    });

    const applyHere = (step: Step): void => {
      if ('compact' in step) {
        expect(store.compact(step.compact)).to.equal(null);
      } else {
        const txn = store.begin();
        for (const op of step) {
          if (op.op === 'put') {
            const value = Buffer.from(op.value, 'latin1');
            txn.put(op.key, Buffer.from(op.key, 'latin1'), value, op.leased === true ? LEASE : 0n);
          } else {
            txn.deleteRange({ start: op.key, end: op.end ?? `${op.key}\0` });
          }
        }
        txn.end();
      }
      backend.flush();
    };
    const applyThere = async (step: Step): Promise<void> => {
      if ('compact' in step)
        await etcd.call('kv/compaction', { revision: step.compact, physical: true });
      else await etcd.call('kv/txn', { success: step.map(etcdOp) });
    };
    const compare = (revision: number): void => {
      const here = env.wait<HashResult | null>((done) => store.hashKV(revision, done));
      const there = etcd.hash(revision);
      expect(
        `${String(here?.hash)} compacted ${String(here?.compactRevision)}`,
        `at ${String(revision)}`,
      ).to.equal(there);
    };

    const steps: Step[] = [];
    for (let i = 0; i < 40; i++) {
      steps.push([
        { op: 'put', key: `k${String(i % 7)}`, value: `v${String(i)}`, leased: i % 5 === 0 },
      ]);
      if (i % 6 === 3) steps.push([{ op: 'delete', key: `k${String(i % 7)}`, end: null }]);
      if (i % 9 === 4) {
        steps.push([
          { op: 'delete', key: 'k4', end: 'k6' },
          { op: 'put', key: `\xff\0${String(i)}`, value: '' },
          { op: 'put', key: 'big', value: 'x'.repeat(i * 100) },
        ]);
      }
    }
    const final: Step[] = [
      [{ op: 'delete', key: '\0', end: '\0' }],
      [{ op: 'put', key: 'last', value: 'one' }],
    ];
    for (const [i, step] of steps.entries()) {
      applyHere(step);
      await applyThere(step);
      if (i % 10 === 9) {
        expect(store.currentRevision).to.equal(i + 2);
        compare(store.currentRevision);
        compare(store.currentRevision - 7);
      }
      if (i % 20 === 15) {
        // Compared once with everything still in place here, once with it removed.
        const compaction = { compact: store.currentRevision - 6 };
        applyHere(compaction);
        await applyThere(compaction);
        compare(store.currentRevision - 3);
        env.settle();
        // Not at the compaction revision itself: 3.4 refuses it, later ones answer with what they kept from before.
        for (let back = 5; back >= 0; back--) compare(store.currentRevision - back);
      }
    }
    expect(steps.length).to.be.greaterThan(45);
    const [wipe, last] = final as [Step, Step];
    applyHere([{ op: 'delete', key: '', end: '\xff\xff' }]);
    await applyThere(wipe);
    compare(store.currentRevision);
    const compaction = { compact: store.currentRevision - 1 };
    applyHere(compaction);
    await applyThere(compaction);
    env.settle();
    compare(store.currentRevision);
    applyHere(last);
    await applyThere(last);
    const atTombstones = { compact: store.currentRevision - 1 };
    applyHere(atTombstones);
    await applyThere(atTombstones);
    env.settle();
    compare(store.currentRevision);
  });
});
