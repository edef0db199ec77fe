import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { createNodeEnv } from '../../src/base/env/node.js';
import { Backend } from '../../src/storage/backend.js';
import { bytesOf } from '../../src/base/collections/interval.js';
import { verifiedLevelEngine } from '../../src/storage/level-engine.js';
import { Store } from '../../src/mvcc/store.js';

/**
 * Cost of filling an image and of opening it again, without log and network:
 * tsx bench/micro/restart.ts DIR fill|open [keys] [value bytes] [puts a transaction] [random|ordered]
 *
 * Prints elapsed and processor seconds. `open` on a directory that `fill` made measures a restart; run both programs
 * that are compared in turn, on the same directory.
 */

const [dir = '/tmp/mainstay-restart', action = 'fill'] = process.argv.slice(2);
const KEYS = Number(process.argv[4] ?? 1_000_000);
const VALUE_BYTES = Number(process.argv[5] ?? 256);
const PER_TXN = Number(process.argv[6] ?? 1);
const isRandom = process.argv[7] !== 'ordered';
const PENDING_MAX = 16 << 20;
const PER_FLUSH = 200;
/** Odd and far from a power of two, so that i * STEP modulo a power of two visits every number once, in no order. */
const STEP = 2_654_435_761;

const env = createNodeEnv();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function open(): Promise<{ store: Store; backend: Backend }> {
  const backend = await new Promise<Backend>((resolve, reject) => {
    verifiedLevelEngine(env, () => undefined)(dir, (error, engine) => {
      if (engine === null) reject(error ?? new Error('no engine'));
      else resolve(new Backend({ engine, env }));
    });
  });
  const store = await new Promise<Store>((resolve, reject) => {
    Store.open({ backend, env, onLease: () => undefined }, (error, opened) => {
      if (opened === null) reject(error ?? new Error('no store'));
      else resolve(opened);
    });
  });
  return { store, backend };
}

function keyName(i: number): string {
  const n = isRandom ? Number((BigInt(i) * BigInt(STEP)) % 4_294_967_296n) : i;
  return `/registry/pods/${String(n).padStart(12, '0')}`;
}

async function fill(store: Store, backend: Backend): Promise<void> {
  // Random, so that the engine's compression finds nothing.
  const values = randomBytes(64 << 20);
  let entry = 0;
  for (let i = 0; i < KEYS;) {
    for (let j = 0; j < PER_FLUSH && i < KEYS;) {
      const txn = store.begin();
      for (let k = 0; k < PER_TXN && i < KEYS; k++, i++, j++) {
        const key = keyName(i);
        const at = (i * VALUE_BYTES) % (values.length - VALUE_BYTES);
        txn.put(key, bytesOf(key), values.subarray(at, at + VALUE_BYTES), 0n);
      }
      txn.end();
      entry++;
    }
    backend.setApplied(entry, 1);
    backend.flush();
    do await turn();
    while (backend.pendingBytes > PENDING_MAX);
  }
  await new Promise<void>((resolve) => backend.sync(() => resolve()));
}

mkdirSync(dir, { recursive: true });
const cpu = process.cpuUsage();
const from = performance.now();
const { store, backend } = await open();
if (action === 'fill') await fill(store, backend);
const elapsed = (performance.now() - from) / 1000;
const { user, system } = process.cpuUsage(cpu);
const keys = store.liveKeys;
console.log(
  `${action}: ${String(keys)} keys, elapsed ${elapsed.toFixed(2)} s, processor ${((user + system) / 1e6).toFixed(2)} s, ` +
    `${(keys / elapsed).toFixed(0)} keys/s`,
);
await new Promise<void>((resolve) => backend.close(() => resolve()));
