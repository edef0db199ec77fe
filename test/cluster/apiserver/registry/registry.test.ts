import { expect } from 'chai';
import type { Deployment } from '../../../../src/gen/kube-apps-v1.js';
import type { ConfigMap } from '../../../../src/gen/kube-core-v1.js';
import type { Status, Table } from '../../../../src/gen/kube-meta-v1.js';
import type { ApiCore } from '../../../support/api-core.js';
import { OpenWatch, revisionOf, send, type List } from '../../../support/api-requests.js';
import { namespaceOf, OneStore } from '../../../support/one-store.js';

const MERGE = { 'content-type': 'application/merge-patch+json' };
const STRATEGIC = { 'content-type': 'application/strategic-merge-patch+json' };
const JSON_PATCH = { 'content-type': 'application/json-patch+json' };

function configMap(name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

function deployment(name: string): Deployment {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  };
}

describe('registry', () => {
  let one: OneStore;
  let api: ApiCore;
  let count = 0;
  let namespace: string;
  let maps: string;

  before(async () => {
    one = await OneStore.start();
    api = await one.server();
  });

  after(() => one.stop());

  beforeEach(async () => {
    namespace = await namespaceOf(api, `ns-${count++}`);
    maps = `${namespace}/configmaps`;
  });

  it('counts the generation of the spec, not of metadata and status', async () => {
    const path = `${namespace.replace('/api/v1', '/apis/apps/v1')}/deployments`;
    const made = await send(api, 'POST', path, { body: deployment('d') });
    expect(made.body.metadata.generation).to.equal(1);
    const generations = [];
    const patches = [
      { metadata: { labels: { a: 'b' } } },
      { spec: { replicas: 3 } },
      { spec: { replicas: 3 } },
      { metadata: { generation: 77 } },
      { spec: { replicas: 4 }, status: { replicas: 9 } },
    ];
    for (const body of patches) {
      const patched = await send<Deployment>(api, 'PATCH', `${path}/d`, { headers: MERGE, body });
      generations.push(patched.body.metadata.generation);
    }
    expect(generations).to.deep.equal([1, 2, 2, 2, 3]);
    const status = { spec: { replicas: 9 }, status: { observedGeneration: 3 } };
    const extras = { headers: MERGE, body: status };
    const { body } = await send<Deployment>(api, 'PATCH', `${path}/d/status`, extras);
    expect(body.metadata.generation).to.equal(3);
    expect(body.spec?.replicas).to.equal(4);
    expect(body.status?.observedGeneration).to.equal(3);
    const scale = { headers: MERGE, body: { spec: { replicas: 1 } } };
    expect((await send(api, 'PATCH', `${path}/d/scale`, scale)).status).to.equal(200);
    const headers = { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' };
    const table = await send<Table>(api, 'GET', `${path}/d/scale`, { headers });
    const titles = table.body.columnDefinitions?.map(({ name }) => name);
    expect(titles).to.deep.equal(['Name', 'Desired', 'Available', 'Age']);
    expect(table.body.rows?.[0]?.cells?.slice(0, 3)).to.deep.equal(['d', 1, 0]);
    expect((await send(api, 'GET', `${path}/d`)).body.metadata.generation).to.equal(4);
  });

  it('keeps what a finalizer holds, and removes it with the last one', async () => {
    const body = configMap('a');
    body.metadata.finalizers = ['x/one', 'x/two'];
    const made = await send(api, 'POST', maps, { body });
    const watch = await OpenWatch.open(api, maps, {
      resourceVersion: String(revisionOf(made.body)),
    });
    const marked = await send(api, 'DELETE', `${maps}/a`);
    expect(marked.status).to.equal(200);
    expect(marked.body.metadata.deletionTimestamp).to.be.a('string');
    expect((await send(api, 'DELETE', `${maps}/a`)).body).to.deep.equal(marked.body);
    const added = { metadata: { finalizers: ['x/one', 'x/two', 'x/three'] } };
    const refused = await send(api, 'PATCH', `${maps}/a`, { headers: MERGE, body: added });
    expect(refused.status).to.equal(422);
    for (const finalizers of [['x/two'], []]) {
      const patch = { headers: MERGE, body: { metadata: { finalizers } } };
      expect((await send(api, 'PATCH', `${maps}/a`, patch)).status).to.equal(200);
    }
    expect((await send(api, 'GET', `${maps}/a`)).status).to.equal(404);
    await send(api, 'GET', maps);
    watch.stop();
    expect(watch.events.map(({ type }) => type)).to.deep.equal(['MODIFIED', 'MODIFIED', 'DELETED']);
  });

  it('gives generated names, and refuses an object without any', async () => {
    const body = { ...configMap(''), metadata: { generateName: `${'n'.repeat(80)}` } };
    const names = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const { status, body: made } = await send(api, 'POST', maps, { body });
      expect(status).to.equal(201);
      expect(made.metadata.name).to.match(/^n{58}[b-z2-9]{5}$/);
      names.add(made.metadata.name ?? '');
    }
    expect(names.size).to.equal(20);
    const none = await send<Status>(api, 'POST', maps, { body: configMap('') });
    expect(none.status).to.equal(422);
    expect(none.body.message).to.equal(
      'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    );
  });

  it('writes nothing in a dry run, and shows what would be', async () => {
    const { body: before } = await send<List>(api, 'GET', maps);
    const query = { dryRun: 'All' };
    const made = await send(api, 'POST', maps, { query, body: configMap('a') });
    expect(made.status).to.equal(201);
    expect(made.body.metadata.uid).to.be.a('string');
    expect(made.body.metadata.resourceVersion).to.equal(undefined);
    const stored = (await send(api, 'POST', maps, { body: configMap('b') })).body;
    const patch = { query, headers: MERGE, body: { data: { x: 'y' } } };
    const patched = await send<ConfigMap>(api, 'PATCH', `${maps}/b`, patch);
    expect(patched.body.data).to.deep.equal({ x: 'y' });
    expect((await send(api, 'DELETE', `${maps}/b`, { query })).status).to.equal(200);
    expect((await send(api, 'DELETE', maps, { query })).status).to.equal(200);
    expect((await send(api, 'POST', maps, { query, body: configMap('b') })).status).to.equal(409);
    expect((await send(api, 'GET', `${maps}/b`)).body).to.deep.equal(stored);
    const { body: after } = await send<List>(api, 'GET', maps);
    expect(revisionOf(after)).to.equal(revisionOf(before) + 1);
  });

  it('creates by PUT only kinds that allow it', async () => {
    const leases = `${namespace.replace('/api/v1', '/apis/coordination.k8s.io/v1')}/leases`;
    const metadata = { name: 'l' };
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: {} };
    const made = await send(api, 'PUT', `${leases}/l`, { body: lease });
    expect(made.status).to.equal(201);
    expect((await send(api, 'PUT', `${leases}/l`, { body: made.body })).status).to.equal(200);
    // A lease that is there is replaced only by who read it.
    expect((await send(api, 'PUT', `${leases}/l`, { body: lease })).status).to.equal(422);
    expect((await send(api, 'PUT', `${maps}/a`, { body: configMap('a') })).status).to.equal(404);
  });

  it('refuses writes whose uid or resourceVersion is another', async () => {
    const made = (await send(api, 'POST', maps, { body: configMap('a') })).body;
    const old = { ...configMap('a'), metadata: { ...made.metadata } };
    await send(api, 'PATCH', `${maps}/a`, { headers: MERGE, body: { data: { x: 'y' } } });
    const replaced = await send<Status>(api, 'PUT', `${maps}/a`, { body: old });
    expect(replaced.status).to.equal(409);
    expect(replaced.body.reason).to.equal('Conflict');
    expect(replaced.body.message).to.equal(
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    );
    const { resourceVersion } = made.metadata;
    const patch = { headers: MERGE, body: { metadata: { resourceVersion } } };
    expect((await send(api, 'PATCH', `${maps}/a`, patch)).status).to.equal(409);
    for (const preconditions of [{ uid: 'x' }, { resourceVersion }]) {
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions };
      expect((await send(api, 'DELETE', `${maps}/a`, { body })).status).to.equal(409);
    }
    const other = { ...configMap('a'), metadata: { name: 'a', uid: 'x' } };
    expect((await send(api, 'PUT', `${maps}/a`, { body: other })).status).to.equal(409);
    expect((await send<ConfigMap>(api, 'GET', `${maps}/a`)).body.data).to.deep.equal({ x: 'y' });
  });

  it('writes nothing when nothing changes', async () => {
    const made = (await send(api, 'POST', maps, { body: configMap('a', { x: 'y' }) })).body;
    const patch = { headers: MERGE, body: { data: { x: 'y' } } };
    expect((await send(api, 'PATCH', `${maps}/a`, patch)).body).to.deep.equal(made);
    expect((await send(api, 'PUT', `${maps}/a`, { body: made })).body).to.deep.equal(made);
  });

  it('keeps kind and apiVersion, whatever a patch says', async () => {
    const made = (await send(api, 'POST', maps, { body: configMap('a') })).body;
    const others = [{ kind: 'Foo' }, { apiVersion: 'v2' }, { metadata: null }, { kind: 5 }];
    for (const body of others) {
      const { status } = await send(api, 'PATCH', `${maps}/a`, { headers: MERGE, body });
      expect(status, JSON.stringify(body)).to.be.oneOf([400, 422]);
    }
    const paths = ['', '/metadata', '/kind'];
    for (const path of paths) {
      const body = [{ op: 'replace', path, value: 'x' }];
      const { status } = await send(api, 'PATCH', `${maps}/a`, { headers: JSON_PATCH, body });
      expect(status, path).to.be.oneOf([400, 422]);
    }
    const patched = await send(api, 'PATCH', `${maps}/a`, {
      headers: STRATEGIC,
      body: { kind: 'Foo', apiVersion: 'v2' },
    });
    expect(patched.body).to.deep.equal(made);
    expect((await send(api, 'GET', `${maps}/a`)).body).to.deep.equal(made);
  });

  it('loses no patch of 40 clients at once', async () => {
    await send(api, 'POST', maps, { body: configMap('a') });
    const other = await one.server();
    const patches = Array.from({ length: 40 }, (_, i) =>
      send<ConfigMap>(i % 2 === 0 ? api : other, 'PATCH', `${maps}/a`, {
        headers: MERGE,
        body: { data: { [`k${i}`]: 'v' } },
      }),
    );
    const replies = await Promise.all(patches);
    expect(replies.map(({ status }) => status)).to.deep.equal(replies.map(() => 200));
    const { body } = await send<ConfigMap>(api, 'GET', `${maps}/a`);
    expect(Object.keys(body.data ?? {})).to.have.length(40);
  });

  it('changes one object in a transaction a patch, however many clients there are', async () => {
    await send(api, 'POST', maps, { body: configMap('a') });
    const updates = (): number =>
      [...api.core.storeDurations()]
        .filter(({ operation, type }) => operation === 'update' && type === 'configmaps')
        .reduce((sum, { seconds }) => sum + seconds.total, 0);
    const before = updates();
    const patches = Array.from({ length: 40 }, (_, i) =>
      send(api, 'PATCH', `${maps}/a`, { headers: MERGE, body: { data: { [`k${i}`]: 'v' } } }),
    );
    await Promise.all(patches);
    // The first one may find the cache behind.
    expect(updates() - before).to.be.within(40, 41);
  });

  it('deletes a collection by selector, and shows what it deleted', async () => {
    for (const [name, color] of [
      ['a', 'red'],
      ['b', 'blue'],
      ['c', 'red'],
    ] as const) {
      const body = { ...configMap(name), metadata: { name, labels: { color } } };
      await send(api, 'POST', maps, { body });
    }
    const query = { labelSelector: 'color=red' };
    const { body } = await send<List>(api, 'DELETE', maps, { query });
    expect(body.items.map(({ metadata }) => metadata.name)).to.deep.equal(['a', 'c']);
    const { body: rest } = await send<List>(api, 'GET', maps);
    expect(rest.items.map(({ metadata }) => metadata.name)).to.deep.equal(['b']);
  });

  it('shows pages of one state, while others write', async () => {
    for (let i = 0; i < 25; i++) await send(api, 'POST', maps, { body: configMap(`m${i + 10}`) });
    const names: string[] = [];
    let token = '';
    let remaining: number | undefined;
    const revisions = new Set<string>();
    for (;;) {
      const query = { limit: '10', continue: token };
      const { body } = await send<List>(api, 'GET', maps, { query });
      names.push(...body.items.map(({ metadata }) => metadata.name ?? ''));
      revisions.add(body.metadata.resourceVersion);
      if (remaining !== undefined)
        expect(remaining - body.items.length).to.equal(body.metadata.remainingItemCount ?? 0);
      remaining = body.metadata.remainingItemCount;
      token = body.metadata.continue ?? '';
      if (token === '') break;
      await send(api, 'DELETE', `${maps}/m${names.length + 15}`);
      await send(api, 'POST', maps, { body: configMap(`m${names.length}x`) });
    }
    expect(names).to.deep.equal(Array.from({ length: 25 }, (_, i) => `m${i + 10}`));
    expect(revisions.size).to.equal(1);
  });

  it('says what a strategic patch has where a number belongs, as recorded', async () => {
    const path = `${namespace.replace('/api/v1', '/apis/apps/v1')}/deployments`;
    await send(api, 'POST', path, { body: deployment('d') });
    const headers = { 'content-type': 'application/strategic-merge-patch+json' };
    const patch = { headers, body: { spec: { replicas: 'x' } } };
    const { status, body } = await send<Status>(api, 'PATCH', `${path}/d`, patch);
    expect(status).to.equal(422);
    expect(body.message).to.equal(
      ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32',
    );
  });
});
