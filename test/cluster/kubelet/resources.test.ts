import { expect } from 'chai';
import {
  containerResources,
  podCgroup,
  podRequests,
} from '../../../src/cluster/kubelet/resources.js';
import type { Container, Pod } from '../../../src/gen/kube-core-v1.js';
import { container } from './support/kubelet-bench.js';

const GI = 2 ** 30;
const NODE = { memoryCapacityBytes: 8 * GI, minOomScoreAdj: -997 };

function pod(containers: Container[], initContainers: Container[] = []): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { uid: 'u' },
    spec: { containers, initContainers },
  };
}

function asking(name: string, requests: object, limits: object = {}, more = {}): Container {
  return container(name, {
    resources: { requests: { ...requests }, limits: { ...limits } },
    ...more,
  });
}

describe('kubelet: resources', () => {
  const cases: [string, object, object, object][] = [
    ['nothing', {}, {}, { cpuShares: 2, cpuQuotaUs: 0, memoryLimitBytes: 0, oomScoreAdj: 1000 }],
    [
      'guaranteed',
      { cpu: '500m', memory: '64Mi' },
      { cpu: '500m', memory: '64Mi' },
      { cpuShares: 512, cpuQuotaUs: 50_000, memoryLimitBytes: 64 * 2 ** 20, oomScoreAdj: -997 },
    ],
    [
      'burstable',
      { cpu: '100m', memory: '2Gi' },
      { cpu: '2' },
      { cpuShares: 102, cpuQuotaUs: 200_000, memoryLimitBytes: 0, oomScoreAdj: 750 },
    ],
    ['burstable that asks for all', { memory: '8Gi' }, {}, { oomScoreAdj: 3 }],
    ['burstable that asks for little', { memory: '1Ki' }, {}, { oomScoreAdj: 999 }],
    ['least quota', { cpu: '1m' }, { cpu: '1m' }, { cpuShares: 2, cpuQuotaUs: 1000 }],
    ['most shares', { cpu: '500' }, {}, { cpuShares: 262_144 }],
  ];
  for (const [name, requests, limits, expected] of cases) {
    it(`of a container: ${name}`, () => {
      const app = asking('app', requests, limits);
      expect(containerResources(pod([app]), app, NODE)).to.include(expected);
    });
  }

  it('keeps oom_score_adj to what the node allows', () => {
    const limits = { cpu: '1', memory: '1Gi' };
    const app = asking('app', limits, limits);
    const node = { ...NODE, minOomScoreAdj: 0 };
    expect(containerResources(pod([app]), app, node).oomScoreAdj).to.equal(0);
  });

  it('puts pods into the cgroup of their class', () => {
    const limits = { cpu: '1', memory: '1Gi' };
    expect(podCgroup('kubepods', pod([container('app')]))).to.equal('kubepods/besteffort/podu');
    expect(podCgroup('kubepods', pod([asking('app', { cpu: '1' })]))).to.equal(
      'kubepods/burstable/podu',
    );
    expect(podCgroup('kubepods', pod([asking('app', limits, limits)]))).to.equal('kubepods/podu');
  });

  it('counts what a pod asks for at its peak', () => {
    const side = { restartPolicy: 'Always' };
    const wanted = pod(
      [asking('a', { cpu: '1', memory: '1Gi' }), asking('b', { cpu: '500m' })],
      [
        asking('side', { cpu: '100m' }, {}, side),
        asking('init', { cpu: '2', memory: '2Gi' }),
        asking('late', { memory: '100' }, {}, side),
      ],
    );
    // Init and the sidecar before it: 2.1; all that stay: 1.6.
    expect(podRequests(wanted)).to.deep.equal({ cpu: 2.1, memory: 2 * GI });
  });
});
