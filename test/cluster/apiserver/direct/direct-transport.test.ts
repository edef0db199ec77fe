import { expect } from 'chai';
import type { ConfigMap } from '../../../../src/gen/kube-core-v1.js';
import { KINDS } from '../../../../src/cluster/api/kinds/registry.js';
import type { JsonValue } from '../../../../src/cluster/api/object.js';
import { isApiError } from '../../../../src/cluster/api/status.js';
import { TransportError, type KubeClient } from '../../../../src/cluster/client/client.js';
import {
  CONFIG_MAPS,
  NAMESPACES,
  SERVICES,
} from '../../../../src/cluster/client/resource-types.js';
import { until } from '../../../support/until.js';
import { WholeApiServer } from '../../../support/whole-api-server.js';

function configMap(name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
}

/** Revisions, uids, times and addresses differ from call to call; nothing else may. */
function masked(value: unknown): unknown {
  const text = JSON.stringify(value, (name, field: unknown) => {
    if (/^(uid|resourceVersion|creationTimestamp|deletionTimestamp|time)$/.test(name)) return '*';
    if (/^clusterIPs?$/.test(name)) return '*';
    return field;
  });
  return text === undefined ? undefined : (JSON.parse(text) as unknown);
}

describe('direct calls', () => {
  let server: WholeApiServer;
  let count = 0;
  let namespace: string;
  let direct: KubeClient;
  let remote: KubeClient;

  before(async () => {
    server = await WholeApiServer.start();
  });

  after(() => server.stop());

  beforeEach(async () => {
    direct = server.direct();
    remote = server.https();
    namespace = `ns-${count++}`;
    await direct.resource(NAMESPACES).create({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
      spec: {},
    });
  });

  afterEach(() => {
    direct.close();
    remote.close();
  });

  it('are answered as calls over HTTPS are', async () => {
    const outcomes = await Promise.all(
      [direct, remote].map(async (client, i) => {
        const maps = client.resource(CONFIG_MAPS, namespace);
        const services = client.resource(SERVICES, namespace);
        const name = i === 0 ? 'first-one' : 'other-one';
        const seen: unknown[] = [];
        const note = async (call: Promise<unknown>): Promise<void> => {
          const outcome = await call.catch((error: unknown) => error);
          const text = JSON.stringify(masked(statusOf(outcome)))
            .replaceAll(name, '?')
            .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'uid');
          seen.push(JSON.parse(text) as unknown);
        };
        const labels = { of: name };
        await note(maps.create({ ...configMap(name), metadata: { name, labels } }));
        await note(maps.create(configMap(name)));
        await note(maps.create(configMap('No good name')));
        await note(maps.get(name));
        await note(maps.get('absent'));
        await note(maps.list({ labelSelector: `of=${name}` }));
        await note(maps.list({ labelSelector: '!!' }));
        await note(maps.patch(name, 'merge', { data: { x: 'y' } }));
        await note(maps.patch(name, 'json', [{ op: 'test', path: '/data/x', value: 'z' }]));
        await note(maps.update({ ...configMap(name), metadata: { name, resourceVersion: '1' } }));
        await note(maps.update(configMap(name, { z: 'z' }), { dryRun: true }));
        await note(
          services.create({
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name },
            spec: { ports: [{ port: 80 }] },
          }),
        );
        await note(services.delete(name));
        await note(maps.delete(name, { preconditions: { uid: 'x' } }));
        await note(maps.delete(name));
        await note(maps.delete(name));
        await note(client.getPath('/version'));
        await note(client.getPath('/api/v1'));
        await note(client.getPath('/absent'));
        return seen;
      }),
    );
    expect(outcomes[0]).to.have.length(19);
    for (const [i, outcome] of (outcomes[0] ?? []).entries()) {
      expect(outcome, `call ${i}`).to.deep.equal(outcomes[1]?.[i]);
    }
  });

  it('page a list as HTTPS does', async () => {
    const maps = [direct, remote].map((client) => client.resource(CONFIG_MAPS, namespace));
    for (let i = 0; i < 5; i++) await maps[0]?.create(configMap(`m${i}`));
    const pages = await Promise.all(
      maps.map(async (own) => {
        const first = await own.list({ limit: 2 });
        const second = await own.list({ limit: 2, continue: first.metadata.continue ?? '' });
        const last = await own.list({ limit: 2, continue: second.metadata.continue ?? '' });
        return [first, second, last].map((list) => JSON.parse(JSON.stringify(list)) as JsonValue);
      }),
    );
    expect(pages[0]).to.deep.equal(pages[1]);
    const [, , last] = pages[0] as unknown as { metadata: object; items: unknown[] }[];
    expect(last?.items).to.have.length(1);
    expect(last?.metadata).to.have.all.keys('resourceVersion');
  });

  it('share frozen objects with the cache', async () => {
    const maps = direct.resource(CONFIG_MAPS, namespace);
    const made = await maps.create(configMap('a', { x: 'y' }));
    expect(Object.isFrozen(made.metadata)).to.equal(true);
    const [item] = (await maps.list()).items;
    expect(Object.isFrozen(item?.data)).to.equal(true);
    expect((await maps.list()).items[0]).to.equal(item);
    expect(await maps.get('a')).to.equal(item);
  });

  it('do not see what a caller does to its objects afterwards', async () => {
    const maps = direct.resource(CONFIG_MAPS, namespace);
    const given = configMap('a', { x: 'y' });
    const creating = maps.create(given);
    given.data = { x: 'z' };
    await creating;
    given.metadata.labels = { a: 'b' };
    expect((await maps.get('a')).metadata.labels).to.equal(undefined);
  });

  it('watch until the caller leaves, aborts, or closes the client', async () => {
    const maps = direct.resource(CONFIG_MAPS, namespace);
    const { metadata } = await maps.create(configMap('a'));
    const { resourceVersion = '' } = metadata;
    const leave = new AbortController();
    const seen: string[][] = [[], [], []];
    const follow = async (i: number, signal?: AbortSignal): Promise<void> => {
      const options = { resourceVersion, ...(signal === undefined ? {} : { signal }) };
      for await (const { type, object } of maps.watch(options)) {
        seen[i]?.push(`${type} ${'name' in object.metadata ? object.metadata.name : ''}`);
        if (i === 0) return;
      }
    };
    const follows = [follow(0), follow(1, leave.signal), follow(2)];
    await maps.create(configMap('b'));
    await until(() => seen.every((own) => own.length === 1));
    await follows[0];
    leave.abort();
    await follows[1];
    await maps.create(configMap('c'));
    await until(() => seen[2]?.length === 2);
    direct.close();
    await follows[2];
    expect(seen).to.deep.equal([['ADDED b'], ['ADDED b'], ['ADDED b', 'ADDED c']]);
    const late = await maps.get('a').catch((error: unknown) => error);
    expect(late).to.be.instanceOf(TransportError);
  });

  it('end as soon as their caller leaves', async () => {
    const maps = direct.resource(CONFIG_MAPS, namespace);
    const leave = new AbortController();
    // A revision of the future is waited for.
    const options = { resourceVersion: '999999999', signal: leave.signal };
    const list = maps.list(options).catch((error: unknown) => error);
    leave.abort();
    expect(await list).to.be.instanceOf(TransportError);
    const gone = maps.get('a', { signal: leave.signal }).catch((error: unknown) => error);
    expect(await gone).to.be.instanceOf(TransportError);
  });

  it('refuse a watch as HTTPS does', async () => {
    for (const client of [direct, remote]) {
      const maps = client.resource(CONFIG_MAPS, namespace);
      const watch = maps.watch({ labelSelector: '!!' })[Symbol.asyncIterator]();
      const error = await watch.next().catch((failure: unknown) => failure);
      expect(isApiError(error, 'BadRequest')).to.equal(true);
    }
  });

  it('know all kinds', async () => {
    for (const kind of KINDS) {
      const { resource, group, version } = kind;
      const path =
        group === '' ? `/api/${version}/${resource}` : `/apis/${group}/${version}/${resource}`;
      expect(await direct.getPath(path), path).to.have.property('kind', `${kind.kind}List`);
    }
  });
});

function statusOf(outcome: unknown): unknown {
  return outcome instanceof Error && 'status' in outcome ? outcome.status : outcome;
}
