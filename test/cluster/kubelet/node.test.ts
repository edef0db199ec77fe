import { expect } from 'chai';
import { KubeletBench, NODE, container } from './support/kubelet-bench.js';
import { serviceUnavailable } from '../../../src/cluster/api/status.js';
import { NODES } from '../../../src/cluster/client/resource-types.js';
import type { Node, NodeCondition } from '../../../src/gen/kube-core-v1.js';

describe('kubelet: node', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
  });

  afterEach(() => bench.close());

  const node = (): Node | undefined => bench.api.get(NODES, '', NODE);
  const ready = (): NodeCondition | undefined => node()?.status?.conditions?.at(-1);
  const patches = (): number =>
    bench.api.calls.filter((call) => call === `PATCH /api/v1/nodes/${NODE}/status`).length;

  it('writes its status when it changes, and every five minutes all the same', async () => {
    await bench.start();
    await bench.time.advance(15_000);
    const before = patches();
    await bench.time.advance(240_000);
    expect(patches()).to.equal(before);
    await bench.time.advance(60_000);
    expect(patches()).to.equal(before + 1);
    bench.runtime.addImage('new:1');
    await bench.time.advance(11_000);
    expect(patches()).to.equal(before + 2);
    expect(node()?.status?.images?.some(({ names = [] }) => names.includes('new:1'))).to.be.true;
  });

  it('is not ready while its runtime is not, and says why', async () => {
    const real = await bench.runtime.status();
    let isDown = true;
    bench.runtime.status = () => {
      const network = {
        type: 'NetworkReady' as const,
        isTrue: false,
        reason: 'NoNet',
        message: 'no net',
      };
      const down = { ...real, conditions: [network] };
      return Promise.resolve(isDown ? down : real);
    };
    await bench.start();
    await bench.time.advance(1000);
    expect(ready()).to.include({
      type: 'Ready',
      status: 'False',
      reason: 'KubeletNotReady',
      message:
        'container runtime network not ready: NetworkReady=false reason:NoNet message:no net',
    });
    isDown = false;
    await bench.time.advance(1000);
    expect(ready()).to.include({ status: 'True', reason: 'KubeletReady' });
    expect(bench.messages('NodeReady')).to.deep.equal([`Node ${NODE} status is now: NodeReady`]);
  });

  it('is not ready when the runtime has not listed its containers for three minutes', async () => {
    await bench.start();
    bench.runtime.before = (operation) => {
      if (operation === 'list') throw new Error('hangs');
    };
    await bench.time.advance(200_000);
    expect(ready()?.message).to.match(/^PLEG is not healthy: pleg was last seen active \S+ ago/);
  });

  it('takes over a node of its name: labels and addresses become those of today', async () => {
    bench.api.put(NODES, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: NODE, labels: { mine: 'stays', 'kubernetes.io/hostname': 'old' } },
      spec: { unschedulable: true },
      status: { addresses: [{ type: 'InternalIP', address: '1.1.1.1' }] },
    });
    await bench.start();
    await bench.time.advance(1000);
    expect(node()?.metadata.labels).to.include({
      mine: 'stays',
      'kubernetes.io/hostname': NODE,
      'kubernetes.io/arch': 'amd64',
    });
    expect(node()?.spec).to.deep.include({ unschedulable: true, podCIDR: '10.88.0.0/24' });
    expect(node()?.status?.addresses).to.deep.include({
      type: 'InternalIP',
      address: '192.168.0.1',
    });
    expect(ready()).to.include({ status: 'True' });
  });

  it('registers anew when somebody deleted its node', async () => {
    await bench.start();
    const gone = node();
    if (gone !== undefined) bench.api.remove(NODES, gone);
    await bench.time.advance(310_000);
    expect(node()?.metadata.uid).to.not.equal(gone?.metadata.uid);
  });

  it('registers when the API server comes', async () => {
    let isUp = false;
    bench.api.intercept(() => {
      if (!isUp) throw serviceUnavailable('away');
      return undefined;
    });
    bench.time.after(20_000, () => {
      isUp = true;
    });
    await bench.start();
    expect(bench.time.monoMs()).to.be.within(20_000, 25_000);
    bench.addPod('web');
    await bench.untilRunning('web');
  });

  const refusals: [string, object, string, string][] = [
    [
      'more CPU than there is',
      { containers: [container('app', { resources: { requests: { cpu: '5' } } })] },
      'OutOfcpu',
      "Pod was rejected: Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000",
    ],
    [
      'a node with other labels',
      { nodeSelector: { disk: 'ssd' } },
      'NodeAffinity',
      "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    ],
    [
      'a port that is taken',
      { containers: [container('app', { ports: [{ containerPort: 80, hostPort: 80 }] })] },
      'NodePorts',
      "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    ],
  ];
  for (const [what, spec, reason, message] of refusals) {
    it(`refuses a pod that wants ${what}`, async () => {
      await bench.start();
      bench.addPod('first', {
        containers: [container('app', { ports: [{ containerPort: 80, hostPort: 80 }] })],
      });
      await bench.untilRunning('first');
      bench.addPod('web', spec);
      await bench.time.runUntil(() => bench.status('web').phase === 'Failed', 5000);
      expect(bench.status('web')).to.include({ reason, message });
      expect(bench.runtime.sandboxes.size).to.equal(1);
      await bench.deletePod('web', 0);
      expect(bench.pod('web')).to.be.undefined;
    });
  }

  it('has room again when a pod has ended', async () => {
    await bench.start();
    const containers = [container('app', { resources: { requests: { cpu: '3' } } })];
    bench.addPod('first', { restartPolicy: 'Never', containers });
    await bench.untilRunning('first');
    bench.runtime.exit(bench.runtime.container('app'), 0);
    await bench.time.runUntil(() => bench.status('first').phase === 'Succeeded', 5000);
    bench.addPod('second', { containers });
    await bench.untilRunning('second');
  });
});
