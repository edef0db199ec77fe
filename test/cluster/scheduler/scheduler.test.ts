import { expect } from 'chai';
import fc from 'fast-check';
import type { Event, Namespace, Node, Pod, PodCondition } from '../../../src/gen/kube-core-v1.js';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { conflict } from '../../../src/cluster/api/status.js';
import { EVENTS, NAMESPACES, NODES, PODS } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import type { Transport, WatchBatches } from '../../../src/cluster/client/transport.js';
import { sleep } from '../../../src/cluster/env.js';
import { startScheduler, type Scheduler } from '../../../src/cluster/scheduler/scheduler.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';

function node(name: string, cpu = '1', pods = '110'): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec: {},
    status: { allocatable: { cpu, memory: '8Gi', pods } },
  };
}

function pod(name: string, cpu = '100m', spec: Partial<Pod['spec']> = {}): Pod {
  const resources = { requests: { cpu } };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'd' },
    spec: { containers: [{ name: 'c', image: 'i', resources }], ...spec },
  };
}

function cpuMilli({ spec }: Pod): number {
  const text = spec.containers[0]?.resources?.requests?.['cpu'] ?? '0';
  return text.endsWith('m') ? Number(text.slice(0, -1)) : Number(text) * 1000;
}

type Batch = WatchBatches extends AsyncIterable<infer B> ? B : never;

class Bench {
  readonly time: VirtualTime;
  readonly api: FakeApi;
  private readonly lagMs: number;
  private scheduler: Scheduler;

  /** The scheduler sees each change `lagMs` late. */
  constructor(seed = 1, lagMs = 0) {
    this.lagMs = lagMs;
    this.time = new VirtualTime(seed);
    this.api = new FakeApi(this.time);
    this.scheduler = this.begin();
  }

  async stop(): Promise<void> {
    await this.time.run(this.scheduler.stop());
  }

  /** As a new process would: with nothing in memory. */
  async restart(): Promise<void> {
    await this.stop();
    this.scheduler = this.begin();
  }

  create(made: Pod): Promise<Pod> {
    return restClient(this.api).resource(PODS, 'd').create(made);
  }

  nodeOf(name: string): string | undefined {
    return this.api.get(PODS, 'd', name)?.spec.nodeName;
  }

  condition(name: string): PodCondition | undefined {
    const conditions = this.api.get(PODS, 'd', name)?.status?.conditions ?? [];
    return conditions.find(({ type }) => type === 'PodScheduled');
  }

  /** `reason: message`, in the order in which they were written. */
  events(): string[] {
    return this.api
      .list<Event>(EVENTS, 'd')
      .map(({ reason = '', message = '' }) => `${reason}: ${message}`);
  }

  /** Fails when pods that hold a place ask a node for more than it has. */
  expectNotOvercommitted(): void {
    for (const one of this.api.list<Node>(NODES)) {
      const own = this.api
        .list<Pod>(PODS)
        .filter(({ spec }) => spec.nodeName === one.metadata.name)
        .filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed');
      const { cpu = '0', pods = '0' } = one.status?.allocatable ?? {};
      const used = own.reduce((sum, other) => sum + cpuMilli(other), 0);
      expect(used, `cpu of ${one.metadata.name ?? ''}`).to.be.at.most(Number(cpu) * 1000);
      expect(own.length).to.be.at.most(Number(pods));
    }
  }

  private begin(): Scheduler {
    const client = restClient(this.lagging());
    return startScheduler({ client, env: this.time, log: silentLogger, identity: undefined });
  }

  private lagging(): Transport {
    const { api, time, lagMs } = this;
    if (lagMs === 0) return api;
    return {
      call: (call) => api.call(call),
      watch: async (call) => {
        const opened = await api.watch(call);
        return 'code' in opened ? opened : late(opened);
      },
      close: () => api.close(),
    };
    async function* late(batches: WatchBatches): AsyncGenerator<Batch> {
      for await (const batch of batches) {
        await sleep(time, lagMs);
        yield batch;
      }
    }
  }
}

describe('scheduler', () => {
  let bench: Bench;

  beforeEach(() => (bench = new Bench()));
  afterEach(() => bench.stop());

  it('binds a pod, and says so', async () => {
    bench.api.put(NODES, node('n1'));
    await bench.create(pod('a'));
    await bench.time.settle();
    expect(bench.nodeOf('a')).to.equal('n1');
    expect(bench.condition('a')?.status).to.equal('True');
    expect(bench.events()).to.deep.equal(['Scheduled: Successfully assigned d/a to n1']);
  });

  it('tells why a pod has no node, once, and schedules it when a node comes', async () => {
    await bench.create(pod('a'));
    await bench.time.settle();
    const message = 'no nodes available to schedule pods';
    expect(bench.condition('a')).to.include({ status: 'False', reason: 'Unschedulable', message });
    expect(bench.events()).to.deep.equal([`FailedScheduling: ${message}`]);
    bench.api.put(NODES, node('n1'));
    await bench.time.advance(1000);
    expect(bench.nodeOf('a')).to.equal('n1');
    expect(bench.condition('a')?.status).to.equal('True');
  });

  it('counts 200 pods that come at once each on its node before it is shown there', async () => {
    for (let i = 0; i < 10; i++) bench.api.put(NODES, node(`n${i}`, '2'));
    await bench.time.settle();
    for (let i = 0; i < 200; i++) bench.api.put(PODS, pod(`p${i}`, '100m'));
    bench.api.put(PODS, pod('too-much', '100m'));
    await bench.time.settle();
    bench.expectNotOvercommitted();
    const bound = bench.api.list<Pod>(PODS).filter(({ spec }) => spec.nodeName !== undefined);
    expect(bound).to.have.length(200);
    const [waiting = ''] = bench.api
      .list<Pod>(PODS)
      .filter(({ spec }) => spec.nodeName === undefined)
      .map(({ metadata }) => metadata.name ?? '');
    expect(bench.condition(waiting)?.message).to.equal(
      '0/10 nodes are available: 10 Insufficient cpu. no new claims to deallocate, preemption: 0/10 nodes are available: 10 No preemption victims found for incoming pod.',
    );
  });

  it('tries a pod again whose binding failed, after its back-off', async () => {
    bench.api.put(NODES, node('n1'));
    let failures = 2;
    bench.api.intercept(({ path }) => {
      if (!path.endsWith('/binding') || failures-- <= 0) return undefined;
      throw conflict({ group: '', resource: 'pods/binding' }, 'a', 'planted');
    });
    await bench.create(pod('a', '1'));
    await bench.time.advance(2999);
    expect(bench.nodeOf('a')).to.equal(undefined);
    await bench.time.advance(1);
    expect(bench.nodeOf('a')).to.equal('n1');
    expect(bench.events()).to.deep.equal(['Scheduled: Successfully assigned d/a to n1']);
  });

  it('gives back the place of a pod that was deleted while it was being bound', async () => {
    bench.api.put(NODES, node('n1'));
    const remove = bench.api.intercept(({ path }) => {
      if (path.endsWith('/a/binding')) bench.api.remove(PODS, pod('a'));
      return undefined;
    });
    await bench.create(pod('a', '1'));
    await bench.time.settle();
    remove();
    expect(bench.api.get(PODS, 'd', 'a')).to.equal(undefined);
    await bench.create(pod('b', '1'));
    await bench.time.advance(1000);
    expect(bench.nodeOf('b')).to.equal('n1');
  });

  it('counts a pod where another scheduler bound it, though its own binding failed', async () => {
    bench.api.put(NODES, node('n1'));
    bench.api.put(NODES, node('n2'));
    let elsewhere = '';
    bench.api.intercept(async ({ path, body }) => {
      if (!path.endsWith('/a/binding') || elsewhere !== '') return undefined;
      const { target } = body as { readonly target: { readonly name: string } };
      elsewhere = target.name === 'n1' ? 'n2' : 'n1';
      const bound = structuredClone(bench.api.get(PODS, 'd', 'a') as Pod);
      bound.spec.nodeName = elsewhere;
      bench.api.put(PODS, bound);
      // The watch shows it before the binding is refused.
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
      return undefined;
    });
    await bench.create(pod('a', '1'));
    await bench.time.settle();
    expect(bench.nodeOf('a')).to.equal(elsewhere);
    for (const name of ['b', 'c']) await bench.create(pod(name, '1'));
    await bench.time.advance(5000);
    bench.expectNotOvercommitted();
    expect([bench.nodeOf('b'), bench.nodeOf('c')]).to.include(undefined);
  });

  it('does not schedule a bound pod again for an event from before its binding', async () => {
    await bench.stop();
    bench = new Bench(1, 10);
    bench.api.put(NODES, node('n1'));
    bench.api.put(NODES, node('n2'));
    bench.api.intercept(({ path, method }) => {
      if (!path.endsWith('/a/binding') || method !== 'POST') return undefined;
      const labelled = structuredClone(bench.api.get(PODS, 'd', 'a') as Pod);
      // Its event and that of the binding are on their way when the binding is answered.
      bench.api.put(PODS, { ...labelled, metadata: { ...labelled.metadata, labels: { x: 'y' } } });
      return undefined;
    });
    await bench.create(pod('a', '1'));
    await bench.time.advance(60_000);
    const bindings = bench.api.calls.filter((call) => call.endsWith('/a/binding'));
    expect(bindings).to.have.length(1);
  });

  it("leaves alone what is gated, another scheduler's, finished or going", async () => {
    bench.api.put(NODES, node('n1'));
    bench.api.put(PODS, pod('gated', '100m', { schedulingGates: [{ name: 'g' }] }));
    bench.api.put(PODS, pod('other', '100m', { schedulerName: 'other' }));
    bench.api.put(PODS, { ...pod('done'), status: { phase: 'Succeeded' } });
    const going = pod('going');
    going.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
    bench.api.put(PODS, going);
    await bench.time.advance(20_000);
    const names = bench.api.list<Pod>(PODS).filter(({ spec }) => spec.nodeName !== undefined);
    expect(names).to.deep.equal([]);
    bench.api.put(PODS, pod('gated'));
    await bench.time.settle();
    expect(bench.nodeOf('gated')).to.equal('n1');
  });

  it('frees the place of a pod that finished', async () => {
    bench.api.put(NODES, node('n1'));
    await bench.create(pod('a', '1'));
    await bench.time.settle();
    await bench.create(pod('b', '1'));
    await bench.time.advance(30_000);
    expect(bench.nodeOf('b')).to.equal(undefined);
    const done = structuredClone(bench.api.get(PODS, 'd', 'a') as Pod);
    bench.api.put(PODS, { ...done, status: { phase: 'Failed' } });
    await bench.time.advance(10_000);
    expect(bench.nodeOf('b')).to.equal('n1');
  });

  it('keeps a pod away from pods of the namespaces that a term selects, as their labels are now', async () => {
    const zone = (name: string): Node => {
      const { metadata, ...rest } = node(name);
      return { ...rest, metadata: { ...metadata, labels: { zone: name } } };
    };
    const team = (name: string, labels: Record<string, string>): Namespace => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels },
      spec: {},
    });
    bench.api.put(NODES, zone('n1'));
    bench.api.put(NAMESPACES, team('x', { team: 'a' }));
    bench.api.put(NAMESPACES, team('y', {}));
    const placed = pod('other', '100m', { nodeName: 'n1' });
    bench.api.put(PODS, {
      ...placed,
      metadata: { ...placed.metadata, namespace: 'x', labels: { app: 'web' } },
    });
    await bench.time.settle();
    const far = (name: string, matchLabels: Record<string, string>): Promise<Pod> =>
      bench.create(
        pod(name, '100m', {
          affinity: {
            podAntiAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: [
                {
                  topologyKey: 'zone',
                  labelSelector: { matchLabels: { app: 'web' } },
                  namespaceSelector: { matchLabels },
                },
              ],
            },
          },
        }),
      );
    await far('from-a', { team: 'a' });
    await far('from-b', { team: 'b' });
    await bench.time.settle();
    expect(bench.nodeOf('from-b'), 'no namespace of team b has pods').to.equal('n1');
    expect(bench.nodeOf('from-a')).to.equal(undefined);
    expect(bench.condition('from-a')?.message).to.contain(
      "1 node(s) didn't match pod anti-affinity rules",
    );
    await far('from-all', {});
    await bench.time.settle();
    expect(bench.nodeOf('from-all'), 'an empty selector is all').to.equal(undefined);
    bench.api.put(NAMESPACES, team('x', { team: 'c' }));
    await bench.time.advance(10_000);
    expect(bench.nodeOf('from-a')).to.equal('n1');
    expect(bench.nodeOf('from-all')).to.equal(undefined);
  });

  it('goes on with the next pod when one cannot be decided', async () => {
    bench.api.put(NODES, node('n1'));
    bench.api.put(NODES, { ...node('n2'), spec: { taints: 'planted' as unknown as [] } });
    bench.api.put(PODS, pod('a'));
    await bench.time.advance(500);
    bench.api.remove(NODES, node('n2'));
    await bench.time.advance(20_000);
    expect(bench.nodeOf('a')).to.equal('n1');
  });
});

type Act =
  | { readonly what: 'pod'; readonly cpu: number }
  | { readonly what: 'delete' | 'finish' | 'fail' | 'node' | 'restart' }
  | { readonly what: 'wait'; readonly ms: number };

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constant('pod' as const),
      cpu: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      what: fc.constantFrom('delete' as const, 'finish' as const, 'fail' as const, 'node' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('restart' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant('wait' as const),
      ms: fc.integer({ min: 0, max: 3000 }),
    }),
  },
);

describe('scheduler, property', () => {
  it('never gives a node more than it has, and leaves no pod waiting that fits', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(act, { minLength: 5, maxLength: 60 }),
        fc.nat(),
        fc.constantFrom(0, 0, 7, 300),
        runActs,
      ),
      { numRuns: 60 },
    );
  });
});

async function runActs(acts: readonly Act[], seed: number, lagMs: number): Promise<void> {
  const bench = new Bench(seed, lagMs);
  const { api, time } = bench;
  let failing = 0;
  let count = 0;
  api.intercept(({ path }) => {
    if (!path.endsWith('/binding') || failing === 0) return undefined;
    failing--;
    throw conflict({ group: '', resource: 'pods/binding' }, 'x', 'planted');
  });
  api.put(NODES, node('n0', '1', '4'));
  for (const one of acts) {
    const pods = api.list<Pod>(PODS);
    const some = pods[time.randomU32() % Math.max(1, pods.length)];
    if (one.what === 'pod') api.put(PODS, pod(`p${count++}`, `${one.cpu * 100}m`));
    else if (one.what === 'node') api.put(NODES, node(`n${count++}`, '1', '4'));
    else if (one.what === 'fail') failing++;
    else if (one.what === 'restart') await bench.restart();
    else if (one.what === 'wait') await time.advance(one.ms);
    else if (some !== undefined && one.what === 'delete') api.remove(PODS, some);
    else if (some !== undefined && some.spec.nodeName !== undefined)
      api.put(PODS, { ...structuredClone(some), status: { phase: 'Succeeded' } });
    bench.expectNotOvercommitted();
  }
  failing = 0;
  await time.advance(20_000);
  bench.expectNotOvercommitted();
  for (const waiting of api.list<Pod>(PODS)) {
    if (waiting.spec.nodeName !== undefined || waiting.status?.phase === 'Succeeded') continue;
    expect(fits(api, waiting), `${waiting.metadata.name ?? ''} fits and waits`).to.equal(false);
  }
  await bench.stop();
}

/** The slow model: a node with room for the pod, by what the API server shows. */
function fits(api: FakeApi, waiting: Pod): boolean {
  return api.list<Node>(NODES).some(({ metadata, status }) => {
    const own = api
      .list<Pod>(PODS)
      .filter((other) => other.spec.nodeName === metadata.name)
      .filter((other) => other.status?.phase !== 'Succeeded');
    const used = own.reduce((sum, other) => sum + cpuMilli(other), 0);
    const { cpu = '0', pods = '0' } = status?.allocatable ?? {};
    return used + cpuMilli(waiting) <= Number(cpu) * 1000 && own.length < Number(pods);
  });
}
