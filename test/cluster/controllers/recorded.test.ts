import { expect } from 'chai';
import type { Deployment } from '../../../src/gen/kube-apps-v1.js';
import type { KubeObject } from '../../../src/cluster/api/object.js';
import { DEPLOYMENTS, EVENTS, REPLICA_SETS } from '../../../src/cluster/client/resource-types.js';
import {
  eventTexts,
  isQuietAt,
  masked,
  recordingOf,
  statesAt,
  targetOf,
  type Action,
  type Recording,
} from './recording.js';
import { World } from './world.js';

/** Time that the recorder needed between an answer and what followed. */
const LATE_MS = 60;

class Replay {
  readonly world = new World();
  readonly recording: Recording;
  private readonly namespace: string;

  constructor(recording: Recording) {
    this.recording = recording;
    this.namespace = targetOf(recording.actions[0]?.request.path ?? '').namespace;
    this.world.addNamespace(this.namespace);
  }

  /** Calls `compare` before each action for which all was quiet, and at the end. */
  async run(compare: (dt: number, before: string) => void): Promise<void> {
    const { time } = this.world;
    this.world.start();
    for (const action of this.recording.actions) {
      await time.advance(Math.max(0, action.dt - LATE_MS - time.monoMs()));
      if (isQuietAt(this.recording, action.dt - LATE_MS)) {
        compare(action.dt - LATE_MS, action.what);
      }
      await this.act(action);
    }
    await time.advance(30_000);
    compare(Infinity, 'the end');
    await this.world.stop();
  }

  ours(type: typeof REPLICA_SETS | typeof DEPLOYMENTS | typeof EVENTS): KubeObject[] {
    const names = this.world.history.map(({ metadata }) => metadata.name ?? '');
    const age = ({ metadata }: KubeObject): number => names.indexOf(metadata.name ?? '');
    return this.world.api.list<KubeObject>(type, this.namespace).sort((a, b) => age(a) - age(b));
  }

  private async act({ request }: Action): Promise<void> {
    const { type, namespace, name } = targetOf(request.path);
    const { time, client } = this.world;
    const { group, version, kind } = type;
    const apiVersion = group === '' ? version : `${group}/${version}`;
    const resource = client.resource(type, namespace);
    const { body = {} } = request;
    if (request.method === 'POST') {
      const object = structuredClone(body) as unknown as KubeObject;
      const metadata = { ...object.metadata, namespace };
      await this.world.create(type, { ...object, apiVersion, kind, metadata });
    } else if (request.method === 'PATCH') {
      await time.run(resource.patch(name, 'strategic', body));
    } else {
      await time.run(resource.delete(name));
    }
  }
}

/** Without steps that show only when there is time to see them. */
function progress(states: readonly KubeObject[]): string[] {
  const reasons = (states as readonly Deployment[])
    .map(
      ({ status }) => status?.conditions?.find(({ type }) => type === 'Progressing')?.reason ?? '',
    )
    .filter((reason) => reason !== '' && reason !== 'ReplicaSetUpdated');
  return reasons.filter((reason, index) => reason !== reasons[index - 1]);
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
      for (const component of ['deployment-controller', 'replicaset-controller']) {
        if (realEvents.length === 0) continue;
        expect(
          eventTexts(replay.ours(EVENTS), everSeen(replay.world.history), component),
        ).to.deep.equal(eventTexts(realEvents, realSets, component));
      }
    });
  }
});

/** ReplicaSets, each once, in the order in which they came. */
function everSeen(objects: readonly KubeObject[]): KubeObject[] {
  const sets = objects.filter(({ kind }) => kind === 'ReplicaSet');
  return [...new Map(sets.map((set) => [set.metadata.name, set])).values()];
}
