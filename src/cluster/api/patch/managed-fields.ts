/**
 * Ownership of fields (KEP-555; k8s.io/apimachinery/pkg/util/managedfields): who wrote which field
 * last, kept in metadata.managedFields by every create, update and patch.
 *
 * A write owns what it adds and changes; what it changes or removes is taken from all others.
 */
import type { ManagedFieldsEntry } from '../../../gen/kube-meta-v1.js';
import type { Kind } from '../kinds/kind.js';
import type { JsonObject, JsonValue } from '../object.js';
import {
  EMPTY_SET,
  difference,
  fieldSetFromJson,
  fieldSetOf,
  isEmpty,
  recursiveDifference,
  union,
  type FieldSet,
} from './field-set.js';
import { compareTexts, fieldElement } from './path-element.js';
import { NotOwnable, compareTyped, ownedTypeOf } from './typed.js';

/** One state of an object in two versions of it. */
export interface VersionedPair {
  /** Full name of the kind's message in the schema table. */
  readonly message: string;
  /** Undefined before the object is created. */
  readonly live: JsonObject | undefined;
  readonly next: JsonObject;
  /** Fields that this endpoint always puts back as they were: nobody owns them through here. */
  readonly resetFields: FieldSet;
}

export interface Update extends VersionedPair {
  /** Name of who writes, as `managerName` makes it. */
  readonly manager: string;
  /** Version in which the client wrote. */
  readonly apiVersion: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  /** Time of the write, RFC 3339 in seconds. */
  readonly nowText: string;
  /**
   * The same pair in another served version, for entries of that version; undefined when it is
   * not served, and such entries vanish. Left out for a kind with one version.
   */
  readonly inVersion?: (apiVersion: string) => VersionedPair | undefined;
}

const SPEC = ['spec'].map(fieldElement);
const STATUS_FIELDS = fieldSetOf(['status'].map(fieldElement));

/** The fields that an endpoint puts back: status by writes of the object, all else by /status. */
export function resetFieldsOf(kind: Pick<Kind, 'status'>, subresource: string): FieldSet {
  if (kind.status === undefined) return EMPTY_SET;
  if (subresource !== 'status') return STATUS_FIELDS;
  const metadata = kind.status.resetsMetadata ?? [];
  return fieldSetOf(SPEC, ...metadata.map((name) => ['metadata', name].map(fieldElement)));
}

/** More managers of operation Update than this share one entry by version. */
const MAX_UPDATE_MANAGERS = 10;
const ANCIENT_CHANGES = 'ancient-changes';

/** Never owned: the server decides them, or they say which object it is. */
const NEVER_OWNED = fieldSetOf(
  ['apiVersion'].map(fieldElement),
  ['kind'].map(fieldElement),
  ['metadata'].map(fieldElement),
  ...[
    'name',
    'namespace',
    'creationTimestamp',
    'selfLink',
    'uid',
    'clusterName',
    'generation',
    'managedFields',
    'resourceVersion',
  ].map((name) => ['metadata', name].map(fieldElement)),
);

/** One manager with what it owns. */
interface Owner {
  /** As it stands in the object; undefined once it has to be written anew. */
  readonly entry: ManagedFieldsEntry | undefined;
  readonly manager: string;
  readonly operation: string;
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

type Owners = Map<string, Owner>;

/**
 * The managedFields that `next` has to be stored with; undefined for none. It is the list of
 * `live` itself when nobody owns more or less than before.
 *
 * The managedFields of `next` are as the client sent them: through the main resource they replace
 * the list of `live` if they are valid, `[]` and `[{}]` reset it. An object that has no managers,
 * or whose lists have elements without a key, is not tracked from then on.
 */
export function trackUpdate(update: Update): ManagedFieldsEntry[] | undefined {
  const liveEntries = managedFieldsOf(update.live);
  const owners = startingOwners(update, liveEntries);
  if (owners.size === 0 && update.live !== undefined) return undefined;
  let changes: Changes;
  try {
    changes = compareVersion(update);
    takeFromOthers(owners, update, changes);
  } catch (error) {
    if (error instanceof NotOwnable) return undefined;
    throw error;
  }
  const own = difference(changes.gained, NEVER_OWNED);
  if (!isEmpty(own)) give(owners, update, own);
  mergeOldest(owners);
  const entries = [...owners.values()].sort(compareOwners).map(entryOf);
  const isIdle = isEmpty(changes.gained) && isEmpty(changes.lost);
  if (liveEntries !== undefined && areAlike(entries, liveEntries, isIdle)) return liveEntries;
  return entries.length === 0 ? undefined : entries;
}

function managedFieldsOf(object: JsonObject | undefined): ManagedFieldsEntry[] | undefined {
  const metadata = object?.['metadata'] as JsonObject | undefined;
  return (metadata?.['managedFields'] ?? undefined) as ManagedFieldsEntry[] | undefined;
}

/** A subresource cannot change who owned what before it. */
function startingOwners(update: Update, live: ManagedFieldsEntry[] | undefined): Owners {
  const sent = update.subresource === '' ? managedFieldsOf(update.next) : undefined;
  if (sent !== undefined && isReset(sent)) return new Map();
  const owners = sent === undefined || sent === live ? undefined : ownersOf(sent);
  if (owners === undefined || owners.size === 0)
    return ownersOf(live ?? []) ?? new Map<string, Owner>();
  // The client's own form of an entry is not kept.
  for (const [id, owner] of owners) owners.set(id, { ...owner, entry: undefined });
  return owners;
}

function isReset(sent: readonly ManagedFieldsEntry[]): boolean {
  const [first, ...others] = sent;
  if (first === undefined) return true;
  return others.length === 0 && Object.values(first).every((value) => value === undefined);
}

/** Undefined when an entry is not valid. */
function ownersOf(entries: readonly ManagedFieldsEntry[]): Owners | undefined {
  const owners: Owners = new Map();
  for (const entry of entries) {
    const { manager = '', operation = '', apiVersion = '', subresource = '', time } = entry;
    if (operation !== 'Apply' && operation !== 'Update') return undefined;
    if (apiVersion === '' || entry.fieldsType !== 'FieldsV1') return undefined;
    let fields: FieldSet;
    try {
      fields = fieldSetFromJson((entry.fieldsV1 ?? {}) as JsonValue);
    } catch {
      return undefined;
    }
    const owner: Owner = { entry, manager, operation, apiVersion, subresource, time, fields };
    owners.set(identifierOf(owner), owner);
  }
  return owners;
}

/** Identity of a manager as a text: an applier keeps it from one version to the next. */
function identifierOf(owner: Omit<Owner, 'entry' | 'time' | 'fields'>): string {
  const { manager, operation, apiVersion, subresource } = owner;
  return JSON.stringify({
    ...(manager === '' ? {} : { manager }),
    operation,
    ...(operation === 'Apply' ? {} : { apiVersion }),
    ...(subresource === '' ? {} : { subresource }),
  });
}

interface Changes {
  /** Added or changed. */
  readonly gained: FieldSet;
  /** Removed. */
  readonly lost: FieldSet;
}

function compareVersion({ message, live, next, resetFields }: VersionedPair): Changes {
  const before = live ?? { apiVersion: next['apiVersion'], kind: next['kind'] };
  const { added, modified, removed } = compareTyped(
    ownedTypeOf(message),
    withoutManagedFields(before),
    withoutManagedFields(next),
  );
  return {
    gained: recursiveDifference(union(added, modified), resetFields),
    lost: recursiveDifference(removed, resetFields),
  };
}

function withoutManagedFields(object: JsonObject): JsonObject {
  if (managedFieldsOf(object) === undefined) return object;
  const metadata = object['metadata'] as JsonObject;
  return { ...object, metadata: { ...metadata, managedFields: undefined } };
}

/** Everybody's, also what the writer owned before: it gets that back with the rest. */
function takeFromOthers(owners: Owners, update: Update, changes: Changes): void {
  const versions = new Map([[update.apiVersion, changes]]);
  for (const [id, owner] of owners) {
    const inVersion = changesInVersion(versions, update, owner.apiVersion);
    const touched =
      inVersion === undefined ? owner.fields : union(inVersion.gained, inVersion.lost);
    const fields = difference(owner.fields, touched);
    if (inVersion === undefined || isEmpty(fields)) owners.delete(id);
    else if (fields !== owner.fields) owners.set(id, { ...owner, entry: undefined, fields });
  }
}

function changesInVersion(
  versions: Map<string, Changes>,
  update: Update,
  apiVersion: string,
): Changes | undefined {
  let changes = versions.get(apiVersion);
  if (changes === undefined) {
    const pair = update.inVersion?.(apiVersion);
    if (pair === undefined) return undefined;
    changes = compareVersion(pair);
    versions.set(apiVersion, changes);
  }
  return changes;
}

function give(owners: Owners, update: Update, own: FieldSet): void {
  const { apiVersion, subresource, nowText } = update;
  const manager = update.manager === '' ? 'unknown' : update.manager;
  const identity = { manager, operation: 'Update', apiVersion, subresource };
  const id = identifierOf(identity);
  const fields = union(own, owners.get(id)?.fields ?? EMPTY_SET);
  owners.set(id, { ...identity, entry: undefined, time: nowText, fields });
}

/** Keeps the number of entries bounded: the oldest are merged, by version, into one. */
function mergeOldest(owners: Owners): void {
  const updaters = [...owners].filter(([, { operation }]) => operation === 'Update');
  let surplus = updaters.length - MAX_UPDATE_MANAGERS;
  if (surplus <= 0) return;
  updaters.sort(([a, left], [b, right]) =>
    firstDifference(secondsOf(left.time) - secondsOf(right.time), compareTexts(a, b)),
  );
  const firstOfVersion = new Map<string, string>();
  for (const [id, { apiVersion }] of updaters) {
    if (surplus === 0) break;
    const first = firstOfVersion.get(apiVersion);
    if (first === undefined) {
      firstOfVersion.set(apiVersion, id);
      continue;
    }
    mergeInto(owners, first, id);
    surplus--;
  }
}

/** Moves what `id` owns to the bucket of its version, which begins as what `first` owns. */
function mergeInto(owners: Owners, first: string, id: string): void {
  const merged = owners.get(id);
  if (merged === undefined) return;
  const identity = {
    manager: ANCIENT_CHANGES,
    operation: 'Update',
    apiVersion: merged.apiVersion,
    subresource: '',
  };
  const bucketId = identifierOf(identity);
  let bucket = owners.get(bucketId);
  if (bucket === undefined) {
    bucket = owners.get(first);
    owners.delete(first);
  }
  const fields = union(merged.fields, bucket?.fields ?? EMPTY_SET);
  owners.delete(id);
  owners.set(bucketId, { ...identity, entry: undefined, time: merged.time, fields });
}

function secondsOf(time: string | undefined): number {
  return time === undefined ? 0 : Math.floor(Date.parse(time) / 1000);
}

function compareOwners(a: Owner, b: Owner): number {
  return firstDifference(
    compareTexts(a.operation, b.operation),
    secondsOf(a.time) - secondsOf(b.time),
    compareTexts(a.manager, b.manager),
    compareTexts(a.apiVersion, b.apiVersion),
    compareTexts(a.subresource, b.subresource),
  );
}

function firstDifference(...orders: readonly number[]): number {
  return orders.find((order) => order !== 0) ?? 0;
}

function entryOf(owner: Owner): ManagedFieldsEntry {
  if (owner.entry !== undefined) return owner.entry;
  return {
    ...(owner.manager === '' ? {} : { manager: owner.manager }),
    operation: owner.operation,
    apiVersion: owner.apiVersion,
    ...(owner.time === undefined ? {} : { time: owner.time }),
    fieldsType: 'FieldsV1',
    fieldsV1: owner.fields.toJson(),
    ...(owner.subresource === '' ? {} : { subresource: owner.subresource }),
  };
}

/** Times count unless the write was idle: then a new time alone is no reason to write. */
function areAlike(
  entries: readonly ManagedFieldsEntry[],
  live: readonly ManagedFieldsEntry[],
  isIdle: boolean,
): boolean {
  if (entries.length !== live.length) return false;
  return entries.every((entry, at) => {
    const other = live[at];
    if (entry === other) return true;
    if (other === undefined || (!isIdle && entry.time !== other.time)) return false;
    return (
      entry.manager === other.manager &&
      entry.operation === other.operation &&
      entry.apiVersion === other.apiVersion &&
      entry.subresource === other.subresource &&
      JSON.stringify(entry.fieldsV1) === JSON.stringify(other.fieldsV1)
    );
  });
}
