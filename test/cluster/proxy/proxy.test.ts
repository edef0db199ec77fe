import { expect } from 'chai';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { ENDPOINT_SLICES, PODS, SERVICES } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import { SharedInformers } from '../../../src/cluster/client/shared-informers.js';
import { Proxy } from '../../../src/cluster/proxy/proxy.js';
import type { PortChange } from '../../../src/cluster/proxy/rule-sink.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';
import { endpointOf, serviceOf, sliceOf } from './support/objects.js';

const PORTS = [{ name: 'http', protocol: 'TCP', port: 80 }];

class Bench {
  readonly time = new VirtualTime();
  readonly api = new FakeApi(this.time);
  readonly informers = new SharedInformers(this.time, silentLogger, restClient(this.api));
  /** Each call's owners, with the endpoints before and now. */
  readonly calls: string[][] = [];
  error: Error | undefined;
  hasStopped = false;
  readonly proxy = new Proxy({
    client: restClient(this.api),
    env: this.time,
    log: silentLogger,
    nodeName: 'node-a',
    informers: this.informers,
    sink: {
      apply: (changes) => {
        this.calls.push([...changes].map(describeChange));
        return this.error === undefined ? Promise.resolve() : Promise.reject(this.error);
      },
      stop: () => {
        this.hasStopped = true;
        return Promise.resolve();
      },
    },
  });

  start(): void {
    this.informers.start();
    this.proxy.start();
  }

  /** Calls since the last time. */
  async seen(): Promise<string[][]> {
    await this.time.advance(100);
    return this.calls.splice(0);
  }

  async stop(): Promise<void> {
    await this.time.run(Promise.all([this.informers.stop(), this.proxy.stop()]));
  }
}

function describeChange([owner, { before, now }]: [string, PortChange]): string {
  const text = (entries: PortChange['now']): string =>
    entries.map(({ port, all }) => `${port}>${all.map(({ ip }) => ip).join('+')}`).join(',');
  return `${owner} ${text(before)} => ${text(now)}`;
}

describe('cluster/proxy/proxy', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
  });
  afterEach(() => bench.stop());

  it('hands on everything at first, then what changed', async () => {
    const { api } = bench;
    api.put(SERVICES, serviceOf('web', { clusterIP: '10.96.0.1', ports: PORTS }));
    api.put(SERVICES, serviceOf('headless', { clusterIP: 'None', ports: PORTS }));
    api.put(ENDPOINT_SLICES, sliceOf('web', [endpointOf('10.244.1.2')]));
    bench.start();
    expect(await bench.seen()).to.deep.equal([['service/default/web  => 80>10.244.1.2']]);
    api.put(SERVICES, serviceOf('other', { clusterIP: '10.96.0.2', ports: PORTS }));
    api.put(ENDPOINT_SLICES, sliceOf('web', [endpointOf('10.244.1.3')]));
    expect((await bench.seen()).map((call) => call.sort())).to.deep.equal([
      ['service/default/other  => 80>', 'service/default/web 80>10.244.1.2 => 80>10.244.1.3'],
    ]);
    api.remove(SERVICES, serviceOf('web', {}));
    expect(await bench.seen()).to.deep.equal([['service/default/web 80>10.244.1.3 => ']]);
  });

  it('takes over what is there although there is no service', async () => {
    bench.start();
    expect(await bench.seen()).to.deep.equal([[]]);
  });

  it('hands on nothing of changes that do not matter', async () => {
    const service = serviceOf('web', { clusterIP: '10.96.0.1', ports: PORTS });
    bench.api.put(SERVICES, service);
    bench.start();
    await bench.seen();
    const metadata = { ...service.metadata, annotations: { a: 'b' } };
    bench.api.put(SERVICES, { ...service, metadata });
    expect((await bench.seen()).flat()).to.deep.equal([]);
  });

  it('follows a slice that passes to another service', async () => {
    for (const name of ['a', 'b']) {
      bench.api.put(SERVICES, serviceOf(name, { clusterIP: '10.96.0.1', ports: PORTS }));
    }
    const slice = sliceOf('a', [endpointOf('10.244.1.2')]);
    bench.api.put(ENDPOINT_SLICES, slice);
    bench.start();
    await bench.seen();
    const labels = { 'kubernetes.io/service-name': 'b' };
    bench.api.put(ENDPOINT_SLICES, { ...slice, metadata: { ...slice.metadata, labels } });
    expect(await bench.seen()).to.deep.equal([
      ['service/default/a 80>10.244.1.2 => 80>', 'service/default/b 80> => 80>10.244.1.2'],
    ]);
  });

  it('tries again with longer and longer pauses, with what came in between', async () => {
    bench.api.put(SERVICES, serviceOf('web', { clusterIP: '10.96.0.1', ports: PORTS }));
    bench.error = new Error('nft failed');
    bench.start();
    await bench.seen();
    bench.api.put(SERVICES, serviceOf('other', { clusterIP: '10.96.0.2', ports: PORTS }));
    await bench.time.advance(3_500);
    // After 0.5, 1.5 and 3.5 seconds.
    const later = bench.calls.splice(0);
    expect(later).to.have.length(3);
    for (const call of later) {
      expect(call.sort()).to.deep.equal([
        'service/default/other  => 80>',
        'service/default/web  => 80>',
      ]);
    }
    bench.error = undefined;
    await bench.time.advance(10_000);
    expect(bench.calls).to.have.length(1);
  });

  it('serves the host ports of pods of this node only', async () => {
    const pod = (name: string, nodeName: string, podIP: string): void => {
      const ports = [{ containerPort: 80, hostPort: 8080 }];
      bench.api.put(PODS, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default' },
        spec: { nodeName, containers: [{ name: 'c', ports }] },
        status: { phase: 'Running', podIP },
      });
    };
    pod('mine', 'node-a', '10.244.1.2');
    pod('theirs', 'node-b', '10.244.2.2');
    bench.start();
    expect(await bench.seen()).to.deep.equal([['pod/default/mine  => 8080>10.244.1.2']]);
  });

  it('waits for all of what it follows, and can be stopped before it is there', async () => {
    const remove = bench.api.intercept(({ path }) =>
      path.includes('endpointslices') ? new Promise(() => undefined) : undefined,
    );
    bench.api.put(SERVICES, serviceOf('web', { clusterIP: '10.96.0.1', ports: PORTS }));
    bench.start();
    expect(await bench.seen()).to.deep.equal([]);
    await bench.time.run(bench.proxy.stop());
    expect(bench.hasStopped).to.equal(true);
    remove();
    bench = new Bench();
    bench.start();
  });
});
