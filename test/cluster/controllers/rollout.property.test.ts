/**
 * Deployments that are created, scaled, changed, paused and deleted at random, by controllers that
 * are killed between any two writes. Every state that the API server ever had is checked.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import type { Deployment } from '../../../src/gen/kube-apps-v1.js';
import type { DeleteOptions } from '../../../src/cluster/client/client.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import { DEPLOYMENTS, PODS, REPLICA_SETS } from '../../../src/cluster/client/resource-types.js';
import { HistoryCheck } from './history-check.js';
import { RemoteTransport, type Death } from './remote-transport.js';
import { World } from './world.js';

type Command =
  | { readonly do: 'scale'; readonly replicas: number }
  | { readonly do: 'image'; readonly image: number }
  | { readonly do: 'pause'; readonly paused: boolean }
  | { readonly do: 'note'; readonly note: number }
  | ({ readonly do: 'kill' } & Death)
  | { readonly do: 'lose'; readonly pod: number };

const IMMORTAL: Death = { writes: Infinity, losesAnswer: false };

interface Step {
  readonly command: Command;
  readonly waitMs: number;
}

interface Plan {
  readonly seed: number;
  readonly replicas: number;
  readonly strategy: Deployment['spec']['strategy'];
  readonly steps: readonly Step[];
  readonly end: DeleteOptions['propagationPolicy'];
}

const limits = fc
  .record({
    maxSurge: fc.integer({ min: 0, max: 2 }),
    maxUnavailable: fc.integer({ min: 0, max: 2 }),
  })
  .filter(({ maxSurge, maxUnavailable }) => maxSurge + maxUnavailable > 0);

const strategies: fc.Arbitrary<Plan['strategy']> = fc.oneof(
  {
    weight: 4,
    arbitrary: limits.map((rollingUpdate) => ({ type: 'RollingUpdate', rollingUpdate })),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'Recreate' }) },
);

const commands: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ do: fc.constant('scale' as const), replicas: fc.integer({ min: 0, max: 6 }) }),
  fc.record({ do: fc.constant('image' as const), image: fc.integer({ min: 0, max: 2 }) }),
  fc.record({ do: fc.constant('pause' as const), paused: fc.boolean() }),
  fc.record({ do: fc.constant('note' as const), note: fc.nat(9) }),
  fc.record({
    do: fc.constant('kill' as const),
    writes: fc.integer({ min: 1, max: 12 }),
    losesAnswer: fc.boolean(),
  }),
  fc.record({ do: fc.constant('lose' as const), pod: fc.nat(5) }),
);

const plans: fc.Arbitrary<Plan> = fc.record({
  seed: fc.nat(),
  replicas: fc.integer({ min: 1, max: 5 }),
  strategy: strategies,
  steps: fc.array(fc.record({ command: commands, waitMs: fc.nat(900) }), { maxLength: 14 }),
  end: fc.constantFrom('Background' as const, 'Foreground' as const),
});

function deploymentOf({ replicas, strategy }: Plan): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas,
      strategy,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'nginx:0' }], terminationGracePeriodSeconds: 1 },
      },
    },
  };
}

class Run {
  readonly world: World;
  private readonly plan: Plan;
  private transport: RemoteTransport | undefined;
  private readonly expected = { image: 'nginx:0', note: '' };

  constructor(plan: Plan) {
    this.plan = plan;
    this.world = new World(plan.seed);
  }

  async run(): Promise<void> {
    const { world } = this;
    const { api, time, client } = world;
    await this.restart();
    await world.create(DEPLOYMENTS, deploymentOf(this.plan));
    await time.runUntil(() => this.isSettled(), 60_000);
    for (const { command, waitMs } of this.plan.steps) {
      await this.do(command);
      await time.advance(waitMs);
    }
    await this.patch({ spec: { paused: false } });
    await this.restart();
    await time.runUntil(() => this.isSettled(), 600_000);
    const { metadata } = this.deployment();
    expect(metadata.annotations?.['user/note'] ?? '', 'no update is lost').to.equal(
      this.expected.note,
    );

    const { end } = this.plan;
    const options = end === undefined ? {} : { propagationPolicy: end };
    await time.run(client.resource(DEPLOYMENTS, 'default').delete('web', options));
    const left = () =>
      api.list(PODS).length + api.list(REPLICA_SETS).length + api.list(DEPLOYMENTS).length;
    await time.runUntil(() => left() === 0, 60_000);
    await world.stop();
  }

  private async do(command: Command): Promise<void> {
    switch (command.do) {
      case 'scale':
        return this.patch({ spec: { replicas: command.replicas } });
      case 'image': {
        this.expected.image = `nginx:${command.image}`;
        const containers = [{ name: 'c', image: this.expected.image }];
        return this.patch({ spec: { template: { spec: { containers } } } });
      }
      case 'pause':
        return this.patch({ spec: { paused: command.paused } });
      case 'note':
        this.expected.note = String(command.note);
        return this.patch({ metadata: { annotations: { 'user/note': this.expected.note } } });
      case 'kill':
        return this.restart(command);
      case 'lose': {
        const pods = this.world.api.list(PODS);
        const pod = pods[command.pod % Math.max(1, pods.length)];
        if (pod !== undefined) this.world.lose(pod);
      }
    }
  }

  private async patch(patch: object): Promise<void> {
    const { time, client } = this.world;
    const body = JSON.parse(JSON.stringify(patch)) as Record<string, never>;
    await time.run(client.resource(DEPLOYMENTS, 'default').patch('web', 'strategic', body));
    if (this.transport?.isDead === true) await this.restart();
  }

  private async restart(death: Death = IMMORTAL): Promise<void> {
    const { time, api } = this.world;
    this.transport = new RemoteTransport(time, api, death);
    await this.world.restart(restClient(this.transport));
  }

  private deployment(): Deployment {
    const deployment = this.world.api.get(DEPLOYMENTS, 'default', 'web');
    if (deployment === undefined) throw new Error('the Deployment is gone');
    return deployment;
  }

  private isSettled(): boolean {
    const { spec } = this.deployment();
    const pods = this.world.api.list(PODS);
    const isRight = pods.every(
      (pod) =>
        pod.spec.containers[0]?.image === this.expected.image &&
        pod.metadata.deletionTimestamp === undefined &&
        pod.status?.conditions?.[0]?.status === 'True',
    );
    return isRight && pods.length === spec.replicas && this.isReported(pods.length);
  }

  private isReported(count: number): boolean {
    const { metadata, status } = this.deployment();
    return (
      status?.observedGeneration === metadata.generation &&
      (status?.availableReplicas ?? 0) === count &&
      (status?.updatedReplicas ?? 0) === count
    );
  }
}

/** Found once: resizing by a cache, or by a status, that did not know of the last resize. */
const FOUND: readonly Plan[] = [
  {
    seed: 0,
    replicas: 1,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    steps: [
      { command: { do: 'kill', writes: 1, losesAnswer: false }, waitMs: 0 },
      { command: { do: 'pause', paused: false }, waitMs: 703 },
      { command: { do: 'image', image: 2 }, waitMs: 0 },
      { command: { do: 'kill', writes: 8, losesAnswer: true }, waitMs: 1 },
      { command: { do: 'image', image: 1 }, waitMs: 101 },
    ],
    end: 'Background',
  },
  {
    seed: 1138462971,
    replicas: 4,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 2 } },
    steps: [
      { command: { do: 'image', image: 1 }, waitMs: 453 },
      { command: { do: 'image', image: 0 }, waitMs: 81 },
      { command: { do: 'image', image: 0 }, waitMs: 1 },
    ],
    end: 'Background',
  },
];

describe('controllers: rollouts with controllers that are killed', () => {
  it('stay within their limits, end as wanted, and leave nothing', async function () {
    this.timeout(120_000);
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const run = new Run(plan);
        try {
          await run.run();
        } finally {
          await run.world.stop();
        }
        new HistoryCheck(run.world.lost).check(run.world.api.store.changesAfter(0));
      }),
      { numRuns: 40, examples: FOUND.map((plan) => [plan]) },
    );
  });
});
