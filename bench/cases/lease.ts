import { rateOf, RATE, type CaseGroup } from '../case.js';
import { startStreams } from '../streams.js';

/** Keep-alives per second while many leases live. */

export const lease: CaseGroup = {
  name: 'lease',
  title: 'Leases, one node',
  members: 1,
  quick: true,
  rounds: 3,
  minutes: 2.8,
  run: async (bench) => {
    await bench.warmUp();
    const leases = 100_000;
    const port = bench.cluster.ports[0] ?? 0;
    const many = leases.toLocaleString('en');
    const grants = {
      ports: [port],
      connections: 50,
      inFlight: 20,
      operation: { kind: 'leaseGrant' } as const,
      requests: leases,
    };
    await bench.measure(`grant ${many} leases, 50 x 20`, RATE, async () =>
      rateOf(await bench.load(grants)),
    );
    for (const [connections, inFlight] of [
      [20, 50],
      [100, 1],
      [1, 1],
    ] as const) {
      await bench.measure(
        `keep-alives with ${many} leases, ${String(connections)} streams x ${String(inFlight)}`,
        RATE,
        async () => {
          const run = await startStreams(
            {
              kind: 'keepalive',
              port,
              connections,
              inFlight,
              leases,
              durationMs: bench.durationMs,
            },
            60_000,
          );
          try {
            const { count, seconds, busy } = await run.report();
            return { value: count / seconds, busy };
          } finally {
            run.close();
          }
        },
      );
    }
  },
};
