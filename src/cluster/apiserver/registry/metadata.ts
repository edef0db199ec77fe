/** Metadata that the server sets (k8s.io/apiserver/pkg/registry/rest). */
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import { badRequest } from '../../api/status.js';
import { jsonEqual } from '../../api/patch/equal.js';
import type { JsonValue } from '../../api/object.js';
import type { ClusterEnv } from '../../env.js';

/** Characters of generated names: no vowels, nothing that looks like another. */
const SUFFIX_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;
const GENERATED_NAME_MAX = 63;

export function randomSuffix(env: ClusterEnv): string {
  let suffix = '';
  for (let i = 0; i < SUFFIX_LENGTH; i++) {
    suffix += SUFFIX_CHARACTERS.charAt(env.randomU32() % SUFFIX_CHARACTERS.length);
  }
  return suffix;
}

export function generatedName(env: ClusterEnv, prefix: string): string {
  return `${prefix.slice(0, GENERATED_NAME_MAX - SUFFIX_LENGTH)}${randomSuffix(env)}`;
}

/** A random UUID (RFC 9562, version 4). */
export function newUid(env: ClusterEnv): string {
  const bytes = Buffer.alloc(16);
  for (let i = 0; i < 16; i += 4) bytes.writeUInt32BE(env.randomU32(), i);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

export function timeText(env: ClusterEnv): string {
  return `${new Date(env.wallMs()).toISOString().slice(0, 19)}Z`;
}

/** The namespace of the path wins; a body may only repeat it. Throws: ApiError 400. */
export function settleNamespace(kind: Kind, object: KubeObject, namespace: string): void {
  const given = object.metadata.namespace ?? '';
  if (given !== '' && given !== namespace) {
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
  if (kind.isNamespaced) object.metadata.namespace = namespace;
  else delete object.metadata.namespace;
}

/** Throws: ApiError 400 when the body names another object than the path. */
export function settleName(object: KubeObject, name: string): void {
  const given = object.metadata.name ?? '';
  if (given !== '' && given !== name) {
    throw badRequest(
      `the name of the object (${given}) does not match the name on the URL (${name})`,
    );
  }
  if (given === '') {
    throw badRequest('name must be provided');
  }
}

/** Metadata with which a new object begins; set in place. */
export function beginMetadata(kind: Kind, object: KubeObject, env: ClusterEnv): void {
  const { metadata } = object;
  metadata.uid = newUid(env);
  metadata.creationTimestamp = timeText(env);
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  if (kind.strategy.hasGeneration) metadata.generation = 1;
}

/** Fields that a client may leave out and that never change. */
export function keepMetadata(next: KubeObject, old: KubeObject): void {
  const to = next.metadata;
  const from = old.metadata;
  if ((to.uid ?? '') === '') to.uid = from.uid;
  if (to.creationTimestamp === undefined) to.creationTimestamp = from.creationTimestamp;
  if (to.deletionTimestamp === undefined && from.deletionTimestamp !== undefined) {
    to.deletionTimestamp = from.deletionTimestamp;
  }
  if (
    to.deletionGracePeriodSeconds === undefined &&
    from.deletionGracePeriodSeconds !== undefined
  ) {
    to.deletionGracePeriodSeconds = from.deletionGracePeriodSeconds;
  }
  if (from.generation === undefined) delete to.generation;
  else to.generation = from.generation;
  delete to.selfLink;
}

/** Counts a change of what the kind counts: of anything but metadata and status, mostly. */
export function countGeneration(kind: Kind, next: KubeObject, old: KubeObject): void {
  if (!kind.strategy.hasGeneration) return;
  const partOf = kind.strategy.generationOf ?? desired;
  if (jsonEqual(json(partOf(next)), json(partOf(old)))) return;
  next.metadata.generation = (old.metadata.generation ?? 0) + 1;
}

function json(value: unknown): JsonValue {
  return value as JsonValue;
}

function desired(object: KubeObject): unknown {
  const { metadata: _, status: __, ...rest } = object as KubeObject & { readonly status?: unknown };
  return rest;
}
