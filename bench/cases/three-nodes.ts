import { encodePutRequest, encodeRangeRequest } from '../../src/gen/rpc.js';
import { type CaseGroup } from '../case.js';
import { keyBytes, PATH, valueOf } from '../operations.js';
import { judgedShapes } from './one-node.js';

/** Three nodes on this machine, through the leader and through a follower. */

const KEYS = 1000;
const VALUE_BYTES = 256;
const PUT_TARGETS: Readonly<Record<string, number>> = {
  '50 x 20': 1.5,
  '100 x 1': 1.5,
  '1 x 1': 1,
};

export const three: CaseGroup = {
  name: 'three',
  title: 'Three nodes on one machine, 1,000 keys of 256 B',
  members: 3,
  quick: true,
  rounds: 5,
  run: async (bench) => {
    await bench.warmUp(KEYS, VALUE_BYTES);
    const { leader, followers } = await bench.cluster.portsFromLeader();
    const put = {
      path: PATH.put,
      body: encodePutRequest({ key: keyBytes(0), value: valueOf(VALUE_BYTES) }),
    };
    const range = { path: PATH.range, body: encodeRangeRequest({ key: keyBytes(0) }) };
    for (const [where, port] of [
      ['leader', leader],
      ['follower', followers[0] ?? 0],
    ] as const) {
      for (const [name, shape] of judgedShapes()) {
        const target = where === 'leader' ? PUT_TARGETS[name] : undefined;
        await bench.measureH2load(
          `put through the ${where}, ${name} (h2load)`,
          { ...put, port },
          shape,
          target,
        );
      }
      for (const [name, shape] of judgedShapes()) {
        await bench.measureH2load(
          `linearizable read through the ${where}, ${name} (h2load)`,
          { ...range, port },
          shape,
        );
      }
    }
    const serializable = encodeRangeRequest({ key: keyBytes(0), serializable: true });
    const port = followers[0] ?? 0;
    await bench.measureH2load(
      'serializable read at a follower, 50 x 20 (h2load)',
      { path: PATH.range, body: serializable, port },
      [50, 20],
    );
    const operation = { kind: 'put', keys: KEYS, valueBytes: VALUE_BYTES } as const;
    await bench.measureLatency(
      'put through the leader, one in flight',
      { ports: [leader], connections: 1, inFlight: 1, operation },
      { p50: 1, p99: 1 },
    );
    await bench.measureLatency(
      'put at 1000/s over all members',
      { ports: bench.cluster.ports, connections: 48, inFlight: 50, rate: 1000, operation },
      { p99: 1 },
    );
  },
};
