import { encodePutRequest, encodeRangeRequest } from '../../src/gen/rpc.js';
import { SHAPES, type Bench, type CaseGroup } from '../case.js';
import { keyBytes, PATH, valueOf } from '../operations.js';

/** Puts, reads and transactions against one node with a small key space. */

const KEYS = 1000;
const VALUE_BYTES = 256;
/** A list this long needs more keys than the other cases have: it comes last. */
const LIST_KEYS = 10_000;

/** Shapes with the targets for put throughput. */
const PUT_TARGETS: Readonly<Record<string, number>> = { '50 x 20': 2, '100 x 1': 1.5, '1 x 1': 1 };
const RANGE_TARGETS: Readonly<Record<string, number>> = { '50 x 20': 3 };

export const put: CaseGroup = {
  name: 'put',
  title: 'Put, one node, 1,000 keys',
  members: 1,
  quick: true,
  rounds: 3,
  minutes: 4.3,
  run: async (bench) => {
    await bench.warmUp(KEYS, VALUE_BYTES);
    const body = encodePutRequest({ key: keyBytes(0), value: valueOf(VALUE_BYTES) });
    for (const [name, shape] of Object.entries(SHAPES)) {
      const request = { port: portOf(bench), path: PATH.put, body };
      await bench.measureH2load(`put 256 B, ${name} (h2load)`, request, shape, PUT_TARGETS[name]);
    }
    const sizes = bench.quick ? [256, 16384] : [16, 256, 1024, 4096, 16384];
    for (const valueBytes of sizes) {
      await bench.measureLoad(`put ${String(valueBytes)} B, 50 x 20, varied keys`, {
        ports: bench.cluster.ports,
        connections: 50,
        inFlight: 20,
        operation: { kind: 'put', keys: KEYS, valueBytes },
      });
    }
    for (const name of ['100 x 1', '1 x 1'] as const) {
      const [connections, inFlight] = SHAPES[name];
      await bench.measureLoad(`put 16384 B, ${name}, varied keys`, {
        ports: bench.cluster.ports,
        connections,
        inFlight,
        operation: { kind: 'put', keys: KEYS, valueBytes: 16_384 },
      });
    }
  },
};

export const range: CaseGroup = {
  name: 'range',
  title: 'Range, one node, 1,000 keys of 256 B',
  members: 1,
  quick: true,
  rounds: 3,
  minutes: 5.5,
  run: async (bench) => {
    await bench.warmUp(KEYS, VALUE_BYTES);
    for (const serializable of [false, true]) {
      const mode = serializable ? 'serializable' : 'linearizable';
      const body = encodeRangeRequest({ key: keyBytes(0), serializable });
      for (const [name, shape] of Object.entries(SHAPES)) {
        const request = { port: portOf(bench), path: PATH.range, body };
        await bench.measureH2load(
          `1 key ${mode}, ${name} (h2load)`,
          request,
          shape,
          RANGE_TARGETS[name],
        );
      }
      const plan = { ports: bench.cluster.ports, connections: 50, inFlight: 20 };
      const one = { kind: 'range', keys: KEYS, span: 1, serializable } as const;
      await bench.measureLoad(`1 key ${mode}, 50 x 20, varied keys`, { ...plan, operation: one });
      await bench.measureLoad(`100 keys ${mode}, 50 x 4`, {
        ...plan,
        inFlight: 4,
        operation: { ...one, span: 100 },
      });
    }
    await bench.fill(LIST_KEYS, VALUE_BYTES);
    for (const serializable of [false, true]) {
      const mode = serializable ? 'serializable' : 'linearizable';
      await bench.measureLoad(`${LIST_KEYS.toLocaleString('en')} keys ${mode}, 4 x 1`, {
        ports: bench.cluster.ports,
        connections: 4,
        inFlight: 1,
        operation: { kind: 'range', keys: LIST_KEYS, span: LIST_KEYS, serializable },
      });
    }
  },
};

export const txn: CaseGroup = {
  name: 'txn',
  title: 'Transactions and mixed load, one node',
  members: 1,
  quick: true,
  rounds: 3,
  minutes: 3.3,
  run: async (bench) => {
    await bench.warmUp(KEYS, VALUE_BYTES);
    for (const [name, [connections, inFlight]] of Object.entries(SHAPES)) {
      const plan = { ports: bench.cluster.ports, connections, inFlight };
      await bench.measureLoad(`compare-and-swap 256 B, ${name}`, {
        ...plan,
        operation: { kind: 'cas', valueBytes: VALUE_BYTES },
      });
      await bench.measureLoad(`half put, half linearizable read, ${name}`, {
        ...plan,
        operation: { kind: 'mixed', keys: KEYS, valueBytes: VALUE_BYTES, readShare: 0.5 },
      });
    }
  },
};

/** Requests per second that both servers can take, so that only latency differs. */
const EQUAL_RATES = [1000, 4000];

export const latency: CaseGroup = {
  name: 'latency',
  title: 'Latency at equal load below saturation, one node',
  members: 1,
  quick: true,
  rounds: 3,
  minutes: 4.9,
  run: async (bench) => {
    await bench.warmUp(KEYS, VALUE_BYTES);
    const ports = bench.cluster.ports;
    const putOp = { kind: 'put', keys: KEYS, valueBytes: VALUE_BYTES } as const;
    const rangeOp = { kind: 'range', keys: KEYS, span: 1 } as const;
    await bench.measureLatency(
      'put, one client, one in flight',
      { ports, connections: 1, inFlight: 1, operation: putOp },
      { p50: 1, p99: 1 },
    );
    await bench.measureLatency(
      'linearizable read, one client, one in flight',
      { ports, connections: 1, inFlight: 1, operation: rangeOp },
      { p50: 1, p99: 1 },
    );
    for (const rate of EQUAL_RATES) {
      const plan = { ports, connections: 50, inFlight: 50, rate };
      await bench.measureLatency(
        `put at ${String(rate)}/s, 50 connections`,
        { ...plan, operation: putOp },
        { p99: 1 },
      );
      await bench.measureLatency(
        `linearizable read at ${String(rate)}/s, 50 connections`,
        { ...plan, operation: rangeOp },
        { p99: 1 },
      );
    }
  },
};

function portOf(bench: Bench): number {
  return bench.cluster.ports[0] ?? 0;
}
