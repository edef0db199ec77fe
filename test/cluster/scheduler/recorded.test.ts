import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Node, Pod, PodCondition } from '../../../src/gen/kube-core-v1.js';
import { pod as podKind } from '../../../src/cluster/api/kinds/core/pod.js';
import { ClusterState } from '../../../src/cluster/scheduler/cluster-state.js';
import { Framework } from '../../../src/cluster/scheduler/framework.js';
import { podInfoOf } from '../../../src/cluster/scheduler/pod-info.js';
import { VirtualTime } from '../../support/virtual-time.js';

interface RecordedCase {
  readonly case: string;
  readonly before?: readonly string[];
  readonly pod: Pod;
  readonly nodeName: string | null;
  readonly status: { readonly conditions?: readonly PodCondition[] };
}

/**
 * Cases that rest on kinds this server does not have yet: claims, PriorityClasses, and evictions
 * by preemption.
 */
const OTHER_KINDS = /claim|preempt|filler|huge|no preemption|scheduling gate|other scheduler/;

function recordedCases(): RecordedCase[] {
  const text = readFileSync('test/golden/scheduler/cases.json', 'utf8');
  const { cases } = JSON.parse(text) as { readonly cases: readonly RecordedCase[] };
  return cases.filter((one) => !OTHER_KINDS.test(one.case));
}

function node(name: string, zone: string, spec: Node['spec']): Node {
  const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone };
  const allocatable = { cpu: '4', memory: '8Gi', pods: '110' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
    spec,
    status: { allocatable },
  };
}

/** The nodes of the recording, changed as `before` says. */
function nodesOf(before: readonly string[]): Node[] {
  const specs: Record<string, Node['spec']> = { 'node-a': {}, 'node-b': {}, 'node-c': {} };
  for (const text of before) {
    const taint = /^taint (\S+?)(?:=(\S*))?:(\S+) on (\S+)$/.exec(text);
    const cordon = /^cordon (\S+)$/.exec(text);
    if (taint !== null) {
      const [, key = '', value = '', effect = '', name = ''] = taint;
      specs[name] = { taints: [...(specs[name]?.taints ?? []), { key, value, effect }] };
    } else if (cordon !== null) {
      specs[cordon[1] ?? ''] = { unschedulable: true };
    }
  }
  return [
    node('node-a', 'zone-1', specs['node-a'] ?? {}),
    node('node-b', 'zone-2', specs['node-b'] ?? {}),
    node('node-c', 'zone-1', specs['node-c'] ?? {}),
  ];
}

describe('the scheduler beside kube-scheduler 1.36', () => {
  const cases = recordedCases();
  let taints: readonly string[] = [];
  const state = new ClusterState();
  const framework = new Framework(new VirtualTime());

  it('has recorded cases to compare with', () => {
    expect(cases.length).to.be.greaterThan(30);
  });

  for (const recorded of cases) {
    it(recorded.case, () => {
      // A taint or cordon lasts until the case after next undoes it, as recorded.
      taints = recorded.before ?? taints;
      if ((recorded.before ?? []).length > 0) taints = recorded.before ?? [];
      for (const one of nodesOf(taints)) state.setNode(one);
      const created = structuredClone(recorded.pod);
      created.metadata.namespace = 'rec-sched';
      created.metadata.uid = `uid-${recorded.case}`;
      podKind.setDefaults(created);
      const info = podInfoOf(created);
      const decision = framework.decide(info, state.cluster());
      const scheduled = recorded.status.conditions?.find(({ type }) => type === 'PodScheduled');
      if (recorded.nodeName === null) {
        expect(decision).to.deep.equal({ failure: scheduled?.message });
        return;
      }
      expect(decision).to.have.property('nodeName');
      state.assume(info, recorded.nodeName);
    });
  }
});
