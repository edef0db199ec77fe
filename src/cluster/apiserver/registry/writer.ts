/**
 * create, update, patch and delete, for all kinds. The order of the steps is that of the real
 * server (k8s.io/apiserver/pkg/endpoints/handlers and registry/rest): ownership, mutating
 * admission, strategy, validation, validating admission, allocation, transaction.
 */
import type { DeleteOptions } from '../../../gen/kube-meta-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../../api/object.js';
import { jsonEqual } from '../../api/patch/equal.js';
import type { FieldSet } from '../../api/patch/field-set.js';
import { resetFieldsOf, trackUpdate } from '../../api/patch/managed-fields.js';
import {
  OBJECT_MODIFIED,
  alreadyExists,
  apiError,
  conflict,
  invalid,
  isApiError,
  notFound,
  type FieldError,
} from '../../api/status.js';
import { apiVersionOf } from '../../api/object.js';
import { validateObjectMeta, validateObjectMetaUpdate } from '../../api/validation/object-meta.js';
import type { ClusterEnv } from '../../env.js';
import type { Admission } from '../admission/admission.js';
import type { WatchCache } from '../cache/watch-cache.js';
import type { User } from '../pipeline/exchange.js';
import type { ClaimChange, ObjectStore, WriteOutcome } from '../storage/object-store.js';
import { StoredObject } from '../storage/stored-object.js';
import type { Allocator } from './allocator.js';
import { isReleased, planDeletion, tooManyConflicts } from './deletion.js';
import {
  beginMetadata,
  countGeneration,
  generatedName,
  keepMetadata,
  settleName,
  settleNamespace,
  timeText,
} from './metadata.js';

/** Tries of a write against others that change the same object. */
const TRIES_MAX = 100;
/** Tries of a generated name. */
const NAME_TRIES_MAX = 8;

export interface WriteContext {
  readonly user: User;
  readonly manager: string;
  readonly isDryRun: boolean;
  /** Empty, or the subresource that is written: it owns its own part of the object. */
  readonly subresource: string;
  readonly warnings: string[];
}

/** Rules by which an update is settled and checked, beyond those that hold for all. */
export interface UpdateRules {
  /** Puts back what may not be changed here. */
  readonly prepareUpdate: (next: KubeObject, old: KubeObject) => void;
  readonly validateUpdate: (next: KubeObject, old: KubeObject) => FieldError[];
  /** A change of anything but metadata and status raises the generation. */
  readonly countsGeneration: boolean;
  /** Fields that nobody can own through here; undefined: the write is not tracked at all. */
  readonly resetFields: FieldSet | undefined;
}

/** Makes the wanted state from the current one; throws to refuse. */
export type Change = (current: KubeObject) => KubeObject | Promise<KubeObject>;

export interface WriterSetup {
  readonly store: ObjectStore;
  readonly env: ClusterEnv;
  readonly admission: Admission;
  readonly cacheOf: (kind: Kind) => WatchCache;
  readonly allocators: ReadonlyMap<Kind, Allocator>;
}

export interface Deleted {
  /** As it was last, or as it is while something holds it. */
  readonly stored: StoredObject;
  readonly isGone: boolean;
}

/** Action to be taken on an object. */
type Decision =
  | { readonly action: 'write'; readonly object: KubeObject }
  | {
      readonly action: 'remove';
      readonly object: KubeObject;
      /** The answer shows the revision of the removal; else that of the last write. */
      readonly isByDelete: boolean;
    }
  | { readonly action: 'nothing' };

export class Writer {
  private readonly store: ObjectStore;
  private readonly env: ClusterEnv;
  private readonly admission: Admission;
  private readonly cacheOf: (kind: Kind) => WatchCache;
  private readonly allocators: ReadonlyMap<Kind, Allocator>;

  constructor(setup: WriterSetup) {
    this.store = setup.store;
    this.env = setup.env;
    this.admission = setup.admission;
    this.cacheOf = setup.cacheOf;
    this.allocators = setup.allocators;
  }

  /** `object` is decoded and has its defaults; it is changed in place. */
  async create(
    kind: Kind,
    namespace: string,
    object: KubeObject,
    context: WriteContext,
  ): Promise<StoredObject> {
    settleNamespace(kind, object, namespace);
    this.own(kind, undefined, object, context, resetFieldsOf(kind, context.subresource));
    const { metadata } = object;
    const isGenerated = (metadata.name ?? '') === '' && (metadata.generateName ?? '') !== '';
    await this.admission.mutate(this.admissionOf('CREATE', kind, namespace, object, context));
    if ((metadata.resourceVersion ?? '') !== '' && !context.isDryRun) {
      throw apiError(500, '', 'resourceVersion should not be set on objects to be created');
    }
    beginMetadata(kind, object, this.env);
    kind.strategy.prepareCreate(object);
    for (let tries = 1; ; tries++) {
      if (isGenerated) {
        metadata.name = generatedName(this.env, metadata.generateName ?? '');
        // A namespace has a label with its name.
        kind.setDefaults(object);
      }
      const stored = await this.tryCreate(kind, namespace, object, context);
      if (stored !== undefined) return stored;
      const name = metadata.name ?? '';
      if (!isGenerated || tries >= NAME_TRIES_MAX) throw alreadyExists(kind, name);
    }
  }

  /** Undefined: there is one of this name. */
  private async tryCreate(
    kind: Kind,
    namespace: string,
    object: KubeObject,
    context: WriteContext,
  ): Promise<StoredObject | undefined> {
    const { strategy } = kind;
    this.refuse(kind, object, [
      ...validateObjectMeta(object.metadata, strategy.nameRule, kind.isNamespaced),
      ...kind.validate(object),
    ]);
    context.warnings.push(...(strategy.warnings?.(object, undefined) ?? []));
    await this.admission.validate(this.admissionOf('CREATE', kind, namespace, object, context));
    const key = keyOf(kind, namespace, object.metadata.name ?? '');
    const allocator = this.allocators.get(kind);
    const refused = new Set<string>();
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      // Values allocated in vain must not look like the client's own choice in the next try.
      const whole = allocator === undefined ? object : structuredClone(object);
      allocator?.allocate(whole, undefined, refused, context.isDryRun);
      if (context.isDryRun) {
        if ((await this.store.get(kind, key)) !== undefined) return undefined;
        const given = Number(object.metadata.resourceVersion ?? 0);
        const shown = Number.isSafeInteger(given) ? given : 0;
        return StoredObject.fromObject(kind, key, shown, whole);
      }
      const claims = { take: allocator?.claimsOf(whole) ?? [], giveBack: [] };
      const outcome = await this.store.write(kind, key, 0, whole, claims);
      if (outcome.done !== undefined) return outcome.done;
      if (outcome.current !== undefined) return undefined;
      for (const claim of outcome.refusedClaims) refused.add(claim);
    }
    throw tooManyConflicts(kind, object.metadata.name ?? '');
  }

  /**
   * Replaces the object by what `change` makes of it. The result may be gone: its last finalizer
   * went. `rules` are those of the main resource or of /status, unless others are given.
   */
  async update(
    kind: Kind,
    namespace: string,
    name: string,
    context: WriteContext,
    change: Change,
    rules = rulesOf(kind, context.subresource),
  ): Promise<StoredObject> {
    const { stored } = await this.decideAndWrite(
      kind,
      keyOf(kind, namespace, name),
      context,
      async (current) => {
        const next = await change(current.object);
        settleName(next, name);
        settleNamespace(kind, next, namespace);
        return this.decideUpdate(kind, namespace, current, next, context, rules);
      },
    );
    return stored;
  }

  /** As `update`, but creates the object when there is none (kinds that allow it). */
  async updateOrCreate(
    kind: Kind,
    namespace: string,
    object: KubeObject,
    context: WriteContext,
    change: Change,
  ): Promise<{ readonly stored: StoredObject; readonly isNew: boolean }> {
    const name = object.metadata.name ?? '';
    for (;;) {
      try {
        const stored = await this.update(kind, namespace, name, context, change);
        return { stored, isNew: false };
      } catch (error) {
        if (!isApiError(error, 'NotFound')) throw error;
      }
      try {
        const stored = await this.create(kind, namespace, structuredClone(object), context);
        return { stored, isNew: true };
      } catch (error) {
        if (!isApiError(error, 'AlreadyExists')) throw error;
      }
    }
  }

  async delete(
    kind: Kind,
    namespace: string,
    name: string,
    options: DeleteOptions,
    context: WriteContext,
  ): Promise<Deleted> {
    const request = this.admissionOf('DELETE', kind, namespace, undefined, context, name);
    await this.admission.mutate(request);
    return this.decideAndWrite(kind, keyOf(kind, namespace, name), context, async (current) => {
      const plan = planDeletion(kind, current.object, options, this.env.wallMs());
      await this.admission.validate(request);
      if (plan.isFinal) return { action: 'remove', object: plan.object, isByDelete: true };
      return plan.isChanged ? { action: 'write', object: plan.object } : { action: 'nothing' };
    });
  }

  private async decideUpdate(
    kind: Kind,
    namespace: string,
    stored: StoredObject,
    next: KubeObject,
    context: WriteContext,
    rules: UpdateRules,
  ): Promise<Decision> {
    const old = stored.object;
    checkVersion(kind, stored, next);
    next.metadata.resourceVersion = old.metadata.resourceVersion;
    if (rules.resetFields === undefined) next.metadata.managedFields = old.metadata.managedFields;
    else this.own(kind, old, next, context, rules.resetFields);
    await this.admission.mutate(this.admissionOf('UPDATE', kind, namespace, next, context));
    keepMetadata(next, old);
    rules.prepareUpdate(next, old);
    if (rules.countsGeneration) countGeneration(kind, next, old);
    this.refuse(kind, next, [
      ...validateObjectMetaUpdate(next.metadata, old.metadata),
      ...rules.validateUpdate(next, old),
    ]);
    context.warnings.push(...(kind.strategy.warnings?.(next, old) ?? []));
    await this.admission.validate(this.admissionOf('UPDATE', kind, namespace, next, context));
    if (isReleased(kind, next)) return { action: 'remove', object: next, isByDelete: false };
    if (jsonEqual(json(next), json(old))) return { action: 'nothing' };
    return { action: 'write', object: next };
  }

  /**
   * Decides on the object that the cache has, and writes. When the cache turns out to be behind, or
   * the decision is a refusal or to do nothing, it decides again on what the store has.
   */
  private async decideAndWrite(
    kind: Kind,
    key: string,
    context: WriteContext,
    decide: (current: StoredObject) => Promise<Decision>,
  ): Promise<Deleted> {
    let current = this.cacheOf(kind).index.get(key);
    let isFresh = false;
    // Nothing checks the result of a dry run against the store.
    if (current === undefined || context.isDryRun) {
      current = await this.store.get(kind, key);
      isFresh = true;
    }
    const refused = new Set<string>();
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (current === undefined) throw notFound(kind, nameOf(key));
      let decision: Decision;
      try {
        decision = await decide(current);
        if (decision.action === 'write') {
          const allocator = this.allocators.get(kind);
          allocator?.allocate(decision.object, current.object, refused, context.isDryRun);
        }
      } catch (error) {
        if (isFresh) throw error;
        decision = { action: 'nothing' };
      }
      if (decision.action === 'nothing' && isFresh) return { stored: current, isGone: false };
      if (decision.action === 'nothing') {
        current = await this.store.get(kind, key);
        isFresh = true;
        continue;
      }
      const outcome = await this.carryOut(kind, current, decision, context);
      const isGone = decision.action === 'remove';
      if (outcome.done !== undefined) return { stored: outcome.done, isGone };
      for (const claim of outcome.refusedClaims) refused.add(claim);
      current = outcome.current;
      isFresh = true;
    }
    throw tooManyConflicts(kind, nameOf(key));
  }

  private async carryOut(
    kind: Kind,
    current: StoredObject,
    decision: Exclude<Decision, { action: 'nothing' }>,
    context: WriteContext,
  ): Promise<WriteOutcome> {
    const { key, revision } = current;
    const { action, object } = decision;
    if (context.isDryRun) return { done: StoredObject.fromObject(kind, key, revision, object) };
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

  private own(
    kind: Kind,
    live: KubeObject | undefined,
    next: KubeObject,
    { manager, subresource }: WriteContext,
    resetFields: FieldSet,
  ): void {
    const entries = trackUpdate({
      message: kind.message,
      live: live === undefined ? undefined : json(live),
      next: json(next),
      resetFields,
      manager,
      apiVersion: apiVersionOf(kind.group, kind.version),
      subresource,
      nowText: timeText(this.env),
    });
    if (entries === undefined) delete next.metadata.managedFields;
    else next.metadata.managedFields = entries;
  }

  private refuse(kind: Kind, object: KubeObject, errors: readonly FieldError[]): void {
    if (errors.length === 0) return;
    throw invalid({ group: kind.group, resource: kind.kind }, object.metadata.name ?? '', errors);
  }

  private admissionOf(
    operation: 'CREATE' | 'UPDATE' | 'DELETE',
    kind: Kind,
    namespace: string,
    object: KubeObject | undefined,
    { user, subresource }: WriteContext,
    name = object?.metadata.name ?? '',
  ): Parameters<Admission['mutate']>[0] {
    return { operation, kind, subresource, namespace, name, user, object };
  }
}

export function keyOf(kind: Kind, namespace: string, name: string): string {
  return kind.isNamespaced ? `${namespace}/${name}` : name;
}

function nameOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

function json(object: KubeObject): JsonObject {
  return object as unknown as JsonObject;
}

function rulesOf(kind: Kind, subresource: string): UpdateRules {
  const resetFields = resetFieldsOf(kind, subresource);
  if (subresource === 'status' && kind.status !== undefined) {
    return { ...kind.status, countsGeneration: false, resetFields };
  }
  return {
    prepareUpdate: kind.strategy.prepareUpdate,
    validateUpdate: (next, old) => [...kind.validate(next, old), ...kind.validateUpdate(next, old)],
    countsGeneration: true,
    resetFields,
  };
}

/** An update may name the version that it replaces. */
function checkVersion(kind: Kind, stored: StoredObject, next: KubeObject): void {
  const { metadata } = stored.object;
  const { resourceVersion = '', name = '' } = next.metadata;
  if (resourceVersion === '' && !kind.strategy.allowsUnconditionalUpdate) {
    throw invalid({ group: kind.group, resource: kind.kind }, name, [
      {
        reason: 'FieldValueInvalid',
        field: 'metadata.resourceVersion',
        message: 'Invalid value: 0: must be specified for an update',
      },
    ]);
  }
  if (resourceVersion !== '' && resourceVersion !== metadata.resourceVersion) {
    throw conflict(kind, name, OBJECT_MODIFIED);
  }
}
