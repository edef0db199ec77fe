import { expect } from 'chai';
import type { Deployment, ReplicaSet } from '../../../src/gen/kube-apps-v1.js';
import { apiError } from '../../../src/cluster/api/status.js';
import {
  DEPLOYMENTS,
  EVENTS,
  PODS,
  REPLICA_SETS,
} from '../../../src/cluster/client/resource-types.js';
import { World } from './world.js';

const TEMPLATE = {
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'c', image: 'nginx:1' }] },
};

const WEB: Deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: { replicas: 4, selector: { matchLabels: { app: 'web' } }, template: TEMPLATE },
};

const QUOTA = 'pods "web" is forbidden: exceeded quota: small';

/** Refuses creations below `path` until it is called. */
function refuse({ api }: World, path: string): () => void {
  const { status } = apiError(403, 'Forbidden', QUOTA);
  return api.intercept((call) =>
    call.method === 'POST' && call.path.endsWith(path) ? { code: 403, body: status } : undefined,
  );
}

function conditions({ api }: World): string[] {
  const { status } = api.get(DEPLOYMENTS, 'default', 'web') ?? {};
  return (status?.conditions ?? []).map(
    ({ type, status: is, reason = '', message = '' }) => `${type}=${is} ${reason}: ${message}`,
  );
}

describe('controllers: what is refused', () => {
  it('pods: one try at a time, a condition up to the Deployment, and all once it is allowed', async () => {
    const world = new World();
    const { api, time } = world;
    const allow = refuse(world, '/pods');
    world.start();
    await world.create(DEPLOYMENTS, WEB);
    await time.advance(100);
    const tries = api.calls.filter((call) => call.startsWith('POST') && call.endsWith('/pods'));
    const events = api.list(EVENTS).filter(({ reason }) => reason === 'FailedCreate');
    expect(events[0]?.message).to.equal(`Error creating: ${QUOTA}`);
    // Each failed batch of one doubles the wait.
    expect(tries.length).to.be.within(2, 8);
    const [set] = api.list(REPLICA_SETS) as [ReplicaSet];
    expect(
      set.status?.conditions?.map(({ type, reason, message }) => [type, reason, message]),
    ).to.deep.equal([['ReplicaFailure', 'FailedCreate', QUOTA]]);
    expect(conditions(world)).to.include(`ReplicaFailure=True FailedCreate: ${QUOTA}`);
    allow();
    await time.runUntil(() => api.list(PODS).length === 4, 60_000);
    await time.advance(2000);
    expect(conditions(world).some((text) => text.startsWith('ReplicaFailure'))).to.equal(false);
    await world.stop();
  });

  it('the ReplicaSet: said in the Deployment', async () => {
    const world = new World();
    const allow = refuse(world, '/replicasets');
    world.start();
    await world.create(DEPLOYMENTS, WEB);
    await world.time.advance(500);
    expect(conditions(world)[0]).to.match(
      /^Progressing=False ReplicaSetCreateError: Failed to create new replica set "web-\w+": pods/,
    );
    allow();
    await world.time.runUntil(() => world.api.list(PODS).length === 4, 60_000);
    await world.stop();
  });

  it('a name that something else has: another one is found', async () => {
    const probe = new World();
    probe.start();
    await probe.create(DEPLOYMENTS, WEB);
    await probe.time.advance(500);
    const taken = probe.api.list(REPLICA_SETS)[0]?.metadata.name ?? '';
    await probe.stop();

    const world = new World();
    const { api, time } = world;
    await world.create(REPLICA_SETS, {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: { name: taken, namespace: 'default' },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'other' } },
        template: { ...TEMPLATE, metadata: { labels: { app: 'other' } } },
      },
    });
    world.start();
    await world.create(DEPLOYMENTS, WEB);
    await time.runUntil(() => api.list(PODS).length === 4, 60_000);
    await time.advance(1000);
    expect(api.get(DEPLOYMENTS, 'default', 'web')?.status?.collisionCount).to.equal(1);
    const names = api.list(REPLICA_SETS).map(({ metadata }) => metadata.name);
    expect(names).to.have.lengthOf(2).and.to.include(taken);
    await world.stop();
  });
});
