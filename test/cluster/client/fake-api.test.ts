import { expect } from 'chai';
import { ApiError } from '../../../src/cluster/api/status.js';
import { NAMESPACES, PODS } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import type { Pod } from '../../../src/gen/kube-core-v1.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';

function pod(name: string, labels: Record<string, string> = {}): Pod {
  const spec = { containers: [{ name: 'c', image: 'busybox' }] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec };
}

async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError) return `${error.code} ${error.reason}`;
    throw error;
  }
  return 'none';
}

describe('fake API server', () => {
  const api = (): FakeApi => new FakeApi(new VirtualTime());

  it('keeps revisions, conflicts, generation and status as the real one does', async () => {
    const pods = restClient(api()).resource(PODS, 'default');
    const first = await pods.create({ ...pod('a'), status: { phase: 'Running' } });
    expect(first.status?.phase).to.equal('Pending');
    expect(first.metadata.generation).to.equal(1);
    const second = await pods.updateStatus({ ...first, status: { phase: 'Running' } });
    expect(second.metadata.generation).to.equal(1);
    const labelled = { ...second, metadata: { ...second.metadata, labels: { a: 'b' } } };
    const third = await pods.update({ ...labelled, status: { phase: 'Failed' } });
    expect(third.status?.phase).to.equal('Running');
    expect(await reasonOf(pods.update(second))).to.equal('409 Conflict');
    expect(await reasonOf(pods.create(pod('a')))).to.equal('409 AlreadyExists');
    expect(await reasonOf(pods.get('none'))).to.equal('404 NotFound');
    const same = await pods.update(third);
    expect(same.metadata.resourceVersion).to.equal(third.metadata.resourceVersion);
  });

  it('patches lists by their keys', async () => {
    const pods = restClient(api()).resource(PODS, 'default');
    await pods.create(pod('a'));
    const condition = (type: string, status: string): object => ({ type, status });
    for (const [type, status] of [
      ['Ready', 'False'],
      ['Other', 'True'],
      ['Ready', 'True'],
    ] as const) {
      const conditions = [condition(type, status) as Record<string, string>];
      await pods.patchStatus('a', 'strategic', { status: { conditions } });
    }
    const patched = await pods.patch('a', 'json', [
      { op: 'add', path: '/metadata/labels/x', value: 'y' },
    ]);
    expect(
      patched.status?.conditions?.map(({ type, status }) => `${type} ${status}`),
    ).to.have.members(['Ready True', 'Other True']);
    expect(patched.metadata.labels).to.deep.equal({ x: 'y' });
  });

  it('deletes bound pods gracefully, and what has finalizers last', async () => {
    const fake = api();
    const client = restClient(fake);
    const pods = client.resource(PODS, 'default');
    await pods.create(pod('a'));
    const target = { apiVersion: 'v1', kind: 'Node', name: 'n1' };
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'a' }, target };
    await pods.createSubresource('a', 'binding', binding);
    expect(await reasonOf(pods.createSubresource('a', 'binding', binding))).to.equal(
      '409 Conflict',
    );
    await pods.delete('a');
    expect((await pods.get('a')).metadata.deletionGracePeriodSeconds).to.equal(30);
    await pods.delete('a', { gracePeriodSeconds: 0 });
    expect(fake.list(PODS)).to.deep.equal([]);

    const namespaces = client.resource(NAMESPACES);
    await namespaces.create({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'x' },
      spec: {},
    });
    await namespaces.delete('x');
    const going = await namespaces.get('x');
    expect(going.status?.phase).to.equal('Terminating');
    await namespaces.updateSubresource('x', 'finalize', { ...going, spec: { finalizers: [] } });
    expect(fake.list(NAMESPACES)).to.deep.equal([]);
  });

  it('lists pages of one revision', async () => {
    const fake = api();
    const pods = restClient(fake).resource(PODS);
    for (const name of ['a', 'b', 'c', 'd']) fake.put(PODS, inDefault(pod(name, { app: 'x' })));
    fake.put(PODS, inDefault(pod('e', { app: 'y' })));
    const first = await pods.list({ limit: 2, labelSelector: 'app in (x, z),!none' });
    fake.remove(PODS, inDefault(pod('c')));
    const token = first.metadata.continue ?? '';
    const rest = await pods.list({ limit: 2, labelSelector: 'app=x', continue: token });
    const names = [...first.items, ...rest.items].map(({ metadata }) => metadata.name);
    expect(names).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(rest.metadata.resourceVersion).to.equal(first.metadata.resourceVersion);
    fake.compact();
    expect(await reasonOf(pods.list({ limit: 2, continue: token }))).to.equal('410 Expired');
  });

  it('shows watchers what comes to match and what ceases to', async () => {
    const fake = api();
    const pods = restClient(fake).resource(PODS, 'default');
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { type, object } of pods.watch({ labelSelector: 'app=x' })) {
        const name = 'name' in object.metadata ? object.metadata.name : '';
        seen.push(`${type} ${String(name)}`);
      }
    })();
    fake.put(PODS, inDefault(pod('a', { app: 'x' })));
    fake.put(PODS, inDefault(pod('b')));
    await new Promise((resolve) => setImmediate(resolve));
    fake.put(PODS, inDefault(pod('b', { app: 'x' })));
    fake.put(PODS, inDefault(pod('b', { app: 'x', more: 'y' })));
    fake.put(PODS, inDefault(pod('b')));
    fake.put(PODS, inDefault(pod('c', { app: 'x' })));
    fake.endWatches();
    await watching;
    expect(seen).to.deep.equal(['ADDED a', 'ADDED b', 'MODIFIED b', 'DELETED b', 'ADDED c']);
    expect(fake.openWatches).to.equal(0);
  });
});

function inDefault(object: Pod): Pod {
  return { ...object, metadata: { ...object.metadata, namespace: 'default' } };
}
