import { isDeepStrictEqual } from 'node:util';
import {
  deepFreeze,
  type JsonObject,
  type JsonValue,
  type KubeObject,
} from '../../../src/cluster/api/object.js';
import {
  alreadyExists,
  badRequest,
  conflict,
  expired,
  notFound,
  OBJECT_MODIFIED,
  type GroupResource,
} from '../../../src/cluster/api/status.js';
import type { DeleteOptions } from '../../../src/cluster/client/client.js';
import type { ClusterEnv } from '../../../src/cluster/env.js';

/** One object, or a collection when `name` is empty. */
export interface Target {
  /** `/apis/apps/v1/deployments` */
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  readonly collection: string;
  /** Frozen. Of a deletion: the last state, with the deletion's revision. */
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

type Whole = KubeObject & { spec?: JsonObject; status?: JsonObject };

const NAME_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';

/** The objects of a FakeApi with their history. */
export class FakeStore {
  readonly #env: ClusterEnv;
  readonly #onChange: (change: Change) => void;
  readonly #objects = new Map<string, KubeObject>();
  readonly #changes: Change[] = [];
  #revision = 1;
  #compacted = 0;

  constructor(env: ClusterEnv, onChange: (change: Change) => void) {
    this.#env = env;
    this.#onChange = onChange;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Older revisions are gone. */
  get compacted(): number {
    return this.#compacted;
  }

  compact(): void {
    this.#compacted = this.#revision;
    this.#changes.length = 0;
  }

  get(target: Target): KubeObject | undefined {
    return this.#objects.get(keyOf(target));
  }

  require(target: Target): KubeObject {
    const object = this.get(target);
    if (object === undefined) throw notFound(groupResource(target), target.name);
    return object;
  }

  list(collection: string, namespace: string): KubeObject[] {
    const prefix = namespace === '' ? `${collection}:` : `${collection}:${namespace}/`;
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    return keys.flatMap((key) => this.#objects.get(key) ?? []);
  }

  /** The state at an older revision, by undoing later changes. */
  listAt(collection: string, namespace: string, revision: number): KubeObject[] {
    if (revision < this.#compacted) throw expired('The provided revision is too old');
    const now = this.list(collection, namespace);
    const state = new Map(now.map((object) => [nameOf(object), object]));
    for (const change of this.changesAfter(revision).reverse()) {
      if (change.collection !== collection) continue;
      if (namespace !== '' && change.object.metadata.namespace !== namespace) continue;
      if (change.previous === undefined) state.delete(nameOf(change.object));
      else state.set(nameOf(change.object), change.previous);
    }
    return [...state.values()].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  }

  changesAfter(revision: number): Change[] {
    return this.#changes.filter((change) => change.revision > revision);
  }

  /** Of the objects that are or were in the collection. */
  kindOf(collection: string): { apiVersion: string; kind: string } {
    const any = this.list(collection, '')[0];
    return { apiVersion: any?.apiVersion ?? 'v1', kind: any?.kind ?? '' };
  }

  put(target: Target, object: KubeObject): KubeObject {
    const next = structuredClone(object);
    const old = this.get(target)?.metadata;
    next.metadata.uid ??= old?.uid ?? this.#uid();
    next.metadata.creationTimestamp ??= old?.creationTimestamp ?? this.#now();
    return this.#write(target, next);
  }

  remove(target: Target): void {
    this.#erase(target, this.require(target));
  }

  create(target: Target, body: Whole, isDryRun: boolean): KubeObject {
    const { metadata } = body;
    if (metadata.name === undefined && metadata.generateName !== undefined) {
      metadata.name = `${metadata.generateName}${this.#suffix()}`;
    }
    const name = metadata.name ?? '';
    if (name === '') throw badRequest('name or generateName is required');
    if (target.namespace !== '') metadata.namespace = target.namespace;
    const at = { ...target, name };
    if (this.get(at) !== undefined) throw alreadyExists(groupResource(at), name);
    metadata.uid = this.#uid();
    metadata.creationTimestamp = this.#now();
    if (body.spec !== undefined) metadata.generation = 1;
    // Nodes alone come with the status that their kubelet found.
    if (body.kind === 'Pod') body.status = { phase: 'Pending' };
    else if (body.kind === 'Namespace') {
      body.spec = { ...body.spec, finalizers: ['kubernetes'] };
      body.status = { phase: 'Active' };
    } else if (body.kind !== 'Node') delete body.status;
    return isDryRun ? body : this.#write(at, body);
  }

  update(target: Target, body: Whole, subresource: string, isDryRun: boolean): KubeObject {
    const old: Whole = this.require(target);
    const asked = body.metadata.resourceVersion ?? '';
    const isOtherUid = body.metadata.uid !== undefined && body.metadata.uid !== old.metadata.uid;
    if ((asked !== '' && asked !== old.metadata.resourceVersion) || isOtherUid) {
      throw conflict(groupResource(target), target.name, OBJECT_MODIFIED);
    }
    const next = merged(old, body, subresource);
    if (isDryRun || sameContent(next, old)) return isDryRun ? next : old;
    const isGoing = next.metadata.deletionTimestamp !== undefined;
    if (isGoing && isHeld(old) && !isHeld(next) && !hasGrace(next))
      return this.#erase(target, next);
    return this.#write(target, next);
  }

  delete(target: Target, options: DeleteOptions): object {
    const old: Whole = this.require(target);
    const { uid, resourceVersion } = options.preconditions ?? {};
    if (
      (uid !== undefined && uid !== old.metadata.uid) ||
      (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion)
    ) {
      throw conflict(groupResource(target), target.name, 'Precondition failed');
    }
    const finalizers = [...(old.metadata.finalizers ?? [])];
    if (options.propagationPolicy === 'Foreground') finalizers.push('foregroundDeletion');
    if (options.propagationPolicy === 'Orphan') finalizers.push('orphan');
    const grace = graceOf(old, options.gracePeriodSeconds);
    if (finalizers.length === 0 && !isHeld(old) && grace === 0) {
      this.#erase(target, old);
      return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' };
    }
    const next = structuredClone(old);
    if (finalizers.length > 0) next.metadata.finalizers = [...new Set(finalizers)];
    const isFirst = old.metadata.deletionTimestamp === undefined;
    if (isFirst || grace < (old.metadata.deletionGracePeriodSeconds ?? 0)) {
      next.metadata.deletionTimestamp = this.#now(grace);
      next.metadata.deletionGracePeriodSeconds = grace;
    }
    if (next.kind === 'Namespace') next.status = { ...next.status, phase: 'Terminating' };
    if (isFirst && next.metadata.generation !== undefined) next.metadata.generation += 1;
    return sameContent(next, old) ? old : this.#write(target, next);
  }

  /** POST of a Binding to a pod. */
  bind(target: Target, binding: KubeObject & { target?: { name?: string } }): object {
    const pod = structuredClone<Whole>(this.require(target));
    const node = binding.target?.name ?? '';
    const bound = pod.spec?.['nodeName'];
    if (typeof bound === 'string' && bound !== '') {
      const why = `pod ${target.name} is already assigned to node "${bound}"`;
      throw conflict({ group: '', resource: 'pods/binding' }, target.name, why);
    }
    pod.spec = { ...pod.spec, nodeName: node };
    const others = listOf(pod.status?.['conditions']).filter(
      (condition) => (condition as JsonObject)['type'] !== 'PodScheduled',
    );
    const scheduled = { type: 'PodScheduled', status: 'True', lastTransitionTime: this.#now() };
    pod.status = { ...pod.status, conditions: [...others, scheduled] };
    this.#write(target, pod);
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
  }

  #write(target: Target, object: KubeObject): KubeObject {
    const previous = this.get(target);
    this.#revision += 1;
    object.metadata.resourceVersion = String(this.#revision);
    this.#objects.set(keyOf(target), deepFreeze(object));
    this.#note(previous === undefined ? 'ADDED' : 'MODIFIED', target, object, previous);
    return object;
  }

  #erase(target: Target, last: KubeObject): KubeObject {
    const previous = this.require(target);
    this.#objects.delete(keyOf(target));
    this.#revision += 1;
    const metadata = { ...last.metadata, resourceVersion: String(this.#revision) };
    const object = deepFreeze({ ...last, metadata });
    this.#note('DELETED', target, object, previous);
    return object;
  }

  #note(
    type: Change['type'],
    { collection }: Target,
    object: KubeObject,
    previous: KubeObject | undefined,
  ): void {
    const change = { type, revision: this.#revision, collection, object, previous };
    this.#changes.push(change);
    this.#onChange(change);
  }

  #now(plusSeconds = 0): string {
    const ms = this.#env.wallMs() + plusSeconds * 1000;
    return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
  }

  #uid(): string {
    const hex = Array.from({ length: 4 }, () =>
      this.#env.randomU32().toString(16).padStart(8, '0'),
    ).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }

  #suffix(): string {
    const pick = (): string =>
      NAME_CHARACTERS[this.#env.randomU32() % NAME_CHARACTERS.length] ?? '';
    return Array.from({ length: 5 }, pick).join('');
  }
}

/** Object after the write of one part of it: the other parts stay as they are. */
function merged(old: Whole, body: Whole, subresource: string): Whole {
  const { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation } =
    old.metadata;
  const kept = {
    uid,
    creationTimestamp,
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
    ...(generation === undefined ? {} : { generation }),
  };
  const { resourceVersion } = old.metadata;
  if (subresource === 'status') {
    const next = structuredClone(old);
    if (body.status !== undefined) next.status = body.status;
    // Writers of status note what belongs to it in annotations, too.
    if (body.metadata.annotations !== undefined) {
      next.metadata.annotations = body.metadata.annotations;
    }
    return next;
  }
  const next: Whole = { ...body, metadata: { ...body.metadata, ...kept, resourceVersion } };
  if (old.status === undefined) delete next.status;
  else next.status = old.status;
  const isNewSpec = !isDeepStrictEqual(next.spec, old.spec);
  if (isNewSpec && generation !== undefined) next.metadata.generation = generation + 1;
  return next;
}

/** Namespaces have finalizers in their spec, too. */
function isHeld({ metadata, kind, spec }: Whole): boolean {
  const ofSpec = kind === 'Namespace' ? listOf(spec?.['finalizers']) : [];
  return (metadata.finalizers ?? []).length + ofSpec.length > 0;
}

function hasGrace({ metadata }: Whole): boolean {
  return (metadata.deletionGracePeriodSeconds ?? 0) > 0;
}

/** Pods alone have one: not before they are bound, nor after they ended. */
function graceOf({ kind, spec, status }: Whole, asked: number | undefined): number {
  if (kind !== 'Pod' || typeof spec?.['nodeName'] !== 'string') return 0;
  if (status?.['phase'] === 'Succeeded' || status?.['phase'] === 'Failed') return 0;
  const usual = spec['terminationGracePeriodSeconds'];
  return asked ?? (typeof usual === 'number' ? usual : 30);
}

function sameContent(a: KubeObject, b: KubeObject): boolean {
  return isDeepStrictEqual(a, b);
}

function listOf(value: JsonValue | undefined): JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function keyOf({ collection, namespace, name }: Target): string {
  return `${collection}:${namespace}/${name}`;
}

function nameOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}

function groupResource({ collection }: Target): GroupResource {
  const parts = collection.split('/');
  const group = parts[1] === 'apis' ? (parts[2] ?? '') : '';
  return { group, resource: parts.at(-1) ?? '' };
}
