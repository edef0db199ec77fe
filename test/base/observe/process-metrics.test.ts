import { expect } from 'chai';
import { exposition } from '../../../src/base/observe/exposition.js';
import { limitOf, networkBytes } from '../../../src/base/observe/proc-files.js';
import { PROCESS_FAMILIES } from '../../../src/base/observe/process-families.js';
import { ProcessMetrics } from '../../../src/base/observe/process-metrics.js';
import { parseExposition } from '../../support/exposition.js';

describe('ProcessMetrics', () => {
  let metrics: ProcessMetrics;
  beforeEach(() => {
    metrics = new ProcessMetrics();
  });
  afterEach(() => metrics.close());

  it('reports the use of the process', async () => {
    const sample = await metrics.sample();
    const page = parseExposition(exposition(PROCESS_FAMILIES, { process: sample }));
    const value = (name: string): number => page.get(name)?.samples[0]?.value ?? NaN;
    expect(value('process_resident_memory_bytes')).greaterThan(1e6);
    expect(value('process_virtual_memory_bytes')).greaterThan(
      value('process_resident_memory_bytes'),
    );
    expect(value('process_start_time_seconds'))
      .greaterThan(1e9)
      .lessThan(Date.now() / 1000);
    expect(value('process_cpu_seconds_total')).closeTo(
      value('process_cpu_user_seconds_total') + value('process_cpu_system_seconds_total'),
      1e-6,
    );
    expect(value('process_open_fds')).greaterThan(2).lessThan(value('process_max_fds'));
    expect(value('os_fd_used')).equal(value('process_open_fds'));
    expect(value('process_network_receive_bytes_total')).greaterThan(0);
    expect(page.get('nodejs_heap_space_size_used_bytes')?.samples.length).greaterThan(3);
    expect(page.get('nodejs_version_info')?.samples[0]?.labels.get('version')).equal(
      process.version,
    );
  });

  it('shows the longest delay of a timer since the scrape before', async () => {
    /** Holds the event loop, then lets the timer run that is late. */
    const block = async (): Promise<void> => {
      const from = performance.now();
      while (performance.now() - from < 100);
      await new Promise((resolve) => setTimeout(resolve, 0));
    };
    let { loopDelay } = await metrics.sample();
    while (!(loopDelay.max > 0.01)) {
      // The first look after a scrape has none before it to measure from.
      for (let i = 0; i < 5; i++) await block();
      ({ loopDelay } = await metrics.sample());
    }
    expect(loopDelay.mean).not.greaterThan(loopDelay.max);
    expect(loopDelay.p50).not.greaterThan(loopDelay.p99);
    // A scrape right behind another one has seen no timer.
    await metrics.sample();
    expect((await metrics.sample()).loopDelay.max).satisfies((max: number) => !(max > 0.05));
  });

  it('counts pauses of the garbage collector by kind', async () => {
    const { collections } = await metrics.sample();
    expect([...collections.keys()]).deep.equal(['major', 'minor', 'incremental', 'weakcb']);
    const total = (): number => [...collections.values()].reduce((sum, h) => sum + h.total, 0);
    while (total() === 0) {
      const garbage: unknown[] = [];
      for (let i = 0; i < 100_000; i++) garbage.push({ i });
      await new Promise(setImmediate);
    }
  });
});

describe('the files of proc', () => {
  const LIMITS = [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    'Max open files            20000                30000                files     ',
    'Max address space         unlimited            unlimited            bytes     ',
    '',
  ].join('\n');

  it('hold the soft limits', () => {
    expect(limitOf(LIMITS, 'Max open files')).equal(20000);
    expect(limitOf(LIMITS, 'Max address space')).equal(2 ** 64 - 1);
    expect(limitOf('', 'Max open files')).equal(0);
  });

  it('hold the traffic by name of its column', () => {
    const netstat = [
      'TcpExt: InOctets OutOctets',
      'TcpExt: 1 2',
      'IpExt: InNoRoutes OutOctets InOctets',
      'IpExt: 3 4 5',
      '',
    ].join('\n');
    expect(networkBytes(netstat)).deep.equal({ received: 5, sent: 4 });
    expect(networkBytes('')).deep.equal({ received: 0, sent: 0 });
  });
});
