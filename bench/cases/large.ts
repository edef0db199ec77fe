import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeRangeResponse,
  encodeCompactionRequest,
  encodeRangeRequest,
} from '../../src/gen/rpc.js';
import { MEGABYTES, RATE, rateOf, SECONDS, SHAPES, type Bench, type CaseGroup } from '../case.js';
import { runLoad } from '../load.js';
import { ALL_KEYS, keyBytes, PATH } from '../operations.js';
import { poll, residentBytes, type Member } from '../peers.js';
import { Connection, type CallSink } from '../wire/connection.js';
import { callOnce } from '../wire/unary.js';

/** Cost of large data: memory, restart, lists, counts. */

const MB = 1e6;
const SETTLE_MS = 3000;
const MEMORY_TARGET = 0.7;

export const million: CaseGroup = {
  name: 'million',
  title: 'One node, 1,000,000 keys of 256 B',
  members: 1,
  quick: false,
  rounds: 2,
  minutes: 6.5,
  run: async (bench) => {
    const keys = bench.quick ? 100_000 : 1_000_000;
    const valueBytes = 256;
    const ports = bench.cluster.ports;
    const port = ports[0] ?? 0;
    await bench.measure(`loading ${keys.toLocaleString('en')} keys, 50 x 20`, RATE, async () =>
      rateOf(await bench.fill(keys, valueBytes)),
    );
    await expectCount(port, keys);
    await measureMemory(bench, 'memory after loading', MEMORY_TARGET);

    await bench.measureLatency(
      'count over all keys',
      {
        ports,
        connections: 1,
        inFlight: 1,
        operation: { kind: 'range', keys, span: 0, countOnly: true },
      },
      { p50: 0.01 },
    );
    // Before the loads below: they run for a time, so that the faster server ends up with more revisions to keep.
    await bench.measure('list of all keys and values, put in order', SECONDS, () =>
      listAll(port, keys, valueBytes),
    );
    await measureMemory(bench, 'memory after a full list', MEMORY_TARGET);
    await measureRestart(bench, keys);
    await measureMemory(bench, 'memory after restart', MEMORY_TARGET);
    await bench.measure('data directory', MEGABYTES, () =>
      Promise.resolve(directoryBytes(member(bench).dataDir) / MB),
    );
    for (const [name, [connections, inFlight]] of Object.entries(SHAPES)) {
      const plan = { ports, connections, inFlight };
      await bench.measureLoad(`put 256 B, ${name}`, {
        ...plan,
        operation: { kind: 'put', keys, valueBytes },
      });
      await bench.measureLoad(`range 1 key linearizable, ${name}`, {
        ...plan,
        operation: { kind: 'range', keys, span: 1 },
      });
    }
    for (const name of ['50 x 20', '100 x 1'] as const) {
      const [connections, inFlight] = SHAPES[name];
      const plan = { ports, connections, inFlight };
      await bench.measureLoad(`half put, half linearizable read, ${name}`, {
        ...plan,
        operation: { kind: 'mixed', keys, valueBytes, readShare: 0.5 },
      });
      await bench.measureLoad(`compare-and-swap 256 B, ${name}`, {
        ...plan,
        operation: { kind: 'cas', valueBytes },
      });
    }
    for (const serializable of [false, true]) {
      const mode = serializable ? 'serializable' : 'linearizable';
      const plan = { ports, connections: 4, inFlight: 1 };
      await bench.measureLoad(`range 100 keys ${mode}, 4 x 1`, {
        ...plan,
        operation: { kind: 'range', keys, span: 100, serializable },
      });
      await bench.measureLoad(`range 10,000 keys ${mode}, 4 x 1`, {
        ...plan,
        operation: { kind: 'range', keys, span: 10_000, serializable },
      });
    }
    await bench.measureLoad('range 10,000 keys, keys only, 4 x 1', {
      ports,
      connections: 4,
      inFlight: 1,
      operation: { kind: 'range', keys, span: 10_000, keysOnly: true },
    });
    await bench.measure('list of all keys and values, put at random', SECONDS, () =>
      listAll(port, keys, valueBytes),
    );
  },
};

export const stall: CaseGroup = {
  name: 'stall',
  title: 'Small reads while large lists are served, one node, 100,000 keys of 256 B',
  members: 1,
  quick: false,
  rounds: 3,
  minutes: 1.6,
  run: async (bench) => {
    const keys = 100_000;
    const ports = bench.cluster.ports;
    await bench.fill(keys, 256);
    const stopped = { value: false };
    const lists = (async () => {
      let made = 0;
      for (; !stopped.value; made++) await listAll(ports[0] ?? 0, keys, 256);
      return made;
    })();
    const plan = {
      ports,
      connections: 10,
      inFlight: 10,
      rate: 500,
      operation: { kind: 'range', keys, span: 1 } as const,
    };
    await bench.measureLatency('linearizable read of one key at 500/s, lists without pause', plan);
    stopped.value = true;
    const made = await lists;
    if (made === 0) throw new Error('no list was served meanwhile');
  },
};

export const flat: CaseGroup = {
  name: 'flat',
  title: 'Memory over 2,000,000 puts to 1,000 keys, with compaction',
  members: 1,
  quick: false,
  rounds: 1,
  minutes: 3.6,
  run: async (bench) => {
    const rounds = bench.quick ? 4 : 20;
    const port = bench.cluster.ports[0] ?? 0;
    const seen: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await runLoad({
        ports: [port],
        connections: 50,
        inFlight: 20,
        operation: { kind: 'put', keys: 1000, valueBytes: 256 },
        requests: 100_000,
        seed: round + 1,
      });
      const { header } = decodeRangeResponse(
        await callOnce(port, PATH.range, encodeRangeRequest({ key: keyBytes(0) })),
      );
      const compaction = encodeCompactionRequest({
        revision: (header?.revision ?? 1) - 1,
        physical: true,
      });
      await callOnce(port, PATH.compact, compaction);
      seen.push(residentBytes(member(bench).process).now / MB);
    }
    const quarter = Math.ceil(rounds / 4);
    await bench.measure('memory after the first quarter', MEGABYTES, () =>
      Promise.resolve(seen[quarter - 1] ?? 0),
    );
    await bench.measure('memory at the end', MEGABYTES, () =>
      Promise.resolve(seen[rounds - 1] ?? 0),
    );
  },
};

function member(bench: Bench): Member {
  const [first] = bench.cluster.members;
  if (first === undefined) throw new Error('a cluster without members');
  return first;
}

async function measureMemory(bench: Bench, label: string, target?: number): Promise<void> {
  await new Promise((done) => setTimeout(done, SETTLE_MS));
  const what = target === undefined ? MEGABYTES : { ...MEGABYTES, target };
  await bench.measure(label, what, () =>
    Promise.resolve(residentBytes(member(bench).process).now / MB),
  );
}

async function measureRestart(bench: Bench, keys: number): Promise<void> {
  const only = member(bench);
  await bench.cluster.stopMember(only);
  await bench.measure(
    'restart until a linearizable count is answered',
    { ...SECONDS, target: 1 },
    async () => {
      const began = performance.now();
      await bench.cluster.restart(only);
      await expectCount(only.clientPort, keys);
      return (performance.now() - began) / 1000;
    },
  );
}

async function expectCount(port: number, keys: number): Promise<void> {
  const request = encodeRangeRequest({ ...ALL_KEYS, countOnly: true });
  const count = await poll(30_000, 'no count', async () => {
    const answer = await callOnce(port, PATH.range, request).catch(() => undefined);
    return answer === undefined ? undefined : decodeRangeResponse(answer).count;
  });
  if (count !== keys) throw new Error(`${String(count)} keys instead of ${String(keys)}`);
}

/** Seconds for one list of everything; the answer is received whole but not kept. */
async function listAll(port: number, keys: number, valueBytes: number): Promise<number> {
  const began = performance.now();
  const bytes = await receive(port, PATH.range, encodeRangeRequest(ALL_KEYS));
  if (bytes < keys * valueBytes)
    throw new Error(`the list holds ${String(bytes)} bytes, less than the values`);
  return (performance.now() - began) / 1000;
}

/** Bytes of all answers of one call. */
async function receive(port: number, path: string, body: Uint8Array): Promise<number> {
  const connection = await Connection.open('127.0.0.1', port);
  try {
    await new Promise<void>((resolve, reject) => {
      const sink: CallSink = {
        discard: true,
        message: () => undefined,
        ended: (status, text) => {
          if (status === 0) resolve();
          else reject(new Error(`${path}: status ${String(status)} ${text}`));
        },
      };
      connection.request(path, body, sink);
    });
    return connection.receivedBytes;
  } finally {
    connection.close();
  }
}

function directoryBytes(path: string): number {
  let bytes = 0;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    bytes += entry.isDirectory() ? directoryBytes(child) : statSync(child).blocks * 512;
  }
  return bytes;
}
