import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Env } from '../../src/base/env/env.js';
import { Backend } from '../../src/storage/backend.js';
import { emptyRow } from '../../src/mvcc/key-index.js';
import { bytesOf } from '../../src/base/collections/interval.js';
import { openLevelEngine } from '../../src/storage/level-engine.js';
import { Store } from '../../src/mvcc/store.js';
import type { Engine } from '../../src/storage/engine.js';

/**
 * Cost of the multi-version store alone, on LevelDB: tsx bench/micro/mvcc.ts [keys] [value bytes]
 *
 * Prints microseconds per operation of the main thread (wall clock), elapsed and processor time of whole phases and
 * memory. On a busy machine only the processor time counts; it includes the engine's threads.
 */

const KEYS = Number(process.argv[2] ?? 1_000_000);
const VALUE_BYTES = Number(process.argv[3] ?? 256);
const PER_FLUSH = 200;
const PENDING_MAX = 16 << 20;

const env: Env = {
  clock: { monoMs: () => performance.now(), wallMs: () => Date.now() },
  disk: undefined as never,
  after: (delayMs, callback) => {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  defer: (callback) => void setImmediate(callback),
  randomU32: () => 1,
  fatal: (what, _next, cause) => {
    throw new Error(what, { cause });
  },
};

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function openEngine(dir: string): Promise<Engine> {
  return new Promise((resolve, reject) => {
    openLevelEngine(dir, (error, engine) => {
      if (engine === null) reject(error ?? new Error('no engine'));
      else resolve(engine);
    });
  });
}

async function openStore(dir: string): Promise<{ store: Store; backend: Backend }> {
  const engine = await openEngine(dir);
  const backend = new Backend({ engine, env });
  const store = await new Promise<Store>((resolve, reject) => {
    Store.open({ backend, env, onLease: () => undefined }, (error, opened) => {
      if (opened === null) reject(error ?? new Error('no store'));
      else resolve(opened);
    });
  });
  return { store, backend };
}

function memory(label: string): void {
  globalThis.gc?.();
  cpuBefore = process.cpuUsage();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const mb = (n: number): string => (n / 1e6).toFixed(0);
  console.log(
    `  memory after ${label}: rss ${mb(rss)} MB, heap ${mb(heapUsed)} MB, buffers ${mb(arrayBuffers)} MB`,
  );
}

let cpuBefore = process.cpuUsage();

function report(name: string, busyMs: number, count: number, elapsedMs?: number): void {
  const { user, system } = process.cpuUsage(cpuBefore);
  const each = ((busyMs * 1000) / count).toFixed(2);
  const whole = elapsedMs === undefined ? '' : `, elapsed ${elapsedMs.toFixed(0)} ms`;
  console.log(
    `${name}: ${each} us each${whole}, processor ${((user + system) / count).toFixed(2)} us each`,
  );
  cpuBefore = process.cpuUsage();
}

function keyName(i: number): string {
  return `/registry/pods/ns-${String(i % 97).padStart(3, '0')}/pod-${String(i).padStart(8, '0')}`;
}

async function load(
  store: Store,
  backend: Backend,
  count: number,
  name: (i: number) => string,
): Promise<void> {
  const value = Buffer.alloc(VALUE_BYTES + 4096);
  for (let i = 0; i < value.length; i++) value[i] = (i * 7919) >>> 3;
  const began = performance.now();
  let busy = 0;
  let stallMax = 0;
  for (let i = 0; i < count;) {
    const keys: string[] = [];
    for (let j = 0; j < PER_FLUSH; j++)
      keys.push(Buffer.from(name(i + j), 'latin1').toString('latin1'));
    const bytes = keys.map(bytesOf);
    const from = performance.now();
    for (let j = 0; j < PER_FLUSH && i < count; j++, i++) {
      const txn = store.begin();
      txn.put(
        keys[j] as string,
        bytes[j] as Uint8Array,
        value.subarray(i % 4096, (i % 4096) + VALUE_BYTES),
        0n,
      );
      txn.end();
    }
    backend.setApplied(i, 1);
    backend.flush();
    const spent = performance.now() - from;
    busy += spent;
    stallMax = Math.max(stallMax, spent);
    do await turn();
    while (backend.pendingBytes > PENDING_MAX);
  }
  report('put + flush', busy, count, performance.now() - began);
  console.log(`  longest flush turn ${stallMax.toFixed(1)} ms`);
}

const dir = mkdtempSync(join(tmpdir(), 'mainstay-bench-'));
try {
  {
    const { store, backend } = await openStore(dir);
    await load(store, backend, KEYS, keyName);
    memory('load');
    const row = emptyRow();
    cpuBefore = process.cpuUsage();
    const probes: string[] = [];
    for (let i = 0; i < 200_000; i++) probes.push(keyName((i * 7919) % KEYS));
    cpuBefore = process.cpuUsage();
    let from = performance.now();
    for (const key of probes) store.lookup(key, store.currentRevision, row);
    report('lookup', performance.now() - from, probes.length);
    from = performance.now();
    for (let i = 0; i < 200_000; i++) {
      store.lookup(keyName(KEYS - 1 - (i % Math.min(KEYS, 100_000))), store.currentRevision, row);
      store.row(row.modRevision, row.sub);
    }
    report('lookup + cached row (including making the name)', performance.now() - from, 200_000);
    from = performance.now();
    for (let i = 0; i < 100_000; i++) {
      store.lookup(probes[i] as string, store.currentRevision, row);
      store.row(row.modRevision, row.sub);
    }
    report('lookup + row, mostly not cached', performance.now() - from, 100_000);
    from = performance.now();
    for (let i = 0; i < 1000; i++)
      store.count({ start: '/registry/', end: '/registry0' }, store.currentRevision);
    report('count at the newest revision', performance.now() - from, 1000);
    from = performance.now();
    for (let i = 0; i < 10; i++)
      store.count({ start: '/registry/', end: null }, store.currentRevision - 1000);
    report('count 1000 revisions ago', performance.now() - from, 10);
    const listFrom = performance.now();
    let listed = 0;
    let bytes = 0;
    let after: string | undefined;
    let chunkMax = 0;
    for (;;) {
      const chunkFrom = performance.now();
      const rows = store.list(
        { start: '/registry/', end: '/registry0' },
        store.currentRevision,
        1000,
        after,
      );
      for (const { modRevision, sub } of rows) bytes += store.row(modRevision, sub).length;
      listed += rows.length;
      after = rows[rows.length - 1]?.key;
      chunkMax = Math.max(chunkMax, performance.now() - chunkFrom);
      if (rows.length < 1000) break;
      await turn();
    }
    report(
      `list of ${String(listed)} rows, ${(bytes / 1e6).toFixed(0)} MB`,
      performance.now() - listFrom,
      listed,
    );
    console.log(`  longest chunk of 1000: ${chunkMax.toFixed(1)} ms`);
    memory('full list');
    await new Promise<void>((resolve) => backend.close(() => resolve()));
  }
  {
    const from = performance.now();
    const { store, backend } = await openStore(dir);
    report('restore', performance.now() - from, KEYS, performance.now() - from);
    memory('restore');
    await load(store, backend, KEYS, (i) => keyName((i * 7919) % KEYS));
    memory('overwriting every key');
    const compactFrom = performance.now();
    store.compact(store.currentRevision - 1000);
    backend.flush();
    await new Promise<void>((resolve) => store.whenCompacted(store.compactRevision, resolve));
    report('compact', performance.now() - compactFrom, KEYS, performance.now() - compactFrom);
    memory('compaction');
    const hashFrom = performance.now();
    await new Promise<void>((resolve) => store.hashKV(0, () => resolve()));
    report('hashKV', performance.now() - hashFrom, store.liveKeys, performance.now() - hashFrom);
    await new Promise<void>((resolve) => backend.close(() => resolve()));
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
