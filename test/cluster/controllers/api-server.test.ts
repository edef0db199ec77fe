/** The controllers against the API server itself, on a store that is a process of its own. */
import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { loggerTo } from '../../../src/base/observe/logger.js';
import { EtcdClient } from '../../../src/client/client.js';
import type { KubeObject } from '../../../src/cluster/api/object.js';
import { isApiError } from '../../../src/cluster/api/status.js';
import { formatTime } from '../../../src/cluster/api/time.js';
import { ApiServer } from '../../../src/cluster/apiserver/server.js';
import type { KubeClient } from '../../../src/cluster/client/client.js';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  ENDPOINTS,
  LEASES,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '../../../src/cluster/client/resource-types.js';
import { startControllers, type Controllers } from '../../../src/cluster/controllers/manager.js';
import { sleep } from '../../../src/cluster/env.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import type { Pod } from '../../../src/gen/kube-core-v1.js';
import { freePorts, startCluster, type TestCluster } from '../../support/servers.js';
import { until } from '../../support/until.js';
import { makeAuthority } from '../support/certificates.js';

const ROOT_CA = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
const NAMESPACE = 'shop';

describe('controllers on the API server', function () {
  this.timeout(120_000);
  const env = systemClusterEnv();
  const log = loggerTo([], 'error');
  const managers = new Map<string, Controllers>();
  const stopping = new AbortController();
  let cluster: TestCluster;
  let store: EtcdClient;
  let server: ApiServer;
  let admin: KubeClient;
  let kubelet: Promise<void>;

  before(async () => {
    cluster = await startCluster({ kind: 'mainstay', size: 1 });
    store = new EtcdClient(cluster.endpoints);
    const authority = await makeAuthority();
    const tls = { ...(await authority.server()), clientCa: authority.ca };
    const kubeletTls = { ...(await authority.client('kube-apiserver')), ca: authority.ca };
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const [port = 0] = await freePorts(1);
    server = new ApiServer({
      store,
      env,
      log,
      tls,
      kubeletTls,
      serviceAccountKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      serviceCidr: '10.96.0.0/16',
      advertiseAddress: '127.0.0.1',
      port,
    });
    await server.listen('127.0.0.1');
    admin = server.client({ commonName: 'admin', organizations: ['system:masters'] }, 'kubectl');
    await until(() => exists(admin.resource(NAMESPACES).get('default')));
    for (const identity of ['a', 'b']) start(identity);
    await admin.resource(NODES).create({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'here' } },
      spec: {},
    });
    await admin.resource(NAMESPACES).create({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: NAMESPACE },
      spec: {},
    });
    kubelet = runPods();
  });

  after(async () => {
    stopping.abort();
    await kubelet;
    for (const controllers of managers.values()) await controllers.stop();
    await server.stop(100);
    store.close();
    await cluster.stop();
  });

  function start(identity: string): void {
    const certificate = { commonName: 'system:kube-controller-manager', organizations: [] };
    const client = server.client(certificate, 'kube-controller-manager/v1.36.3 (linux/amd64)');
    managers.set(identity, startControllers({ client, env, log, rootCa: ROOT_CA, identity }));
  }

  /** Binds pods, runs them, and lets them go. */
  async function runPods(): Promise<void> {
    const { signal } = stopping;
    while (!signal.aborted) {
      for (const pod of (await admin.resource(PODS).list()).items) await runPod(pod);
      await sleep(env, 50, signal);
    }
  }

  async function runPod({ metadata, spec, status }: Pod): Promise<void> {
    const { namespace = '', name = '', deletionTimestamp } = metadata;
    const pods = admin.resource(PODS, namespace);
    try {
      if (deletionTimestamp !== undefined) await pods.delete(name, { gracePeriodSeconds: 0 });
      else if ((spec.nodeName ?? '') === '') {
        const target = { kind: 'Node', name: 'node-1' };
        const binding = {
          apiVersion: 'v1',
          kind: 'Binding',
          metadata: { name, namespace },
          target,
        };
        await pods.createSubresource(name, 'binding', binding);
      } else if (status?.podIP === undefined) {
        const ip = `10.244.0.${(env.randomU32() % 250) + 1}`;
        const ready = {
          type: 'Ready',
          status: 'True',
          lastTransitionTime: formatTime(env.wallMs()),
        };
        const running = { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [ready] };
        await pods.patchStatus(name, 'strategic', { status: running });
      }
    } catch (error) {
      if (!isApiError(error, 'NotFound') && !isApiError(error, 'Conflict')) throw error;
    }
  }

  async function exists(get: Promise<KubeObject>): Promise<boolean> {
    try {
      await get;
      return true;
    } catch (error) {
      if (isApiError(error, 'NotFound')) return false;
      throw error;
    }
  }

  async function available(): Promise<number> {
    const { status, metadata } = await admin.resource(DEPLOYMENTS, NAMESPACE).get('web');
    if (status?.observedGeneration !== metadata.generation) return 0;
    return Math.min(status?.availableReplicas ?? 0, status?.updatedReplicas ?? 0);
  }

  it('give a namespace what pods need', async () => {
    await until(() => exists(admin.resource(SERVICE_ACCOUNTS, NAMESPACE).get('default')));
    await until(() => exists(admin.resource(CONFIG_MAPS, NAMESPACE).get('kube-root-ca.crt')));
  });

  it('run a Deployment behind a Service, and own what they write', async () => {
    await admin.resource(SERVICES, NAMESPACE).create({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    });
    await admin.resource(DEPLOYMENTS, NAMESPACE).create({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        replicas: 3,
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: { containers: [{ name: 'c', image: 'nginx:1' }], terminationGracePeriodSeconds: 0 },
        },
      },
    });
    await until(async () => (await available()) === 3);
    await until(async () => {
      const { items } = await admin.resource(ENDPOINT_SLICES, NAMESPACE).list();
      return items.flatMap(({ endpoints }) => endpoints ?? []).length === 3;
    });
    await until(async () => {
      const { subsets = [] } = await admin.resource(ENDPOINTS, NAMESPACE).get('web');
      return subsets.flatMap(({ addresses }) => addresses ?? []).length === 3;
    });
    const [set] = (await admin.resource(REPLICA_SETS, NAMESPACE).list()).items;
    const owners = (set?.metadata.managedFields ?? []).map(
      ({ manager = '', operation = '', subresource = '' }) =>
        `${manager}/${operation}/${subresource}`,
    );
    expect(owners.sort()).to.deep.equal([
      'kube-controller-manager/Update/',
      'kube-controller-manager/Update/status',
    ]);
  });

  it('write nothing when all is well', async () => {
    const revision = async (): Promise<string[]> => {
      const lists = await Promise.all([
        admin.resource(DEPLOYMENTS, NAMESPACE).list(),
        admin.resource(REPLICA_SETS, NAMESPACE).list(),
        admin.resource(PODS, NAMESPACE).list(),
        admin.resource(ENDPOINT_SLICES, NAMESPACE).list(),
        admin.resource(ENDPOINTS, NAMESPACE).list(),
      ]);
      return lists.flatMap(({ items }) =>
        items.map(({ metadata }) => `${metadata.name ?? ''} ${metadata.resourceVersion ?? ''}`),
      );
    };
    const before = await revision();
    const pod = (await admin.resource(PODS, NAMESPACE).list()).items[0];
    // A marker that all controllers have to look at, and then find nothing to do.
    const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'marker' } };
    const uid = '00000000-0000-0000-0000-000000000001';
    const reference = { apiVersion: 'v1', kind: 'Pod', name: pod?.metadata.name ?? '', uid };
    const metadata = { ...config.metadata, ownerReferences: [reference] };
    const maps = admin.resource(CONFIG_MAPS, NAMESPACE);
    await maps.create({ ...config, metadata });
    await until(async () => !(await exists(maps.get('marker'))));
    expect(await revision()).to.deep.equal(before);
  });

  it('are taken over by the next in line', async () => {
    const leader = async (): Promise<string> => {
      const lease = await admin.resource(LEASES, 'kube-system').get('kube-controller-manager');
      return lease.spec.holderIdentity ?? '';
    };
    const first = await leader();
    await managers.get(first)?.stop();
    managers.delete(first);
    const containers = [{ name: 'c', image: 'nginx:2' }];
    const patch = { spec: { template: { spec: { containers } } } };
    await admin.resource(DEPLOYMENTS, NAMESPACE).patch('web', 'strategic', patch);
    await until(async () => {
      const { items } = await admin.resource(PODS, NAMESPACE).list();
      const images = items.map(({ spec }) => spec.containers[0]?.image);
      return images.length === 3 && images.every((image) => image === 'nginx:2');
    });
    expect(await leader()).not.to.equal(first);
    await until(async () => (await available()) === 3);
  });

  for (const propagationPolicy of ['Background', 'Foreground'] as const) {
    it(`delete what a Deployment owns: ${propagationPolicy}`, async () => {
      const name = propagationPolicy.toLowerCase();
      const labels = { app: name };
      const deployments = admin.resource(DEPLOYMENTS, NAMESPACE);
      await deployments.create({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name },
        spec: {
          replicas: 1,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { containers: [{ name: 'c', image: 'x' }], terminationGracePeriodSeconds: 0 },
          },
        },
      });
      const labelSelector = `app=${name}`;
      const count = async (): Promise<number> => {
        const sets = await admin.resource(REPLICA_SETS, NAMESPACE).list({ labelSelector });
        const pods = await admin.resource(PODS, NAMESPACE).list({ labelSelector });
        return sets.items.length + pods.items.length;
      };
      await until(async () => (await count()) === 2);
      await deployments.delete(name, { propagationPolicy });
      await until(async () => (await count()) === 0);
      await until(async () => !(await exists(deployments.get(name))));
    });
  }

  it('empty a namespace, and let it go', async () => {
    await admin.resource(NAMESPACES).delete(NAMESPACE);
    await until(async () => !(await exists(admin.resource(NAMESPACES).get(NAMESPACE))));
    expect((await admin.resource(DEPLOYMENTS).list()).items).to.have.lengthOf(0);
    expect((await admin.resource(PODS).list()).items).to.have.lengthOf(0);
  });
});
