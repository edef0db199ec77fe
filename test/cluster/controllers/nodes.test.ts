import { expect } from 'chai';
import type { Node, Pod, Toleration } from '../../../src/gen/kube-core-v1.js';
import { EVENTS, NODES, PODS } from '../../../src/cluster/client/resource-types.js';
import { recordingOf, statesAt } from './recording.js';
import { World } from './world.js';

const UNREACHABLE = 'node.kubernetes.io/unreachable';

function podOn(name: string, nodeName: string, tolerations: Toleration[]): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: { nodeName, containers: [{ name: 'c', image: 'x' }], tolerations },
  };
}

function tolerating(seconds: number): Toleration[] {
  const toleration = { operator: 'Exists', effect: 'NoExecute', tolerationSeconds: seconds };
  return [
    { key: UNREACHABLE, ...toleration },
    { key: 'node.kubernetes.io/not-ready', ...toleration },
  ];
}

function taintsOf(node: Node | undefined): string[] {
  return (node?.spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`);
}

function conditionsOf(object: Node | Pod | undefined): string[] {
  const conditions = object?.status?.conditions ?? [];
  return conditions.map(({ type, status, reason = '' }) => `${type}=${status} ${reason}`);
}

describe('controllers: nodes that are down', () => {
  it('become unknown, tainted, and lose their pods, as recorded', async () => {
    const world = new World();
    const { api, time, client } = world;
    world.start();
    await world.create(PODS, podOn('short', 'node-c', tolerating(3)));
    await world.create(PODS, podOn('default-tol', 'node-c', tolerating(300)));
    await time.advance(2000);
    const node = () => api.get(NODES, '', 'node-c');
    world.down.add('node-c');
    await time.advance(34_000);
    expect(taintsOf(node())).to.deep.equal([]);
    await time.advance(12_000);
    const real = statesAt(recordingOf('node-lifecycle'), 'nodes', 48_400)[0];
    expect(taintsOf(node())).to.deep.equal(taintsOf(real as Node));
    expect(conditionsOf(node()).slice(0, 1)).to.deep.equal(['Ready=Unknown NodeStatusUnknown']);
    expect(conditionsOf(api.get(PODS, 'default', 'default-tol'))).to.deep.equal(['Ready=False ']);
    await time.advance(4000);
    expect(api.get(PODS, 'default', 'short')?.metadata.deletionTimestamp).not.to.equal(undefined);
    expect(conditionsOf(api.get(PODS, 'default', 'short'))).to.include(
      'DisruptionTarget=True DeletionByTaintManager',
    );

    world.down.delete('node-c');
    const ready = { type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:01:00Z' };
    const patch = { status: { conditions: [ready] } };
    await time.run(client.resource(NODES).patchStatus('node-c', 'strategic', patch));
    await time.advance(6000);
    expect(taintsOf(node())).to.deep.equal([]);
    await time.advance(300_000);
    expect(api.get(PODS, 'default', 'default-tol')).not.to.equal(undefined);

    const texts = api
      .list(EVENTS)
      .filter(({ source }) => source?.component !== 'default-scheduler')
      // The controller of the recording had begun before.
      .filter(({ reason }) => reason !== 'RegisteredNode')
      .map(({ type = '', reason = '', message = '' }) => `${type} ${reason} ${message}`);
    expect(texts.sort()).to.deep.equal([
      'Normal NodeNotReady Node node-c status is now: NodeNotReady',
      'Normal TaintManagerEviction Cancelling deletion of Pod default/default-tol',
      'Normal TaintManagerEviction Marking for deletion Pod default/short',
      'Warning NodeNotReady Node is not ready',
      'Warning NodeNotReady Node is not ready',
    ]);
    await world.stop();
  });

  it('keep their pods when all nodes seem down: it may be the controller that is cut off', async () => {
    const world = new World();
    const { api, time } = world;
    world.start();
    await world.create(PODS, podOn('a', 'node-a', tolerating(0)));
    for (const { metadata } of api.list(NODES)) world.down.add(metadata.name ?? '');
    await time.advance(120_000);
    for (const node of api.list(NODES)) {
      expect(taintsOf(node)).to.deep.equal([`${UNREACHABLE}:NoSchedule`]);
    }
    expect(api.get(PODS, 'default', 'a')?.metadata.deletionTimestamp).to.equal(undefined);
    await world.stop();
  });

  it('are emptied no faster than one in ten seconds a zone', async () => {
    const world = new World();
    const { api, time } = world;
    for (let index = 0; index < 6; index += 1) world.addNode(`more-${index}`, 'zone-1');
    world.start();
    await time.advance(1000);
    for (const name of ['more-0', 'more-1', 'more-2']) world.down.add(name);
    const emptied = () =>
      api.list(NODES).filter((node) => taintsOf(node).includes(`${UNREACHABLE}:NoExecute`)).length;
    await time.runUntil(() => emptied() === 1, 60_000);
    await time.advance(8000);
    expect(emptied()).to.equal(1);
    await time.advance(30_000);
    expect(emptied()).to.equal(3);
    await world.stop();
  });

  it('leave a controller that has just started as much time as any other', async () => {
    const world = new World();
    const { api, time } = world;
    world.down.add('node-c');
    await time.advance(100_000);
    world.start();
    await time.advance(35_000);
    expect(taintsOf(api.get(NODES, '', 'node-c'))).to.deep.equal([]);
    await time.advance(15_000);
    expect(taintsOf(api.get(NODES, '', 'node-c'))).to.have.lengthOf(2);
    await world.stop();
  });
});

describe('controllers: taints and lost pods', () => {
  it('delete at once what does not tolerate a taint, as recorded', async () => {
    const world = new World();
    const { api, time, client } = world;
    world.start();
    const all = { operator: 'Exists' };
    const own = { key: 'k', operator: 'Equal', value: 'v', effect: 'NoExecute' };
    await world.create(PODS, podOn('plain', 'node-c', tolerating(300)));
    await world.create(PODS, podOn('tolerant', 'node-c', [all]));
    await world.create(PODS, podOn('bounded', 'node-c', [{ ...own, tolerationSeconds: 20 }]));
    await time.advance(1000);
    const taints = [{ key: 'k', value: 'v', effect: 'NoExecute' }];
    await time.run(client.resource(NODES).patch('node-c', 'merge', { spec: { taints } }));
    await time.advance(3000);
    const names = () => api.list(PODS).map(({ metadata }) => metadata.name);
    expect(names()).to.deep.equal(['bounded', 'tolerant']);
    await time.advance(14_000);
    expect(names()).to.deep.equal(['bounded', 'tolerant']);
    await time.advance(5000);
    expect(names()).to.deep.equal(['tolerant']);
    await world.stop();
  });

  it('removes pods of a node that is gone for a while', async () => {
    const world = new World();
    const { api, time } = world;
    world.start();
    world.addNode('gone', 'zone-1');
    await world.create(PODS, podOn('lost', 'gone', [{ operator: 'Exists' }]));
    await time.advance(1000);
    const node = api.get(NODES, '', 'gone');
    if (node !== undefined) api.remove(NODES, node);
    await time.advance(30_000);
    expect(api.get(PODS, 'default', 'lost')?.status?.phase).to.equal('Running');
    await time.runUntil(() => api.get(PODS, 'default', 'lost') === undefined, 60_000);
    const states = world.history.filter(({ kind }) => kind === 'Pod') as Pod[];
    const failed = states.filter(({ status }) => status?.phase === 'Failed');
    expect(conditionsOf(failed[0])).to.include('DisruptionTarget=True DeletionByPodGC');
    await world.stop();
  });

  it('says when a node comes and when it goes', async () => {
    const world = new World();
    const { api, time } = world;
    world.start();
    await time.advance(1000);
    const messages = () => api.list(EVENTS).map(({ message }) => message);
    expect(messages()).to.include('Node node-a event: Registered Node node-a in Controller');
    world.addNode('late', 'zone-1');
    await time.advance(6000);
    expect(messages()).to.include('Node late event: Registered Node late in Controller');
    const node = api.get(NODES, '', 'late');
    if (node !== undefined) api.remove(NODES, node);
    await time.advance(6000);
    expect(messages()).to.include('Node late event: Removing Node late from Controller');
    expect(messages()).have.length(5);
    await world.stop();
  });

  it('tells kubelets how long they may keep what they have read, by the number of nodes', async () => {
    const world = new World();
    const { api, time } = world;
    const annotation = (name: string) =>
      api.get(NODES, '', name)?.metadata.annotations?.['node.alpha.kubernetes.io/ttl'];
    world.start();
    await time.advance(1000);
    expect(annotation('node-a')).to.equal('0');
    for (let i = 0; i < 100; i++) world.addNode(`more-${i}`, 'zone-1');
    await time.advance(1000);
    expect(annotation('more-99')).to.equal('15');
    await world.stop();
  });
});
