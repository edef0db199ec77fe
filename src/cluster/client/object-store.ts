import type { KubeObject } from '../api/object.js';

/** By which values an object is found; depends on the object alone. */
export type IndexValues<T> = (object: T) => readonly string[];

/** Objects by key, with indexes. */
export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<IndexValues<T>, Map<string, Map<string, T>>>();

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  all(): readonly T[] {
    return [...this.#objects.values()];
  }

  set(key: string, object: T): void {
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const [values, index] of this.#indexes) {
      if (old !== undefined) remove(index, values(old), key);
      insert(index, values(object), key, object);
    }
  }

  delete(key: string): void {
    const old = this.#objects.get(key);
    if (old === undefined) return;
    this.#objects.delete(key);
    for (const [values, index] of this.#indexes) remove(index, values(old), key);
  }

  /** The look-up of an index; the same function gives the same index. */
  index(values: IndexValues<T>): (value: string) => readonly T[] {
    const known = this.#indexes.get(values);
    const index = known ?? new Map<string, Map<string, T>>();
    if (known === undefined) {
      for (const [key, object] of this.#objects) insert(index, values(object), key, object);
      this.#indexes.set(values, index);
    }
    return (value) => [...(index.get(value)?.values() ?? [])];
  }
}

function insert<T>(
  index: Map<string, Map<string, T>>,
  values: readonly string[],
  key: string,
  object: T,
): void {
  for (const value of values) {
    const found = index.get(value);
    if (found === undefined) index.set(value, new Map([[key, object]]));
    else found.set(key, object);
  }
}

function remove<T>(
  index: Map<string, Map<string, T>>,
  values: readonly string[],
  key: string,
): void {
  for (const value of values) {
    const found = index.get(value);
    found?.delete(key);
    if (found?.size === 0) index.delete(value);
  }
}
