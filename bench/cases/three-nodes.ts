import { encodePutRequest, encodeRangeRequest } from '../../src/gen/rpc.js';
import { SHAPES, type Bench, type CaseGroup } from '../case.js';
import { keyBytes, PATH, valueOf, type Operation } from '../operations.js';

/** Three nodes on this machine, through the leader and through a follower. */

const KEYS = 1000;
const VALUE_BYTES = 256;
const PUT_TARGETS: Readonly<Record<string, number>> = {
  '50 x 20': 1.5,
  '100 x 1': 1.5,
  '1 x 1': 1,
};
const PUT: Operation = { kind: 'put', keys: KEYS, valueBytes: VALUE_BYTES };
const READ: Operation = { kind: 'range', keys: KEYS, span: 1 };
/** Loads of several bodies, with the shapes that are measured through each kind of member. */
const VARIED: readonly (readonly [string, Operation])[] = [
  [
    'half put, half linearizable read',
    { kind: 'mixed', keys: KEYS, valueBytes: VALUE_BYTES, readShare: 0.5 },
  ],
  ['compare-and-swap 256 B', { kind: 'cas', valueBytes: VALUE_BYTES }],
];
const VARIED_SHAPES = { leader: ['50 x 20', '100 x 1', '1 x 1'], follower: ['50 x 20'] } as const;

export const three: CaseGroup = {
  name: 'three',
  title: 'Three nodes on one machine, 1,000 keys of 256 B',
  members: 3,
  quick: true,
  rounds: 3,
  minutes: 11.6,
  run: async (bench) => {
    await bench.warmUp(KEYS, VALUE_BYTES);
    const { leader, followers } = await bench.cluster.portsFromLeader();
    const follower = followers[0] ?? 0;
    await measureThrough(bench, 'leader', leader);
    await measureThrough(bench, 'follower', follower);
    const serializable = encodeRangeRequest({ key: keyBytes(0), serializable: true });
    for (const name of ['50 x 20', '100 x 1'] as const) {
      await bench.measureH2load(
        `serializable read at a follower, ${name} (h2load)`,
        { path: PATH.range, body: serializable, port: follower },
        SHAPES[name],
      );
    }
    await bench.measureLatency(
      'put through the leader, one in flight',
      { ports: [leader], connections: 1, inFlight: 1, operation: PUT },
      { p50: 1, p99: 1 },
    );
    const all = { ports: bench.cluster.ports, connections: 48, inFlight: 50, rate: 1000 };
    await bench.measureLatency(
      'put at 1000/s over all members',
      { ...all, operation: PUT },
      { p99: 1 },
    );
    await bench.measureLatency('linearizable read at 1000/s over all members', {
      ...all,
      operation: READ,
    });
  },
};

async function measureThrough(
  bench: Bench,
  where: 'leader' | 'follower',
  port: number,
): Promise<void> {
  const put = {
    path: PATH.put,
    body: encodePutRequest({ key: keyBytes(0), value: valueOf(VALUE_BYTES) }),
    port,
  };
  const range = { path: PATH.range, body: encodeRangeRequest({ key: keyBytes(0) }), port };
  for (const [name, shape] of Object.entries(SHAPES)) {
    const target = where === 'leader' ? PUT_TARGETS[name] : undefined;
    await bench.measureH2load(`put through the ${where}, ${name} (h2load)`, put, shape, target);
  }
  for (const [name, shape] of Object.entries(SHAPES)) {
    const label = `linearizable read through the ${where}, ${name} (h2load)`;
    await bench.measureH2load(label, range, shape);
  }
  for (const [what, operation] of VARIED) {
    for (const name of VARIED_SHAPES[where]) {
      const [connections, inFlight] = SHAPES[name];
      const plan = { ports: [port], connections, inFlight, operation };
      await bench.measureLoad(`${what} through the ${where}, ${name}`, plan);
    }
  }
}
