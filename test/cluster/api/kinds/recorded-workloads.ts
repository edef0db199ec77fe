/**
 * Writes of pods and workloads that a real API server was asked for (test/golden), done by decoding,
 * defaults, strategy and validation, without a store. A stand-in does the work of pod admission.
 */
import type { Pod } from '../../../../src/gen/kube-core-v1.js';
import { decodeObject } from '../../../../src/cluster/api/codec/decode.js';
import { normalize } from '../../../../src/cluster/api/codec/normalize.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject, JsonValue, KubeObject } from '../../../../src/cluster/api/object.js';
import { schemaOf } from '../../../../src/cluster/api/schema/table.js';
import { ApiError, invalid, type FieldError } from '../../../../src/cluster/api/status.js';
import { isSameValue } from '../../../../src/cluster/api/validation/field-error.js';
import {
  validateObjectMeta,
  validateObjectMetaUpdate,
} from '../../../../src/cluster/api/validation/object-meta.js';

export interface Answer {
  readonly status: number;
  readonly body: JsonObject;
  readonly warnings: readonly string[];
}

export function decoded(kind: Kind, body: JsonObject): KubeObject {
  const { object } = decodeObject(Buffer.from(JSON.stringify(body)), 'application/json', kind);
  kind.setDefaults(object);
  return object;
}

/** Answers a POST of `body` to the collection of a namespace. */
export function created(kind: Kind, body: JsonObject, namespace: string): Answer {
  return answering(() => {
    const object = decoded(kind, body);
    const { metadata, ...rest } = object as KubeObject & Partial<Pod>;
    metadata.namespace ??= namespace;
    metadata.generation = 1;
    if (metadata.name === undefined) metadata.name = `${metadata.generateName ?? ''}12345`;
    if (rest.spec !== undefined && kind.kind === 'Pod') admit(rest.spec);
    kind.strategy.prepareCreate(object);
    const warnings = kind.strategy.warnings?.(object, undefined) ?? [];
    const findings = [
      ...validateObjectMeta(metadata, kind.strategy.nameRule, kind.isNamespaced),
      ...kind.validate(object),
    ];
    return outcome(kind, object, findings, 201, warnings);
  });
}

/** Answers a PUT of `body` over `old`. */
export function updated(kind: Kind, body: JsonObject, old: KubeObject): Answer {
  return answering(() => {
    const next = decoded(kind, body);
    kind.strategy.prepareUpdate(next, old);
    const partOf =
      kind.strategy.generationOf ??
      ((object: KubeObject) => Reflect.get(object, 'spec') as unknown);
    const isSame = isSameValue(partOf(next), partOf(old));
    next.metadata.generation = (old.metadata.generation ?? 0) + (isSame ? 0 : 1);
    const warnings = kind.strategy.warnings?.(next, old) ?? [];
    const findings = [
      ...validateObjectMetaUpdate(next.metadata, old.metadata),
      ...kind.validate(next, old),
      ...kind.validateUpdate(next, old),
    ];
    return outcome(kind, next, findings, 200, warnings);
  });
}

function answering(write: () => Answer): Answer {
  try {
    return write();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { status: error.code, body: error.status as unknown as JsonObject, warnings: [] };
  }
}

function outcome(
  kind: Kind,
  object: KubeObject,
  findings: readonly FieldError[],
  ok: number,
  warnings: readonly string[],
): Answer {
  if (findings.length === 0) return { status: ok, body: encoded(kind, object), warnings };
  const of = { group: kind.group, resource: kind.kind };
  const error = invalid(of, object.metadata.name ?? '', findings);
  return { status: 422, body: error.status as unknown as JsonObject, warnings: [] };
}

function encoded(kind: Kind, object: object): JsonObject {
  const plain = JSON.parse(JSON.stringify(object)) as JsonValue;
  return normalize(schemaOf(kind.message), plain).object;
}

/** The part of admission on which validation depends. */
function admit(spec: Pod['spec']): void {
  spec.serviceAccountName ??= 'default';
  spec.serviceAccount ??= 'default';
}

/** An object without what the registry and admission add to it, and what varies from run to run. */
export function ownPart(kind: Kind, object: JsonObject): JsonObject {
  const copy = encoded(kind, object) as unknown as KubeObject & { spec?: Pod['spec'] };
  const { metadata, spec } = copy;
  for (const name of ['uid', 'resourceVersion', 'creationTimestamp', 'managedFields'] as const)
    Reflect.deleteProperty(metadata, name);
  if (metadata.generateName !== undefined) delete metadata.name;
  if (kind.kind !== 'Pod' || spec === undefined) return copy as unknown as JsonObject;
  const isToken = (name: string): boolean => name.startsWith('kube-api-access-');
  spec.volumes = spec.volumes?.filter(({ name }) => !isToken(name));
  for (const container of [...(spec.initContainers ?? []), ...spec.containers])
    container.volumeMounts = container.volumeMounts?.filter(({ name }) => !isToken(name));
  spec.tolerations = spec.tolerations?.filter(
    ({ key = '' }) => !/^node\.kubernetes\.io\/(not-ready|unreachable)$/.test(key),
  );
  delete spec.priority;
  delete spec.preemptionPolicy;
  return encoded(kind, copy);
}
