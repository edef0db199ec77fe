import { expect } from 'chai';
import type { Service } from '../../../../src/gen/kube-core-v1.js';
import type { Status } from '../../../../src/gen/kube-meta-v1.js';
import type { ApiCore } from '../../../support/api-core.js';
import { send, type Reply } from '../../../support/api-requests.js';
import { namespaceOf, OneStore } from '../../../support/one-store.js';

const MERGE = { 'content-type': 'application/merge-patch+json' };
/** 30 addresses: 10.9.0.1 to 10.9.0.30. */
const SMALL = { serviceCidr: '10.9.0.0/27' };

function service(name: string, spec: Partial<Service['spec']> = {}): Service {
  const ports = [{ port: 80, protocol: 'TCP' }];
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports, ...spec } };
}

describe('claims of services', () => {
  let one: OneStore;
  let servers: readonly ApiCore[];
  let api: ApiCore;
  let path: string;

  // A store of its own for each test: addresses are the cluster's.
  beforeEach(async () => {
    one = await OneStore.start();
    servers = [await one.server(SMALL), await one.server(SMALL)];
    api = servers[0] as ApiCore;
    path = `${await namespaceOf(api, 'd')}/services`;
  });

  afterEach(() => one.stop());

  const create = <T = Service>(body: Service, server = api): Promise<Reply<T>> =>
    send<T>(server, 'POST', path, { body });

  const claims = async (): Promise<string[]> => {
    const start = '/registry/claims/';
    const key = Buffer.from(start);
    const rangeEnd = Buffer.from('/registry/claims0');
    const { kvs } = await api.store.kv.range({ key, rangeEnd });
    return kvs.map(({ key: found }) => Buffer.from(found).toString().slice(start.length));
  };

  it('are given once each by two servers at once, until the range is full', async () => {
    const made = await Promise.all(
      Array.from({ length: 36 }, (_, i) =>
        create<Service & Status>(service(`s${i}`, { type: 'NodePort' }), servers[i % 2]),
      ),
    );
    const good = made.filter(({ status }) => status === 201).map(({ body }) => body.spec);
    const addresses = good.map(({ clusterIP }) => clusterIP);
    const ports = good.map(({ ports: [port] = [] }) => port?.nodePort);
    expect(new Set(addresses).size).to.equal(30);
    expect(addresses).to.have.length(30);
    expect(new Set(ports).size).to.equal(30);
    const bad = made.filter(({ status }) => status !== 201);
    expect(bad).to.have.length(6);
    for (const { status, body } of bad) {
      expect(status).to.equal(500);
      expect(body.message).to.equal(
        'Internal error occurred: failed to allocate a serviceIP: range is full',
      );
    }
    expect(await claims()).to.have.length(60);
  });

  it('are given back by a delete, and can be had again', async () => {
    const { body: first } = await create(service('a', { clusterIP: '10.9.0.7', type: 'NodePort' }));
    expect(first.spec.clusterIP).to.equal('10.9.0.7');
    expect(await claims()).to.have.length(2);
    await send(servers[1] as ApiCore, 'DELETE', `${path}/a`);
    expect(await claims()).to.deep.equal([]);
    expect((await create(service('b', { clusterIP: '10.9.0.7' }))).status).to.equal(201);
  });

  it('of a service that a finalizer holds stay until it goes', async () => {
    const held = service('a', { clusterIP: '10.9.0.7' });
    held.metadata.finalizers = ['x/y'];
    await create(held);
    await send(api, 'DELETE', `${path}/a`);
    expect(await claims()).to.deep.equal(['serviceips/10.9.0.7']);
    const body = { metadata: { finalizers: null } };
    await send(api, 'PATCH', `${path}/a`, { headers: MERGE, body });
    expect(await claims()).to.deep.equal([]);
  });

  it('follow the type of the service', async () => {
    const { body: made } = await create(service('a'));
    const address = `serviceips/${made.spec.clusterIP ?? ''}`;
    const patched = async (spec: object): Promise<Service> => {
      const extras = { headers: MERGE, body: { spec } };
      return (await send<Service>(api, 'PATCH', `${path}/a`, extras)).body;
    };
    const open = await patched({ type: 'NodePort' });
    const port = `servicenodeports/${open.spec.ports?.[0]?.nodePort ?? 0}`;
    expect(await claims()).to.deep.equal([address, port]);
    expect((await patched({ sessionAffinity: 'ClientIP' })).spec.ports).to.deep.equal(
      open.spec.ports,
    );
    expect((await patched({ type: 'ClusterIP' })).spec.ports?.[0]?.nodePort).to.equal(undefined);
    expect(await claims()).to.deep.equal([address]);
    await patched({
      type: 'ExternalName',
      externalName: 'x.example',
      clusterIP: null,
      clusterIPs: null,
    });
    expect(await claims()).to.deep.equal([]);
  });

  it('of another service are refused, and nothing is kept', async () => {
    await create(service('a', { clusterIP: '10.9.0.7' }));
    const ports = [{ port: 80, nodePort: 30_123 }];
    await create(service('b', { type: 'NodePort', clusterIP: '10.9.0.8', ports }));
    const before = await claims();
    const again = await create<Status>(service('c', { clusterIP: '10.9.0.7' }), servers[1]);
    expect(again.status).to.equal(422);
    expect(again.body.message).to.equal(
      'Service "c" is invalid: spec.clusterIPs: Invalid value: ["10.9.0.7"]: failed to allocate IP 10.9.0.7: provided IP is already allocated',
    );
    const port = await create<Status>(service('c', { type: 'NodePort', ports }), servers[1]);
    expect(port.status).to.equal(422);
    expect(port.body.message).to.equal(
      'Service "c" is invalid: spec.ports[0].nodePort: Invalid value: 30123: provided port is already allocated',
    );
    const extras = { headers: MERGE, body: { spec: { type: 'NodePort', ports } } };
    expect((await send(api, 'PATCH', `${path}/a`, extras)).status).to.equal(422);
    expect(await claims()).to.deep.equal(before);
  });

  it('outside the range are refused', async () => {
    const refused = await create<Status>(service('a', { clusterIP: '10.10.0.1' }));
    expect(refused.status).to.equal(422);
    expect(refused.body.message).to.include(
      'failed to allocate IP 10.10.0.1: the provided IP (10.10.0.1) is not in the valid range. The range of valid IPs is 10.9.0.0/27',
    );
    expect(await claims()).to.deep.equal([]);
  });

  it('are not taken by a headless service, nor by a dry run', async () => {
    await create(service('a', { clusterIP: 'None' }));
    const query = { dryRun: 'All' };
    const body = service('b', { type: 'NodePort' });
    const dry = await send<Service>(api, 'POST', path, { query, body });
    expect(dry.body.spec.clusterIP).to.match(/^10\.9\.0\./);
    expect(await claims()).to.deep.equal([]);
  });
});
