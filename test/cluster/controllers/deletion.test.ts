import { expect } from 'chai';
import type { Deployment } from '../../../src/gen/kube-apps-v1.js';
import type { ConfigMap, Namespace } from '../../../src/gen/kube-core-v1.js';
import type { DeleteOptions } from '../../../src/cluster/client/client.js';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  EVENTS,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
} from '../../../src/cluster/client/resource-types.js';
import { recordingOf, statesAt } from './recording.js';
import { World } from './world.js';

const SETTLE_MS = 2000;

interface MapFacts {
  readonly owners?: readonly ConfigMap[];
  readonly blocks?: boolean;
  readonly finalizers?: string[];
}

class Garden {
  readonly world = new World();

  constructor() {
    this.world.start();
  }

  map(
    name: string,
    { owners = [], blocks = false, finalizers = [] }: MapFacts = {},
  ): Promise<ConfigMap> {
    const ownerReferences = owners.map(({ apiVersion, kind, metadata }) => ({
      apiVersion,
      kind,
      name: metadata.name ?? '',
      uid: metadata.uid ?? '',
      ...(blocks ? { blockOwnerDeletion: true } : {}),
    }));
    return this.world.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'default', ownerReferences, finalizers },
    });
  }

  async delete(name: string, options: DeleteOptions = {}): Promise<void> {
    const { time, client } = this.world;
    await time.run(client.resource(CONFIG_MAPS, 'default').delete(name, options));
    await time.advance(SETTLE_MS);
  }

  async release(name: string): Promise<void> {
    const { time, client } = this.world;
    const patch = { metadata: { finalizers: null } };
    await time.run(client.resource(CONFIG_MAPS, 'default').patch(name, 'merge', patch));
    await time.advance(SETTLE_MS);
  }

  names(): string[] {
    const all = this.world.api
      .list(CONFIG_MAPS, 'default')
      .map(({ metadata }) => metadata.name ?? '');
    return all.filter((name) => name !== 'kube-root-ca.crt');
  }

  get(name: string): ConfigMap | undefined {
    return this.world.api.get(CONFIG_MAPS, 'default', name);
  }
}

function web(namespace: string): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'nginx:1' }], terminationGracePeriodSeconds: 1 },
      },
    },
  };
}

describe('controllers: garbage collection', () => {
  it('follows the recorded rules of owners', async () => {
    const garden = new Garden();
    const { world } = garden;
    const o1 = await garden.map('o1');
    const o2 = await garden.map('o2');
    const lost = { ...o1, metadata: { ...o1.metadata, uid: 'gone' } };
    await garden.map('both', { owners: [o1, o2] });
    await garden.map('one', { owners: [o1] });
    await garden.map('lost', { owners: [lost] });
    await garden.map('blk', { owners: [o2], blocks: true, finalizers: ['x.io/hold'] });
    await world.time.advance(SETTLE_MS);
    expect(garden.names()).to.deep.equal(['blk', 'both', 'o1', 'o2', 'one']);

    await garden.delete('o1');
    expect(garden.names()).to.deep.equal(['blk', 'both', 'o2']);
    const owners = garden.get('both')?.metadata.ownerReferences ?? [];
    expect(owners.map(({ name }) => name)).to.deep.equal(['o2']);

    await garden.delete('o2', { propagationPolicy: 'Foreground' });
    expect(garden.names()).to.deep.equal(['blk', 'o2']);
    await garden.release('blk');
    expect(garden.names()).to.deep.equal([]);
    await world.stop();
  });

  it('takes ReplicaSets and pods after their Deployment', async () => {
    const { world } = new Garden();
    const { api, time, client } = world;
    await world.create(DEPLOYMENTS, web('default'));
    await time.runUntil(() => api.list(PODS).length === 2, 60_000);
    await time.run(client.resource(DEPLOYMENTS, 'default').delete('web'));
    await time.runUntil(() => api.list(PODS).length === 0, 60_000);
    expect(api.list(REPLICA_SETS)).to.have.lengthOf(0);
    await world.stop();
  });

  it('lets dependents of an orphaning owner live', async () => {
    const garden = new Garden();
    const owner = await garden.map('owner');
    await garden.map('a', { owners: [owner] });
    await garden.map('b', { owners: [owner], blocks: true });
    await garden.world.time.advance(SETTLE_MS);
    await garden.delete('owner', { propagationPolicy: 'Orphan' });
    expect(garden.names()).to.deep.equal(['a', 'b']);
    expect(garden.get('a')?.metadata.ownerReferences).to.equal(undefined);
    await garden.world.stop();
  });

  it('deletes chains in the foreground from the end', async () => {
    const garden = new Garden();
    const top = await garden.map('top');
    const middle = await garden.map('middle', { owners: [top], blocks: true });
    await garden.map('leaf', { owners: [middle], blocks: true, finalizers: ['x.io/hold'] });
    await garden.world.time.advance(SETTLE_MS);
    await garden.delete('top', { propagationPolicy: 'Foreground' });
    expect(garden.names()).to.deep.equal(['leaf', 'middle', 'top']);
    expect(garden.get('middle')?.metadata.finalizers).to.deep.equal(['foregroundDeletion']);
    await garden.release('leaf');
    expect(garden.names()).to.deep.equal([]);
    await garden.world.stop();
  });

  it('ends a circle of owners', async () => {
    const garden = new Garden();
    const { world } = garden;
    const a = await garden.map('a');
    const b = await garden.map('b', { owners: [a], blocks: true });
    const { apiVersion, kind, metadata } = b;
    const { name = '', uid = '' } = metadata;
    const ownerReferences = [{ apiVersion, kind, name, uid, blockOwnerDeletion: true }];
    const patch = { metadata: { ownerReferences } };
    await world.time.run(world.client.resource(CONFIG_MAPS, 'default').patch('a', 'merge', patch));
    await world.time.advance(SETTLE_MS);
    await garden.delete('a', { propagationPolicy: 'Foreground' });
    expect(garden.names()).to.deep.equal([]);
    await world.stop();
  });

  it('keeps what has an owner in a namespace without being in one', async () => {
    const garden = new Garden();
    const { world } = garden;
    const owner = await garden.map('owner');
    const { uid = '' } = owner.metadata;
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid };
    await world.create(NODES, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'odd', ownerReferences: [reference] },
      spec: {},
    });
    await garden.delete('owner');
    expect(world.api.get(NODES, '', 'odd')).not.to.equal(undefined);
    const reasons = world.api.list(EVENTS).map(({ reason }) => reason);
    expect(reasons).to.include('OwnerRefInvalidNamespace');
    await world.stop();
  });
});

describe('controllers: namespaces', () => {
  it('are emptied, pods first, as recorded', async () => {
    const world = new World();
    const { api, time, client } = world;
    world.start();
    world.addNamespace('doomed');
    await world.create(DEPLOYMENTS, web('doomed'));
    await world.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'held', namespace: 'doomed', finalizers: ['x.io/hold'] },
    });
    await time.runUntil(() => api.list(PODS, 'doomed').length === 2, 60_000);
    await time.run(client.resource(NAMESPACES).delete('doomed'));
    await time.advance(4000);
    expect(api.list(PODS, 'doomed'), 'others may not know yet').to.have.lengthOf(2);
    await time.advance(10_000);
    expect(api.list(PODS, 'doomed')).to.have.lengthOf(0);
    expect(api.list(DEPLOYMENTS, 'doomed')).to.have.lengthOf(0);
    expect(conditions(api.get(NAMESPACES, '', 'doomed'))).to.deep.equal(
      conditions(recordedNamespace(10_000)),
    );
    const patch = { metadata: { finalizers: null } };
    await time.run(client.resource(CONFIG_MAPS, 'doomed').patch('held', 'merge', patch));
    await time.runUntil(() => api.get(NAMESPACES, '', 'doomed') === undefined, 60_000);
    const last = world.history.filter(({ kind }) => kind === 'Namespace').at(-1);
    expect(conditions(last as Namespace)).to.deep.equal(conditions(recordedNamespace(15_700)));
    await world.stop();
  });

  it('wait when a part of discovery does not answer', async () => {
    const world = new World();
    const { api, time, client } = world;
    const recover = api.intercept(({ path }) =>
      path === '/apis/apps/v1' ? { code: 503, body: 'down' } : undefined,
    );
    world.start();
    world.addNamespace('doomed');
    await time.advance(1000);
    await time.run(client.resource(NAMESPACES).delete('doomed'));
    await time.advance(10_000);
    const [first] = conditions(api.get(NAMESPACES, '', 'doomed'));
    expect(first).to.deep.equal([
      'NamespaceDeletionDiscoveryFailure',
      'True',
      'DiscoveryFailed',
      'Discovery failed for some groups, 1 failing: apps/v1: down',
    ]);
    recover();
    await time.runUntil(() => api.get(NAMESPACES, '', 'doomed') === undefined, 60_000);
    await world.stop();
  });
});

function recordedNamespace(dt: number): Namespace | undefined {
  const [namespace] = statesAt(recordingOf('namespace-deletion'), 'namespaces', dt);
  return namespace as Namespace | undefined;
}

function conditions(namespace: Namespace | undefined): unknown[] {
  const name = namespace?.metadata.name ?? '';
  return (namespace?.status?.conditions ?? []).map(({ type, status, reason, message = '' }) => [
    type,
    status,
    reason,
    message.replaceAll(name, '<NAMESPACE>'),
  ]);
}
