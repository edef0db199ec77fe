/**
 * create, update, patch and delete, for all kinds. The order of the steps is that of the real
 * server (k8s.io/apiserver/pkg/endpoints/handlers and registry/rest): ownership, mutating
 * admission, strategy, validation, validating admission, allocation, transaction.
 */
import type { DeleteOptions } from '../../../gen/kube-meta-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import { apiVersionOf, type JsonObject, type KubeObject } from '../../api/object.js';
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
  type FieldError,
} from '../../api/status.js';
import { validateObjectMeta, validateObjectMetaUpdate } from '../../api/validation/object-meta.js';
import type { ClusterEnv } from '../../env.js';
import type { Admission, AdmissionRequest } from '../admission/admission.js';
import type { User } from '../pipeline/exchange.js';
import type { ObjectStore } from '../storage/object-store.js';
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
import { keyOf } from './object-key.js';
import {
  ObjectChanges,
  TRIES_MAX,
  type Changed,
  type Decision,
  type ObjectChangesSetup,
} from './object-changes.js';
import { updateRulesOf, type UpdateRules } from './update-rules.js';

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

/** Makes the wanted state from the current one; throws to refuse. */
export type Change = (current: KubeObject) => KubeObject | Promise<KubeObject>;

export interface WriterSetup extends ObjectChangesSetup {
  readonly admission: Admission;
}

export class Writer {
  private readonly store: ObjectStore;
  private readonly env: ClusterEnv;
  private readonly admission: Admission;
  private readonly allocators: ReadonlyMap<Kind, Allocator>;
  private readonly changes: ObjectChanges;

  constructor(setup: WriterSetup) {
    this.store = setup.store;
    this.env = setup.env;
    this.admission = setup.admission;
    this.allocators = setup.allocators;
    this.changes = new ObjectChanges(setup);
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
    await this.admission.mutate(creation(kind, namespace, object, context));
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
    await this.admission.validate(creation(kind, namespace, object, context));
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
    rules = updateRulesOf(kind, context.subresource),
  ): Promise<StoredObject> {
    const { stored } = await this.changes.run(
      kind,
      keyOf(kind, namespace, name),
      context.isDryRun,
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
  ): Promise<Changed> {
    const request: AdmissionRequest = {
      operation: 'DELETE',
      kind,
      subresource: context.subresource,
      namespace,
      name,
      user: context.user,
      object: undefined,
      old: undefined,
    };
    await this.admission.mutate(request);
    return this.changes.run(
      kind,
      keyOf(kind, namespace, name),
      context.isDryRun,
      async (current) => {
        const plan = planDeletion(kind, current.object, options, this.env.wallMs());
        await this.admission.validate(request);
        if (plan.isFinal) return { action: 'remove', object: plan.object, isByDelete: true };
        return plan.isChanged ? { action: 'write', object: plan.object } : { action: 'nothing' };
      },
    );
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
    const request: AdmissionRequest = {
      operation: 'UPDATE',
      kind,
      subresource: context.subresource,
      namespace,
      name: next.metadata.name ?? '',
      user: context.user,
      object: next,
      old,
    };
    await this.admission.mutate(request);
    keepMetadata(next, old);
    rules.prepareUpdate(next, old);
    if (rules.countsGeneration) countGeneration(kind, next, old);
    this.refuse(kind, next, [
      ...validateObjectMetaUpdate(next.metadata, old.metadata),
      ...rules.validateUpdate(next, old),
    ]);
    context.warnings.push(...(kind.strategy.warnings?.(next, old) ?? []));
    await this.admission.validate(request);
    if (isReleased(kind, next)) return { action: 'remove', object: next, isByDelete: false };
    if (jsonEqual(json(next), json(old))) return { action: 'nothing' };
    return { action: 'write', object: next };
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
}

function creation(
  kind: Kind,
  namespace: string,
  object: KubeObject,
  { user, subresource }: WriteContext,
): AdmissionRequest {
  const name = object.metadata.name ?? '';
  const operation = 'CREATE';
  return { operation, kind, subresource, namespace, name, user, object, old: undefined };
}

function json(object: KubeObject): JsonObject {
  return object as unknown as JsonObject;
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
