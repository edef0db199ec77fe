import { expect } from 'chai';
import fc from 'fast-check';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { TransportError } from '../../../src/cluster/client/client.js';
import {
  LeaderElector,
  type LeaderElectionOptions,
} from '../../../src/cluster/client/leader-election.js';
import { LEASES } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import type { ApiCall, Transport } from '../../../src/cluster/client/transport.js';
import { sleep } from '../../../src/cluster/env.js';
import type { LeaseSpec } from '../../../src/gen/kube-coordination-v1.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';

interface Candidate {
  readonly elector: LeaderElector;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
  /** `isCut` cuts it off from the API server: its calls hang until they are aborted. */
  readonly network: { isCut: boolean };
}

class Bench {
  readonly time: VirtualTime;
  readonly api: FakeApi;
  /** `a+` when a begins to lead, `a-` when it has ended. */
  readonly seen: string[] = [];
  readonly leading = new Set<string>();
  /** Largest number that has led at the same time. */
  most = 0;

  constructor(seed = 1) {
    this.time = new VirtualTime(seed);
    this.api = new FakeApi(this.time);
  }

  candidate(identity: string, options: Partial<LeaderElectionOptions> = {}): Candidate {
    const stop = new AbortController();
    const network = { isCut: false };
    const client = restClient(cuttable(this.api, network));
    const elector = new LeaderElector({
      ...{ env: this.time, log: silentLogger, client, identity },
      ...{ namespace: 'kube-system', name: 'manager' },
      lead: async (signal) => {
        this.leading.add(identity);
        this.most = Math.max(this.most, this.leading.size);
        this.seen.push(`${identity}+`);
        await sleep(this.time, 1e9, signal);
        this.leading.delete(identity);
        this.seen.push(`${identity}-`);
      },
      ...options,
    });
    return { elector, stop, ended: elector.run(stop.signal), network };
  }

  get spec(): LeaseSpec {
    return this.api.get(LEASES, 'kube-system', 'manager')?.spec ?? {};
  }
}

function cuttable(api: FakeApi, network: { readonly isCut: boolean }): Transport {
  const hang = ({ signal }: ApiCall): Promise<never> =>
    new Promise((_resolve, reject) => {
      const fail = (): void => reject(new TransportError('aborted'));
      if (signal?.aborted === true) fail();
      signal?.addEventListener('abort', fail);
    });
  return {
    call: (call) => (network.isCut ? hang(call) : api.call(call)),
    watch: (call) => api.watch(call),
    close: () => api.close(),
  };
}

describe('leader election', () => {
  it('lets one lead, who renews, while others wait', async () => {
    const bench = new Bench();
    const a = bench.candidate('a');
    await bench.time.settle();
    const b = bench.candidate('b');
    await bench.time.advance(60_000);
    expect(bench.seen).to.deep.equal(['a+']);
    expect(bench.spec).to.deep.equal({
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: '2026-01-01T00:01:00.000000Z',
      leaseTransitions: 0,
    });
    expect([a.elector.leader, b.elector.leader]).to.deep.equal(['a', 'a']);
    for (const one of [a, b]) one.stop.abort();
    await bench.time.run(Promise.all([a.ended, b.ended]));
    expect(bench.time.pendingTimers).to.equal(0);
  });

  it('hands over at once when the leader stops, after its work has ended', async () => {
    const bench = new Bench();
    const lead = async (signal: AbortSignal): Promise<void> => {
      await sleep(bench.time, 1e9, signal);
      // Work that takes a while to end.
      await sleep(bench.time, 1000);
      bench.seen.push(`a-`);
    };
    const a = bench.candidate('a', { lead });
    await bench.time.settle();
    const b = bench.candidate('b');
    await bench.time.advance(5000);
    a.stop.abort();
    await bench.time.run(a.ended);
    expect(bench.time.monoMs()).to.equal(6000);
    expect(bench.spec).to.include({ holderIdentity: '', leaseDurationSeconds: 1 });
    await bench.time.runUntil(() => bench.seen.length === 2, 4400);
    expect(bench.seen).to.deep.equal(['a-', 'b+']);
    expect(bench.spec).to.include({ holderIdentity: 'b', leaseTransitions: 1 });
    b.stop.abort();
    await bench.time.run(b.ended);
  });

  it('gives up after 10 s without the server, and others take over after 15 s, never both', async () => {
    const bench = new Bench();
    const a = bench.candidate('a');
    await bench.time.settle();
    const b = bench.candidate('b');
    await bench.time.advance(20_000);
    a.network.isCut = true;
    await bench.time.runUntil(() => bench.seen.length === 2);
    expect(bench.seen[1]).to.equal('a-');
    expect(bench.time.monoMs()).to.equal(30_000);
    await bench.time.runUntil(() => bench.seen.length === 3);
    expect(bench.seen[2]).to.equal('b+');
    // b sees the last renewal up to 4.4 s late, and looks again as late.
    expect(bench.time.monoMs()).to.be.within(35_000, 20_000 + 15_000 + 2 * 4400);
    a.network.isCut = false;
    await bench.time.advance(60_000);
    expect(bench.seen).to.deep.equal(['a+', 'a-', 'b+']);
    expect(a.elector.leader).to.equal('b');
    for (const one of [a, b]) one.stop.abort();
    await bench.time.run(Promise.all([a.ended, b.ended]));
  });

  it('gives up at the deadline, though no attempt is due then', async () => {
    const bench = new Bench();
    const a = bench.candidate('a', { retryPeriodMs: 3000 });
    await bench.time.settle();
    bench.api.intercept(() => {
      throw new TransportError('connection refused');
    });
    await bench.time.runUntil(() => bench.seen.length === 2);
    expect(bench.time.monoMs()).to.equal(10_000);
    a.stop.abort();
    await bench.time.run(a.ended);
  });

  it('trusts its own clock, not the times in the lease', async () => {
    const bench = new Bench();
    const spec = {
      holderIdentity: 'other',
      leaseDurationSeconds: 15,
      renewTime: '2020-01-01T00:00:00.000000Z',
      leaseTransitions: 7,
    };
    const metadata = { namespace: 'kube-system', name: 'manager' };
    bench.api.put(LEASES, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec });
    const seen: string[] = [];
    const a = bench.candidate('a', { onNewLeader: (identity) => seen.push(identity) });
    await bench.time.advance(15_000 - 1);
    expect(bench.seen).to.deep.equal([]);
    await bench.time.advance(4401);
    expect(bench.seen).to.deep.equal(['a+']);
    expect(bench.spec.leaseTransitions).to.equal(8);
    expect(seen).to.deep.equal(['other', 'a']);
    a.stop.abort();
    await bench.time.run(a.ended);
  });

  it('ends its term when another took the lease, and when its work ends or fails', async () => {
    const bench = new Bench();
    const a = bench.candidate('a');
    await bench.time.advance(5000);
    const lease = bench.api.get(LEASES, 'kube-system', 'manager') ?? expect.fail('no lease');
    bench.api.put(LEASES, { ...lease, spec: { ...lease.spec, holderIdentity: 'thief' } });
    await bench.time.advance(2000);
    expect(bench.seen).to.deep.equal(['a+', 'a-']);
    a.stop.abort();
    await bench.time.run(a.ended);
    expect(bench.spec.holderIdentity).to.equal('thief');

    const other = new Bench();
    let terms = 0;
    const lead = (): Promise<void> => {
      terms += 1;
      if (terms === 1) throw new Error('broken');
      return Promise.resolve();
    };
    const b = other.candidate('b', { lead });
    await other.time.advance(60_000);
    expect(terms).to.be.within(60 / 4.4, 60 / 2 + 1);
    expect(other.spec.holderIdentity).to.equal('');
    b.stop.abort();
    await other.time.run(b.ended);
  });

  it('never lets two lead, and always one after a while, whatever is cut off (property)', async () => {
    const step = fc.record({
      type: fc.constantFrom('cut', 'heal', 'restart', 'wait'),
      who: fc.constantFrom(0, 1, 2),
      ms: fc.integer({ min: 1, max: 20_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.integer(), async (steps, seed) => {
        const bench = new Bench(seed);
        const candidates = ['a', 'b', 'c'].map((identity) => bench.candidate(identity));
        for (const { type, who, ms } of steps) {
          const candidate = candidates[who] ?? expect.fail();
          if (type === 'cut') candidate.network.isCut = true;
          else if (type === 'heal') candidate.network.isCut = false;
          else if (type === 'restart') {
            candidate.stop.abort();
            await bench.time.run(candidate.ended);
            candidates[who] = bench.candidate(`${'abc'[who]}${bench.time.randomU32()}`);
          }
          await bench.time.advance(ms);
        }
        for (const candidate of candidates) candidate.network.isCut = false;
        await bench.time.advance(25_000);
        expect([bench.leading.size, bench.most]).to.deep.equal([1, 1]);
        for (const { stop } of candidates) stop.abort();
        await bench.time.run(Promise.all(candidates.map(({ ended }) => ended)));
      }),
      { numRuns: 60 },
    );
  });
});
