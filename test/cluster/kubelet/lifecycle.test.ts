import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { KubeletBench, NODE } from './support/kubelet-bench.js';
import { LEASES } from '../../../src/cluster/client/resource-types.js';
import { NODES } from '../../../src/cluster/client/resource-types.js';

describe('kubelet: life of a pod', () => {
  let bench: KubeletBench;

  beforeEach(async () => {
    bench = await KubeletBench.create();
    await bench.start();
  });

  afterEach(() => bench.close());

  it('registers its node with Ready as the last condition, and a lease that the node owns', async () => {
    await bench.time.advance(1000);
    const node = bench.api.get(NODES, '', NODE);
    expect(node?.status?.conditions?.at(-1)).to.include({ type: 'Ready', status: 'True' });
    expect(node?.status?.capacity).to.include({ cpu: '4', memory: '8388608Ki', pods: '110' });
    expect(node?.spec.podCIDR).to.equal('10.88.0.0/24');
    const lease = bench.api.get(LEASES, 'kube-node-lease', NODE);
    expect(lease?.spec).to.include({ holderIdentity: NODE, leaseDurationSeconds: 40 });
    expect(lease?.metadata.ownerReferences?.[0]).to.include({ kind: 'Node', name: NODE });
    const renewed = lease?.spec.renewTime;
    await bench.time.advance(11_000);
    expect(bench.api.get(LEASES, 'kube-node-lease', NODE)?.spec.renewTime).to.not.equal(renewed);
  });

  it('runs a pod and tells its status', async () => {
    bench.addPod('web');
    await bench.untilRunning('web');
    const status = bench.status('web');
    expect(status.podIP).to.match(/^10\.88\.0\./);
    expect(status.hostIP).to.equal('192.168.0.1');
    expect(status.qosClass).to.equal('BestEffort');
    const app = bench.containerStatus('web');
    expect(app).to.include({ ready: true, started: true, restartCount: 0, image: 'busybox' });
    expect(app?.containerID).to.equal(`fake://${bench.runtime.container('app').id}`);
    expect(app?.state).to.have.keys('running');
    expect(status.conditions?.map(({ type, status: value }) => `${type}=${value}`)).to.deep.equal([
      'PodReadyToStartContainers=True',
      'Initialized=True',
      'Ready=True',
      'ContainersReady=True',
      'PodScheduled=True',
    ]);
    expect(bench.reasons('Pod/web')).to.deep.equal(['Pulled', 'Created', 'Started']);
  });

  it('ends a deleted pod with its grace, then deletes the object and all that is on the node', async () => {
    bench.runtime.defaultStopMs = 5000;
    const { uid = '' } = bench.addPod('web').metadata;
    await bench.untilRunning('web');
    await bench.deletePod('web');
    await bench.time.advance(4000);
    expect(bench.runtime.running()).to.have.length(1);
    await bench.time.runUntil(() => bench.pod('web') === undefined, 20_000);
    expect(bench.runtime.history).to.include('stop app/0 30');
    expect(bench.messages('Killing')).to.deep.equal(['Stopping container app']);
    await bench.time.advance(5000);
    expect(bench.runtime.containers.size).to.equal(0);
    expect(bench.runtime.sandboxes.size).to.equal(0);
    expect(existsSync(join(bench.config.rootDirectory, 'pods', uid))).to.be.false;
    expect(existsSync(join(bench.config.podLogsDirectory, `default_web_${uid}`))).to.be.false;
  });
});
