import { invariant } from '../../base/invariant.js';
import type { Logger } from '../../base/observe/logger.js';
import { deepFreeze, type KubeObject } from '../api/object.js';
import { everything } from '../api/selector.js';
import type { ClusterEnv } from '../env.js';
import { turnsOf } from '../turns.js';
import type { ResourceClient } from './client.js';
import { ObjectStore, type IndexValues } from './object-store.js';
import { Reflector, type ReflectorSink } from './reflector.js';

/** Called after the store has changed; each must be short, and leave work to a queue. */
export interface InformerHandler<T> {
  readonly onAdd?: (object: T) => void;
  readonly onUpdate?: (object: T, old: T) => void;
  /**
   * `isStale`: the deletion itself was not seen, so `object` is an older state than the last.
   */
  readonly onDelete?: (object: T, isStale: boolean) => void;
}

export interface InformerOptions<T extends KubeObject> {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: ResourceClient<T>;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** `namespace/name`, or the name alone of what is in no namespace. */
export function keyOf({ metadata }: KubeObject): string {
  const { namespace = '', name = '' } = metadata;
  return namespace === '' ? name : `${namespace}/${name}`;
}

export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const at = key.indexOf('/');
  return { namespace: key.slice(0, Math.max(0, at)), name: key.slice(at + 1) };
}

/**
 * A copy of one collection that follows the API server, shared by all that need it in a process.
 *
 * Its guarantees:
 * - each object in it was the object's state at some moment, and never goes back to an older one;
 * - as long as the API server can be reached, it becomes equal to what the server holds;
 * - a handler sees each object as one add, any number of updates, one delete, in this order; states
 *   in between may be left out, and a deletion followed by a new object of the same name is never
 *   one update;
 * - when a handler is called, the store has the change already.
 *
 * It is behind by its nature: who has just written something may not find it here yet. Objects are
 * frozen, and may be shared with other parts of the process.
 */
export class Informer<T extends KubeObject> {
  readonly #options: InformerOptions<T>;
  readonly #store = new ObjectStore<T>();
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #abort = new AbortController();
  readonly #byNamespace: (namespace: string) => readonly T[];
  #run: Promise<void> | undefined;
  #hasSynced = false;
  #onSynced: (hasSynced: boolean) => void = () => undefined;

  /** True once the store has the content and handlers have seen it; false if it was stopped before. */
  readonly synced: Promise<boolean>;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#byNamespace = this.#store.index(({ metadata }) => [metadata.namespace ?? '']);
    this.synced = new Promise((resolve) => {
      this.#onSynced = resolve;
    });
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  start(): void {
    invariant(this.#run === undefined, 'an informer is started once');
    const sink: ReflectorSink<T> = {
      replace: (objects) => this.#replace(objects),
      apply: (type, object) => this.#apply(type, object),
    };
    this.#run = new Reflector({ ...this.#options, sink }).run(this.#abort.signal);
  }

  /** Resolves when it follows no longer; its content stays as it is. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#onSynced(false);
    await this.#run;
  }

  /** Shows the handler what is there as adds, then each change. Returns its removal. */
  addHandler(handler: InformerHandler<T>): () => void {
    for (const object of this.#store.all()) this.#call(() => handler.onAdd?.(object));
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** `namespace` is empty for what is in none. */
  get(namespace: string, name: string): T | undefined {
    return this.#store.get(namespace === '' ? name : `${namespace}/${name}`);
  }

  getByKey(key: string): T | undefined {
    return this.#store.get(key);
  }

  /** All objects, or those of one namespace, of which `selects` takes the labels. */
  list(namespace = '', selects = everything): readonly T[] {
    const objects = namespace === '' ? this.#store.all() : this.#byNamespace(namespace);
    if (selects === everything) return objects;
    return objects.filter(({ metadata }) => selects(metadata.labels ?? {}));
  }

  /**
   * Keeps the objects by what `values` says of each, and returns the look-up. The same function
   * gives the same index. `values` depends on the object alone.
   */
  index(values: IndexValues<T>): (value: string) => readonly T[] {
    return this.#store.index(values);
  }

  async #replace(objects: readonly T[]): Promise<void> {
    const turns = turnsOf(this.#options.env);
    const kept = new Set<string>();
    for (const object of objects) {
      kept.add(keyOf(object));
      this.#set(object);
      const pause = turns.pause();
      if (pause !== undefined) await pause;
    }
    for (const old of this.#store.all()) {
      if (!kept.has(keyOf(old))) this.#delete(old, true);
      const pause = turns.pause();
      if (pause !== undefined) await pause;
    }
    this.#hasSynced = true;
    this.#onSynced(true);
  }

  #apply(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T): void {
    if (type !== 'DELETED') this.#set(object);
    else if (this.#store.get(keyOf(object)) !== undefined) this.#delete(object, false);
  }

  #set(object: T): void {
    const key = keyOf(object);
    const old = this.#store.get(key);
    const { uid, resourceVersion } = object.metadata;
    if (old !== undefined && old.metadata.uid !== uid) {
      this.#delete(old, true);
      this.#set(object);
      return;
    }
    if (old !== undefined && old.metadata.resourceVersion === resourceVersion) return;
    this.#store.set(key, deepFreeze(object));
    for (const handler of this.#handlers) {
      this.#call(() => {
        if (old === undefined) handler.onAdd?.(object);
        else handler.onUpdate?.(object, old);
      });
    }
  }

  #delete(object: T, isStale: boolean): void {
    this.#store.delete(keyOf(object));
    deepFreeze(object);
    for (const handler of this.#handlers) this.#call(() => handler.onDelete?.(object, isStale));
  }

  /** One handler's error is not the others'. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#options.log.error('a handler of events failed', { error });
    }
  }
}
