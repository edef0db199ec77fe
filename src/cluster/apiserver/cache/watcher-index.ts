/**
 * Watchers by what wakes them, so that a change costs as much as the watchers that may want it:
 * a thousand kubelets watch pods by node name, and one of them is woken.
 */
import type { Kind } from '../../api/kinds/kind.js';
import type { StoredObject } from '../storage/stored-object.js';
import { fieldOf, type ObjectFilter } from './filter.js';
import type { Watcher } from './watcher.js';

export class WatcherIndex {
  private readonly kind: Kind;
  private readonly indexedFields: readonly string[];
  private readonly byTrigger = new Map<string, Set<Watcher>>();
  private readonly triggers = new Map<Watcher, string>();

  constructor(kind: Kind, indexedFields: readonly string[]) {
    this.kind = kind;
    this.indexedFields = indexedFields;
  }

  get size(): number {
    return this.triggers.size;
  }

  all(): Iterable<Watcher> {
    return [...this.triggers.keys()];
  }

  add(watcher: Watcher): void {
    const trigger = this.triggerOf(watcher.filter);
    this.triggers.set(watcher, trigger);
    const set = this.byTrigger.get(trigger);
    if (set === undefined) this.byTrigger.set(trigger, new Set([watcher]));
    else set.add(watcher);
  }

  delete(watcher: Watcher): void {
    const trigger = this.triggers.get(watcher);
    if (trigger === undefined) return;
    this.triggers.delete(watcher);
    const set = this.byTrigger.get(trigger);
    set?.delete(watcher);
    if (set?.size === 0) this.byTrigger.delete(trigger);
  }

  /** Adds those that a change of `key` may concern. */
  collect(
    key: string,
    previous: StoredObject | undefined,
    next: StoredObject | undefined,
    into: Set<Watcher>,
  ): void {
    if (this.byTrigger.size === 0) return;
    this.addAll('*', into);
    this.addAll(`key=${key}`, into);
    const slash = key.indexOf('/');
    if (slash !== -1) this.addAll(`prefix=${key.slice(0, slash + 1)}`, into);
    for (const field of this.indexedFields) {
      const before =
        previous === undefined ? undefined : fieldOf(this.kind, previous.object, field);
      const after = next === undefined ? undefined : fieldOf(this.kind, next.object, field);
      if (before !== undefined) this.addAll(`${field}=${before}`, into);
      if (after !== undefined && after !== before) this.addAll(`${field}=${after}`, into);
    }
  }

  private addAll(trigger: string, into: Set<Watcher>): void {
    for (const watcher of this.byTrigger.get(trigger) ?? []) into.add(watcher);
  }

  private triggerOf({ prefix, isSingle, fields }: ObjectFilter): string {
    if (isSingle) return `key=${prefix}`;
    const term = fields.find(({ field, isEqual }) => isEqual && this.indexedFields.includes(field));
    if (term !== undefined) return `${term.field}=${term.value}`;
    return prefix === '' ? '*' : `prefix=${prefix}`;
  }
}
