import { expect } from 'chai';
import type { Deployment } from '../../../src/gen/kube-apps-v1.js';
import type { Service } from '../../../src/gen/kube-core-v1.js';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  ENDPOINTS,
  PODS,
  REPLICA_SETS,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '../../../src/cluster/client/resource-types.js';
import { ROOT_CA, World } from './world.js';

const WEB: Deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'c', image: 'nginx:1' }] },
    },
  },
};

const SERVICE: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default' },
  spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
};

describe('controllers: one thread through all', () => {
  it('makes pods and endpoints of a Deployment and a Service', async () => {
    const world = new World();
    const { api, time } = world;
    world.start();
    await world.create(DEPLOYMENTS, WEB);
    await world.create(SERVICES, SERVICE);
    const status = () => api.get(DEPLOYMENTS, 'default', 'web')?.status;
    await time.runUntil(() => status()?.availableReplicas === 3, 60_000);
    await time.advance(1000);

    expect(api.list(REPLICA_SETS).map(({ spec }) => spec.replicas)).to.deep.equal([3]);
    expect(api.list(PODS).map(({ metadata }) => metadata.ownerReferences?.[0]?.kind)).to.deep.equal(
      ['ReplicaSet', 'ReplicaSet', 'ReplicaSet'],
    );
    const [slice] = api.list(ENDPOINT_SLICES);
    expect(slice?.endpoints).to.have.lengthOf(3);
    expect(slice?.ports).to.deep.equal([{ name: '', protocol: 'TCP', port: 8080 }]);
    const subset = api.get(ENDPOINTS, 'default', 'web')?.subsets?.[0];
    expect(subset?.addresses).to.have.lengthOf(3);
    expect(api.get(SERVICE_ACCOUNTS, 'default', 'default')).not.to.equal(undefined);
    expect(api.get(CONFIG_MAPS, 'default', 'kube-root-ca.crt')?.data).to.deep.equal({
      'ca.crt': ROOT_CA,
    });
    await world.stop();
  });

  it('replaces all pods when the template changes', async () => {
    const world = new World();
    const { api, time, client } = world;
    world.start();
    await world.create(DEPLOYMENTS, WEB);
    await time.runUntil(
      () => api.get(DEPLOYMENTS, 'default', 'web')?.status?.availableReplicas === 3,
      60_000,
    );
    const containers = [{ name: 'c', image: 'nginx:2' }];
    const patch = { spec: { template: { spec: { containers } } } };
    await time.run(client.resource(DEPLOYMENTS, 'default').patch('web', 'strategic', patch));
    const images = () => api.list(PODS).map(({ spec }) => spec.containers[0]?.image);
    await time.runUntil(() => images().every((image) => image === 'nginx:2'), 60_000);
    await time.advance(1000);
    expect(images()).to.have.lengthOf(3);
    const sizes = api.list(REPLICA_SETS).map(({ spec }) => spec.replicas);
    expect(sizes.sort()).to.deep.equal([0, 3]);
    const { conditions = [] } = api.get(DEPLOYMENTS, 'default', 'web')?.status ?? {};
    expect(conditions.map(({ type, reason }) => [type, reason])).to.deep.equal([
      ['Available', 'MinimumReplicasAvailable'],
      ['Progressing', 'NewReplicaSetAvailable'],
    ]);
    await world.stop();
  });
});
