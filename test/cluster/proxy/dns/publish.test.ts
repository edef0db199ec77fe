import { expect } from 'chai';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { ENDPOINT_SLICES, NODES } from '../../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../../src/cluster/client/rest-client.js';
import { SharedInformers } from '../../../../src/cluster/client/shared-informers.js';
import { DnsPublisher } from '../../../../src/cluster/proxy/dns/publish.js';
import type { Node } from '../../../../src/gen/kube-core-v1.js';
import type { EndpointSlice } from '../../../../src/gen/kube-discovery-v1.js';
import { FakeApi } from '../../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../../support/virtual-time.js';

const NODE: Node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-a' }, spec: {} };

describe('cluster/proxy/dns/publish', () => {
  let time: VirtualTime;
  let api: FakeApi;
  let informers: SharedInformers;
  let publisher: DnsPublisher;

  const publish = (nodeIp = '10.99.0.11'): DnsPublisher =>
    new DnsPublisher({
      client: restClient(api),
      informers,
      env: time,
      log: silentLogger,
      nodeName: 'node-a',
      nodeIp,
      port: 53,
    });
  const slice = (): EndpointSlice | undefined =>
    api.get(ENDPOINT_SLICES, 'kube-system', 'kube-dns-node-a');

  beforeEach(async () => {
    time = new VirtualTime();
    api = new FakeApi(time);
    informers = new SharedInformers(time, silentLogger, restClient(api));
    informers.of(ENDPOINT_SLICES);
    informers.start();
    await time.run(informers.synced());
    publisher = publish();
  });
  afterEach(() => time.run(Promise.all([publisher.stop(), informers.stop()])));

  it('waits for the node, and makes its slice', async () => {
    await time.advance(2_000);
    expect(slice()).to.equal(undefined);
    const { metadata } = api.put(NODES, NODE);
    await time.advance(1_000);
    const { labels, ownerReferences } = slice()?.metadata ?? {};
    expect(labels).to.deep.equal({
      'kubernetes.io/service-name': 'kube-dns',
      'endpointslice.kubernetes.io/managed-by': 'mainstay-dns',
    });
    expect(ownerReferences).to.deep.equal([
      { apiVersion: 'v1', kind: 'Node', name: 'node-a', uid: metadata.uid },
    ]);
    expect(slice()).to.deep.include({
      addressType: 'IPv4',
      endpoints: [
        {
          addresses: ['10.99.0.11'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'node-a',
        },
      ],
      ports: [
        { name: 'dns', protocol: 'UDP', port: 53 },
        { name: 'dns-tcp', protocol: 'TCP', port: 53 },
      ],
    });
  });

  it('mends it when somebody changes or deletes it', async () => {
    api.put(NODES, NODE);
    await time.advance(1_000);
    const made = slice();
    if (made === undefined) throw new Error('no slice');
    api.put(ENDPOINT_SLICES, { ...made, endpoints: [] });
    await time.advance(1_000);
    expect(slice()?.endpoints).to.deep.equal(made.endpoints);
    api.remove(ENDPOINT_SLICES, made);
    await time.advance(1_000);
    expect(slice()?.endpoints).to.deep.equal(made.endpoints);
  });

  it('takes over the slice of an earlier process, and writes nothing when it fits', async () => {
    api.put(NODES, NODE);
    await time.advance(1_000);
    await time.run(publisher.stop());
    const before = api.calls.length;
    publisher = publish();
    await time.advance(1_000);
    expect(api.calls.slice(before)).to.deep.equal(['GET /api/v1/nodes/node-a']);
    await time.run(publisher.stop());
    publisher = publish('10.99.0.12');
    await time.advance(1_000);
    expect(slice()?.endpoints?.[0]?.addresses).to.deep.equal(['10.99.0.12']);
  });
});
