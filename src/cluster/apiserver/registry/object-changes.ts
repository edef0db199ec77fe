/**
 * Changes of objects that exist: decide on the current state, write on condition that it still is
 * the current one, and decide again when it is not (GuaranteedUpdate of k8s.io/apiserver).
 */
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import { notFound } from '../../api/status.js';
import type { ClusterEnv } from '../../env.js';
import type { WatchCache } from '../cache/watch-cache.js';
import type { ClaimChange, ObjectStore, WriteOutcome } from '../storage/object-store.js';
import { StoredObject } from '../storage/stored-object.js';
import type { Allocator } from './allocator.js';
import { tooManyConflicts } from './deletion.js';
import { KeyQueue } from './key-queue.js';
import { nameOfKey } from './object-key.js';

/** Tries of a write against others that change the same object. */
export const TRIES_MAX = 100;
/** Longest wait for other changes of an object: as long as one call to the store may take. */
const QUEUE_PATIENCE_MS = 5000;

/** Wish of a writer for the object that it was shown. */
export type Decision =
  | { readonly action: 'write'; readonly object: KubeObject }
  | {
      readonly action: 'remove';
      readonly object: KubeObject;
      /** The answer shows the revision of the removal; else that of the last write. */
      readonly isByDelete: boolean;
    }
  | { readonly action: 'nothing' };

/** Throws to refuse. */
export type Decide = (current: StoredObject) => Promise<Decision>;

export interface Changed {
  /** The object as it was last, or as it is while something holds it. */
  readonly stored: StoredObject;
  readonly isGone: boolean;
}

export interface ObjectChangesSetup {
  readonly env: ClusterEnv;
  readonly store: ObjectStore;
  readonly cacheOf: (kind: Kind) => WatchCache;
  readonly allocators: ReadonlyMap<Kind, Allocator>;
}

export class ObjectChanges {
  private readonly store: ObjectStore;
  private readonly cacheOf: (kind: Kind) => WatchCache;
  private readonly allocators: ReadonlyMap<Kind, Allocator>;
  private readonly queue: KeyQueue<StoredObject>;

  constructor({ env, store, cacheOf, allocators }: ObjectChangesSetup) {
    this.store = store;
    this.cacheOf = cacheOf;
    this.allocators = allocators;
    this.queue = new KeyQueue(env, QUEUE_PATIENCE_MS);
  }

  /**
   * Changes of one object line up: each starts from the outcome of the one before, as all but one
   * of several at once would fail. Throws: what `decide` throws, ApiError 404, or 500 when other
   * servers change the object faster.
   */
  run(kind: Kind, key: string, isDryRun: boolean, decide: Decide): Promise<Changed> {
    if (isDryRun) return this.change(kind, key, isDryRun, decide, undefined);
    return this.queue.run(
      `${kind.storagePrefix}${key}`,
      (latest) => this.change(kind, key, isDryRun, decide, latest),
      ({ stored, isGone }) => (isGone ? undefined : stored),
    );
  }

  /**
   * Decides on the object that the cache has, unless a later one is known. When the cache turns out
   * to be behind, or the decision is a refusal or to do nothing, it decides again on the store's.
   */
  private async change(
    kind: Kind,
    key: string,
    isDryRun: boolean,
    decide: Decide,
    latest: StoredObject | undefined,
  ): Promise<Changed> {
    let current = latest ?? this.cacheOf(kind).index.get(key);
    let isFresh = false;
    // Nothing checks the result of a dry run against the store.
    if (current === undefined || isDryRun) {
      current = await this.store.get(kind, key);
      isFresh = true;
    }
    const refused = new Set<string>();
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (current === undefined) throw notFound(kind, nameOfKey(key));
      let decision: Decision;
      try {
        decision = await decide(current);
        if (decision.action === 'write') {
          const allocator = this.allocators.get(kind);
          allocator?.allocate(decision.object, current.object, refused, isDryRun);
        }
      } catch (error) {
        if (isFresh) throw error;
        decision = { action: 'nothing' };
      }
      if (decision.action === 'nothing') {
        if (isFresh) return { stored: current, isGone: false };
        current = await this.store.get(kind, key);
        isFresh = true;
        continue;
      }
      const outcome = await this.carryOut(kind, current, decision, isDryRun);
      const isGone = decision.action === 'remove';
      if (outcome.done !== undefined) return { stored: outcome.done, isGone };
      for (const claim of outcome.refusedClaims) refused.add(claim);
      current = outcome.current;
      isFresh = true;
    }
    throw tooManyConflicts(kind, nameOfKey(key));
  }

  private async carryOut(
    kind: Kind,
    current: StoredObject,
    decision: Exclude<Decision, { action: 'nothing' }>,
    isDryRun: boolean,
  ): Promise<WriteOutcome> {
    const { key, revision } = current;
    const { action, object } = decision;
    if (isDryRun) return { done: StoredObject.fromObject(kind, key, revision, object) };
    const claims = this.claimsOf(kind, current.object, action === 'remove' ? undefined : object);
    if (decision.action === 'write') return this.store.write(kind, key, revision, object, claims);
    const outcome = await this.store.delete(kind, current, claims);
    if (outcome.done === undefined) return outcome;
    const shown = decision.isByDelete ? outcome.done.revision : revision;
    return { done: StoredObject.fromObject(kind, key, shown, object) };
  }

  private claimsOf(kind: Kind, old: KubeObject, next: KubeObject | undefined): ClaimChange {
    const allocator = this.allocators.get(kind);
    if (allocator === undefined) return { take: [], giveBack: [] };
    const before = allocator.claimsOf(old);
    const after = next === undefined ? [] : allocator.claimsOf(next);
    return {
      take: after.filter((claim) => !before.includes(claim)),
      giveBack: before.filter((claim) => !after.includes(claim)),
    };
  }
}
