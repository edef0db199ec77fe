import { RATE, type CaseGroup } from '../case.js';
import { startStreams } from '../streams.js';

/** Keep-alives per second while many leases live. */

export const lease: CaseGroup = {
  name: 'lease',
  title: 'Leases, one node',
  members: 1,
  quick: true,
  rounds: 3,
  run: async (bench) => {
    await bench.warmUp();
    const leases = bench.quick ? 10_000 : 100_000;
    const port = bench.cluster.ports[0] ?? 0;
    const many = leases.toLocaleString('en');
    const grants = {
      ports: [port],
      connections: 50,
      inFlight: 20,
      operation: { kind: 'leaseGrant' } as const,
      requests: leases,
    };
    await bench.measure(
      `grant ${many} leases, 50 x 20`,
      RATE,
      async () => (await bench.load(grants)).perSecond,
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
            const report = await run.report;
            return report.count / report.seconds;
          } finally {
            run.close();
          }
        },
      );
    }
  },
};
