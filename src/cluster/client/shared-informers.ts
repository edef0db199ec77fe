import type { Logger } from '../../base/observe/logger.js';
import type { ResourceType } from '../api/kinds/kind.js';
import type { KubeObject } from '../api/object.js';
import type { ClusterEnv } from '../env.js';
import type { KubeClient } from './client.js';
import { Informer } from './informer.js';
import { resourcePath } from './resource-path.js';

/**
 * The informers of one process, one a resource, each over all namespaces: components that need the
 * same objects share the copy and the watch.
 */
export class SharedInformers {
  readonly #env: ClusterEnv;
  readonly #log: Logger;
  readonly #client: KubeClient;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  #isStarted = false;

  constructor(env: ClusterEnv, log: Logger, client: KubeClient) {
    this.#env = env;
    this.#log = log;
    this.#client = client;
  }

  /** The informer of a resource; it follows from `start` on, or at once after that. */
  of<T extends KubeObject>(type: ResourceType<T>): Informer<T> {
    const path = resourcePath(type, '');
    // A path leads to objects of one type.
    const known = this.#informers.get(path) as Informer<T> | undefined;
    if (known !== undefined) return known;
    const informer = new Informer<T>({
      env: this.#env,
      log: this.#log.child({ resource: type.resource }),
      client: this.#client.resource(type),
    });
    this.#informers.set(path, informer as unknown as Informer<KubeObject>);
    if (this.#isStarted) informer.start();
    return informer;
  }

  start(): void {
    this.#isStarted = true;
    for (const informer of this.#informers.values()) informer.start();
  }

  /** True once all informers there are now have their content; false when they were stopped before. */
  async synced(): Promise<boolean> {
    const all = [...this.#informers.values()].map(({ synced }) => synced);
    return (await Promise.all(all)).every((hasSynced) => hasSynced);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.stop()));
  }
}
