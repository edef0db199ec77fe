import { expect } from 'chai';
import { statusPatch } from '../../../src/cluster/kubelet/pods/status-patch.js';
import type { Pod, PodCondition, PodStatus } from '../../../src/gen/kube-core-v1.js';

const POD: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default', uid: 'u1' },
  spec: { containers: [{ name: 'web' }] },
};
const READY: PodCondition = {
  type: 'Ready',
  status: 'True',
  lastTransitionTime: '2026-01-01T00:00:00Z',
};

describe('patch of a status', () => {
  it('is none when the API server shows what was never set as null', () => {
    const shown: PodStatus = {
      phase: 'Running',
      conditions: [{ ...READY, lastProbeTime: null } as unknown as PodCondition],
    };
    const wanted: PodStatus = { phase: 'Running', conditions: [READY] };
    expect(statusPatch(POD, shown, wanted)).to.equal(undefined);
  });

  it('holds the conditions that changed, and no others', () => {
    const initialized: PodCondition = { ...READY, type: 'Initialized' };
    const old: PodStatus = { conditions: [initialized, { ...READY, status: 'False' }] };
    const patch = statusPatch(POD, old, { conditions: [initialized, READY] });
    expect(patch).to.deep.equal({
      metadata: { uid: 'u1' },
      status: { conditions: [{ reason: null, message: null, ...READY }] },
    });
  });
});
