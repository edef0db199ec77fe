import { expect } from 'chai';
import { sortForDeletion } from '../../../../src/cluster/controllers/replicaset/deletion-order.js';
import type { Pod } from '../../../../src/gen/kube-core-v1.js';

const NOW_MS = Date.UTC(2026, 0, 2);

interface Facts {
  readonly node?: string;
  readonly phase?: string;
  readonly readyMs?: number;
  readonly cost?: string;
  readonly restarts?: number;
  readonly ageMs?: number;
}

function pod(name: string, facts: Facts): Pod {
  const { node = 'n', phase = 'Running', readyMs, cost, restarts = 0, ageMs = 3_600_000 } = facts;
  const at = (ms: number): string => new Date(NOW_MS - ms).toISOString();
  const status = { name: 'c', ready: true, restartCount: restarts, image: 'x', imageID: '' };
  const since = readyMs === undefined ? {} : { lastTransitionTime: at(readyMs) };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      uid: name,
      creationTimestamp: at(ageMs),
      annotations: cost === undefined ? {} : { 'controller.kubernetes.io/pod-deletion-cost': cost },
    },
    spec: { nodeName: node, containers: [{ name: 'c' }] },
    status: {
      phase,
      conditions: [{ type: 'Ready', status: readyMs === undefined ? 'False' : 'True', ...since }],
      containerStatuses: [status],
    },
  };
}

/** Pairs: the first goes before the second. */
const PAIRS: Readonly<Record<string, readonly [Facts, Facts]>> = {
  'without a node': [{ node: '', readyMs: 1e6 }, { phase: 'Pending' }],
  pending: [{ phase: 'Pending' }, { phase: 'Unknown' }],
  unknown: [{ phase: 'Unknown' }, { phase: 'Running' }],
  'not ready': [{ cost: '100' }, { readyMs: 1e6 }],
  cheap: [
    { readyMs: 1e7, cost: '-5' },
    { readyMs: 1e3, cost: '7' },
  ],
  'not a cost': [
    { readyMs: 1e3, cost: '1e9' },
    { readyMs: 1e6, cost: '1' },
  ],
  'on a crowded node': [
    { readyMs: 1e7, node: 'crowded' },
    { readyMs: 1e3, node: 'n' },
  ],
  'ready for a shorter time': [{ readyMs: 1000 }, { readyMs: 100_000, restarts: 9 }],
  'restarted more': [
    { readyMs: 100_000, restarts: 3 },
    { readyMs: 100_001, restarts: 1, ageMs: 1000 },
  ],
  younger: [{ ageMs: 1000 }, { ageMs: 100_000 }],
};

describe('pods of a ReplicaSet that go first', () => {
  const crowd = ({ spec }: Pod): number => (spec.nodeName === 'crowded' ? 2 : 1);
  for (const [what, [first, second]] of Object.entries(PAIRS)) {
    it(what, () => {
      // Names by which the order would be the other one.
      const pods = [pod('a', second), pod('b', first)];
      const names = (list: readonly Pod[]): unknown[] => list.map(({ metadata }) => metadata.name);
      expect(names(sortForDeletion(pods, crowd, NOW_MS))).to.deep.equal(['b', 'a']);
      expect(names(sortForDeletion([...pods].reverse(), crowd, NOW_MS))).to.deep.equal(['b', 'a']);
    });
  }
});
