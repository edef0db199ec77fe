import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import type { EnvVar, Service } from '../../../src/gen/kube-core-v1.js';
import { CONFIG_MAPS, SECRETS, SERVICES } from '../../../src/cluster/client/resource-types.js';
import { KubeletBench, container } from './support/kubelet-bench.js';

describe('kubelet: environment of containers', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
    putService('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443 }]);
  });

  afterEach(() => bench.close());

  function putService(
    namespace: string,
    name: string,
    clusterIP: string,
    ports: Service['spec']['ports'],
  ): void {
    bench.api.put(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { clusterIP, ports },
    });
  }

  async function variables(env: EnvVar[], spec: object = {}): Promise<Record<string, string>> {
    bench.addPod('web', { containers: [container('app', { env })], ...spec });
    await bench.untilRunning('web');
    const { env: given } = bench.runtime.container('app').config;
    return Object.fromEntries(given.map(({ name, value }) => [name, value]));
  }

  it('names services of the namespace, and always the API server', async () => {
    putService('default', 'my-db', '10.96.0.7', [
      { name: 'sql', port: 5432 },
      { port: 53, protocol: 'UDP' },
    ]);
    putService('default', 'headless', 'None', [{ port: 1 }]);
    putService('other', 'far', '10.96.0.9', [{ port: 1 }]);
    await bench.time.advance(100);
    expect(await variables([])).to.deep.equal({
      KUBERNETES_SERVICE_HOST: '10.96.0.1',
      KUBERNETES_SERVICE_PORT: '443',
      KUBERNETES_SERVICE_PORT_HTTPS: '443',
      KUBERNETES_PORT: 'tcp://10.96.0.1:443',
      KUBERNETES_PORT_443_TCP: 'tcp://10.96.0.1:443',
      KUBERNETES_PORT_443_TCP_PROTO: 'tcp',
      KUBERNETES_PORT_443_TCP_PORT: '443',
      KUBERNETES_PORT_443_TCP_ADDR: '10.96.0.1',
      MY_DB_SERVICE_HOST: '10.96.0.7',
      MY_DB_SERVICE_PORT: '5432',
      MY_DB_SERVICE_PORT_SQL: '5432',
      MY_DB_PORT: 'tcp://10.96.0.7:5432',
      MY_DB_PORT_5432_TCP: 'tcp://10.96.0.7:5432',
      MY_DB_PORT_5432_TCP_PROTO: 'tcp',
      MY_DB_PORT_5432_TCP_PORT: '5432',
      MY_DB_PORT_5432_TCP_ADDR: '10.96.0.7',
      MY_DB_PORT_53_UDP: 'udp://10.96.0.7:53',
      MY_DB_PORT_53_UDP_PROTO: 'udp',
      MY_DB_PORT_53_UDP_PORT: '53',
      MY_DB_PORT_53_UDP_ADDR: '10.96.0.7',
    });
  });

  it('leaves out services for a pod that wants no links', async () => {
    putService('default', 'my-db', '10.96.0.7', [{ port: 5432 }]);
    await bench.time.advance(100);
    const given = await variables([], { enableServiceLinks: false });
    expect(given).to.have.property('KUBERNETES_SERVICE_HOST').and.not.have.property('MY_DB_PORT');
  });

  it('expands references to what came before', async () => {
    const given = await variables([
      { name: 'A', value: 'a' },
      { name: 'B', value: '$(A)-$(C)-$$(A)-$(KUBERNETES_SERVICE_PORT)' },
      { name: 'C', value: 'c' },
    ]);
    expect(given).to.include({ B: 'a-$(C)-$(A)-443' });
  });

  it('tells fields and resources', async () => {
    const field = (name: string, fieldPath: string): EnvVar => ({
      name,
      valueFrom: { fieldRef: { fieldPath } },
    });
    const given = await variables([
      field('NAME', 'metadata.name'),
      field('NODE', 'spec.nodeName'),
      field('IP', 'status.podIP'),
      field('HOST', 'status.hostIP'),
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
    ]);
    expect(given).to.include({ NAME: 'web', NODE: 'node-a', HOST: '192.168.0.1', CPU: '4' });
    expect(given['IP']).to.equal(bench.status('web').podIP);
  });

  it('takes values from ConfigMaps and Secrets, whole or by key', async () => {
    const metadata = { namespace: 'default' };
    bench.api.put(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { ...metadata, name: 'map' },
      data: { a: '1', b: '2' },
    });
    bench.api.put(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { ...metadata, name: 'secret' },
      data: { password: Buffer.from('hush').toString('base64') },
    });
    const app = container('app', {
      envFrom: [{ prefix: 'M_', configMapRef: { name: 'map' } }],
      env: [
        { name: 'M_a', value: 'mine' },
        { name: 'P', valueFrom: { secretKeyRef: { name: 'secret', key: 'password' } } },
        { name: 'O', valueFrom: { configMapKeyRef: { name: 'no', key: 'x', optional: true } } },
      ],
    });
    const given = await variables([], { containers: [app] });
    expect(given).to.include({ M_a: 'mine', M_b: '2', P: 'hush' });
    expect(given).to.not.have.property('O');
  });

  const missing: [string, object, string][] = [
    ['ConfigMap', { configMapKeyRef: { name: 'no', key: 'x' } }, 'configmap "no" not found'],
    ['Secret', { secretKeyRef: { name: 'no', key: 'x' } }, 'secret "no" not found'],
    [
      'key',
      { configMapKeyRef: { name: 'map', key: 'x' } },
      "couldn't find key x in ConfigMap default/map",
    ],
  ];
  for (const [what, valueFrom, message] of missing) {
    it(`waits for a ${what} that is missing`, async () => {
      bench.api.put(CONFIG_MAPS, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'map', namespace: 'default' },
      });
      bench.addPod('web', { containers: [container('app', { env: [{ name: 'A', valueFrom }] })] });
      await bench.time.advance(3000);
      expect(bench.containerStatus('web')?.state?.waiting).to.deep.equal({
        reason: 'CreateContainerConfigError',
        message,
      });
      expect(bench.messages('Failed')[0]).to.equal(`Error: ${message}`);
    });
  }

  it('writes /etc/hosts, and resolves names by the policy of the pod', async () => {
    bench.addPod('web', {
      hostname: 'web-0',
      subdomain: 'web',
      hostAliases: [{ ip: '1.2.3.4', hostnames: ['one', 'two'] }],
      dnsConfig: { options: [{ name: 'ndots', value: '2' }], searches: ['example.org'] },
    });
    await bench.untilRunning('web');
    const { mounts } = bench.runtime.container('app').config;
    const hosts = mounts.find(({ containerPath }) => containerPath === '/etc/hosts');
    const text = await readFile(hosts?.hostPath ?? '', 'utf8');
    const ip = bench.status('web').podIP ?? '';
    expect(text).to.contain(`${ip}\tweb-0.web.default.svc.cluster.local\tweb-0\n`);
    expect(text).to.contain('1.2.3.4\tone\ttwo\n');
    const [sandbox] = bench.runtime.sandboxes.values();
    expect(sandbox?.config.hostname).to.equal('web-0');
    expect(sandbox?.config.dns).to.deep.equal({
      servers: ['10.96.0.10'],
      searches: ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'example.org'],
      options: ['ndots:2'],
    });
  });

  it('tells the last words of a container', async () => {
    bench.addPod('job', { restartPolicy: 'Never' });
    await bench.untilRunning('job');
    const app = bench.runtime.container('app');
    const path = app.config.mounts.find(
      ({ containerPath }) => containerPath === '/dev/termination-log',
    )?.hostPath;
    const { writeFile } = await import('node:fs/promises');
    await writeFile(path ?? '', `${'x'.repeat(5000)}bye`);
    bench.runtime.exit(app, 1);
    await bench.time.runUntil(() => bench.status('job').phase === 'Failed', 10_000);
    const message = bench.containerStatus('job')?.state?.terminated?.message ?? '';
    expect(message).to.have.length(4096);
    expect(message.endsWith('bye')).to.be.true;
  });

  it('takes the end of the log for last words where the container asks for it', async () => {
    const app = container('app', { terminationMessagePolicy: 'FallbackToLogsOnError' });
    bench.addPod('job', { restartPolicy: 'Never', containers: [app] });
    await bench.untilRunning('job');
    const running = bench.runtime.container('app');
    const { logPath } = await bench.runtime.containerStatus(running.id);
    const { writeFile } = await import('node:fs/promises');
    await writeFile(
      logPath,
      '2026-01-01T00:00:00Z stdout F working\n2026-01-01T00:00:01Z stderr F boom\n',
    );
    bench.runtime.exit(running, 2);
    await bench.time.runUntil(() => bench.status('job').phase === 'Failed', 10_000);
    expect(bench.containerStatus('job')?.state?.terminated?.message).to.equal('working\nboom\n');
  });
});
