import type { KubeObject } from '../../../src/cluster/api/object.js';
import type { ResourceType } from '../../../src/cluster/api/kinds/kind.js';
import { isQuietAt, targetOf, type Action, type Recording } from './recording.js';
import { World } from './world.js';

/** Time that the recorder needed between an answer and what followed. */
const LATE_MS = 60;

/** The actions of a recording, done to our controllers at the same times. */
export class Replay {
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

  /** Objects of a resource that are there now, oldest first. */
  ours<T extends KubeObject>(type: ResourceType<T>): T[] {
    const names = this.world.history.map(({ metadata }) => metadata.name ?? '');
    const age = ({ metadata }: KubeObject): number => names.indexOf(metadata.name ?? '');
    return this.world.api.list(type, this.namespace).sort((a, b) => age(a) - age(b));
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
