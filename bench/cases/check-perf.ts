import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { RATE, type CaseGroup } from '../case.js';
import { etcdctlProgram } from '../peers.js';

/** etcdctl's own check of a cluster, at each of its sizes. Each takes a minute. */

export const checkPerf: CaseGroup = {
  name: 'check-perf',
  title: 'etcdctl check perf, three nodes',
  members: 3,
  quick: false,
  rounds: 1,
  minutes: 9,
  run: async (bench) => {
    const endpoints = bench.cluster.ports.map((port) => `127.0.0.1:${String(port)}`).join(',');
    for (const load of bench.quick ? ['s'] : ['s', 'm', 'l', 'xl']) {
      let text = '';
      await bench.measure(`check perf --load=${load}: writes`, RATE, async () => {
        text = await checkPerfOutput(endpoints, load);
        const rate = /Throughput (?:too low: |is )(\d+) writes\/s/.exec(text)?.[1];
        if (rate === undefined) throw new Error(`etcdctl said: ${text}`);
        return Number(rate);
      });
      await bench.measure(
        `check perf --load=${load}: passes`,
        { unit: '', better: 'higher' },
        () =>
          text === ''
            ? Promise.reject(new Error('see above'))
            : Promise.resolve(/^PASS$/m.test(text) ? 1 : 0),
      );
    }
  },
};

/** It ends with status 1 when the check fails, which is an answer too. */
async function checkPerfOutput(endpoints: string, load: string): Promise<string> {
  const args = ['--endpoints', endpoints, 'check', 'perf', `--load=${load}`];
  const env = { ...process.env, ETCDCTL_API: '3' };
  try {
    const { stdout, stderr } = await promisify(execFile)(etcdctlProgram(), args, {
      env,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return `${stdout ?? ''}${stderr ?? ''}`;
  }
}
