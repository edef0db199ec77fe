import { expect } from 'chai';
import type { Deployment } from '../../../src/gen/kube-apps-v1.js';
import type { KubeObject } from '../../../src/cluster/api/object.js';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  ENDPOINTS,
  EVENTS,
  PODS,
  REPLICA_SETS,
  SERVICE_ACCOUNTS,
} from '../../../src/cluster/client/resource-types.js';
import { areCombined, eventTexts, masked, recordingOf, statesAt } from './recording.js';
import { Replay } from './replay.js';
import { ROOT_CA } from './world.js';

/** Without steps that show only when there is time to see them. */
function progress(states: readonly KubeObject[]): string[] {
  const reasons = (states as readonly Deployment[])
    .map(
      ({ status }) => status?.conditions?.find(({ type }) => type === 'Progressing')?.reason ?? '',
    )
    .filter((reason) => reason !== '' && reason !== 'ReplicaSetUpdated');
  const steps = reasons.filter((reason, index) => reason !== reasons[index - 1]);
  // The real one lost this step to a conflict with its own write just before.
  return steps.filter(
    (step, index) => step !== 'NewReplicaSetCreated' || steps[index - 1] !== 'DeploymentResumed',
  );
}

describe('controllers: deployments as the real ones do them', () => {
  for (const name of [
    'deployment',
    'deployment-history-limit',
    'deployment-maxsurge0',
    'deployment-proportional',
    'deployment-recreate',
    'deployment-selector-clash',
    'deployment-stuck',
  ]) {
    it(name, async () => {
      const recording = recordingOf(name);
      const replay = new Replay(recording);
      await replay.run((dt, before) => {
        const realSets = statesAt(recording, 'replicasets', dt);
        const ourSets = replay.ours(REPLICA_SETS);
        const real = masked([...statesAt(recording, 'deployments', dt), ...realSets], realSets);
        const ours = masked([...replay.ours(DEPLOYMENTS), ...ourSets], ourSets);
        expect(ours, `before: ${before}`).to.deep.equal(real);
      });
      const ourStates = replay.world.history.filter(({ kind }) => kind === 'Deployment');
      const realStates = recording.stream
        .filter(({ resource }) => resource === 'deployments')
        .map(({ object }) => object);
      expect(progress(ourStates)).to.deep.equal(progress(realStates));

      const realSets = everSeen(recording.stream.map(({ object }) => object));
      const realEvents = statesAt(recording, 'events', Infinity);
      // The steps of a long rollout depend on the moments at which its pods become ready.
      if (realEvents.length === 0 || areCombined(realEvents)) return;
      const ourSets = everSeen(replay.world.history);
      for (const component of ['deployment-controller', 'replicaset-controller']) {
        const ours = eventTexts(replay.ours(EVENTS), ourSets, component);
        expect(ours).to.deep.equal(eventTexts(realEvents, realSets, component));
      }
    });
  }
});

describe('controllers: other recordings', () => {
  it('replicaset-adoption', async () => {
    const recording = recordingOf('replicaset-adoption');
    const replay = new Replay(recording);
    await replay.run((dt, before) => {
      const realSets = statesAt(recording, 'replicasets', dt);
      const ourSets = replay.ours(REPLICA_SETS);
      const what = `before: ${before}`;
      expect(masked(ourSets, ourSets), what).to.deep.equal(masked(realSets, realSets));
      expect(ownership(replay.ours(PODS)), what).to.deep.equal(
        ownership(statesAt(recording, 'pods', dt)),
      );
    });
  });

  it('endpointslice', async () => {
    const recording = recordingOf('endpointslice');
    const replay = new Replay(recording);
    await replay.run((dt, before) => {
      const what = `before: ${before}`;
      const realSlices = statesAt(recording, 'endpointslices', dt).filter(isNotMirrored);
      expect(placeless(replay.ours(ENDPOINT_SLICES)), what).to.deep.equal(placeless(realSlices));
      const realEndpoints = statesAt(recording, 'endpoints', dt);
      expect(placeless(replay.ours(ENDPOINTS)), what).to.deep.equal(placeless(realEndpoints));
    });
  });

  it('serviceaccount-and-root-ca', async () => {
    const recording = recordingOf('serviceaccount-and-root-ca');
    const replay = new Replay(recording);
    await replay.run(() => undefined);
    const certified = (text: string): string =>
      text.replaceAll(JSON.stringify(ROOT_CA), '"<PEM CERTIFICATE>"');
    const real = [
      ...statesAt(recording, 'serviceaccounts', Infinity),
      ...statesAt(recording, 'configmaps', Infinity),
    ];
    const ours = [...replay.ours(SERVICE_ACCOUNTS), ...replay.ours(CONFIG_MAPS)];
    expect(masked(ours, []).map((one) => certified(JSON.stringify(one)))).to.deep.equal(
      masked(real, []).map((one) => JSON.stringify(one)),
    );
  });
});

/** Pods with their owners, as texts. */
function ownership(pods: readonly KubeObject[]): string[] {
  return pods
    .map(({ metadata }) => {
      const [owner] = metadata.ownerReferences ?? [];
      const name = metadata.generateName === undefined ? metadata.name : metadata.generateName;
      const references = JSON.stringify(owner === undefined ? {} : { ...owner, uid: '' });
      return `${name ?? ''} ${metadata.labels?.['app'] ?? ''} ${references}`;
    })
    .sort();
}

function isNotMirrored({ metadata }: KubeObject): boolean {
  const manager = metadata.labels?.['endpointslice.kubernetes.io/managed-by'] ?? '';
  return !manager.startsWith('endpointslicemirroring');
}

/** Without names, addresses, nodes and times; ports in one order. */
function placeless(objects: readonly KubeObject[]): string[] {
  return masked(objects, []).map((object) =>
    JSON.stringify(object)
      .replace(/"ports":\[(.*?)\]/g, (_match, list: string) =>
        [
          '"ports":',
          ...list
            .split('},')
            .map((port) => port.replace('}', ''))
            .sort(),
        ].join('|'),
      )
      .replace(/"name":"(\w+)-[a-z0-9]{5}"/g, '"name":"$1-<5>"')
      .replace(/10\.244\.\d+\.\d+/g, '<IP>')
      .replace(/node-[abc]/g, '<NODE>')
      .replace(/"zone-\d"/g, '"<ZONE>"')
      .replace(/\d{4}-\d\d-\d\dT[\d:]+Z/g, '<TIME>'),
  );
}

/** ReplicaSets, each once, in the order in which they came. */
function everSeen(objects: readonly KubeObject[]): KubeObject[] {
  const sets = objects.filter(({ kind }) => kind === 'ReplicaSet');
  return [...new Map(sets.map((set) => [set.metadata.name, set])).values()];
}
