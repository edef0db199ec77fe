/**
 * Writes that a real API server was asked for (test/golden), done by the rules of a kind alone:
 * defaults, strategy, validation. Storage, allocation and admission are not here.
 */
import { readFileSync } from 'node:fs';
import { normalize } from '../../../../src/cluster/api/codec/normalize.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject, JsonValue, KubeObject } from '../../../../src/cluster/api/object.js';
import { schemaOf } from '../../../../src/cluster/api/schema/table.js';
import { invalid, type FieldError } from '../../../../src/cluster/api/status.js';
import { isSameValue } from '../../../../src/cluster/api/validation/field-error.js';
import {
  validateObjectMeta,
  validateObjectMetaUpdate,
} from '../../../../src/cluster/api/validation/object-meta.js';

export interface RecordedStep {
  readonly note?: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query?: Readonly<Record<string, string>>;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: JsonObject | string;
  };
  readonly response: {
    readonly status: number;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body: JsonObject;
  };
}

export function recordedSteps(file: string): RecordedStep[] {
  const url = new URL(`../../../golden/${file}`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { steps: RecordedStep[] }).steps;
}

/** Of a path such as /api/v1/namespaces/a/services/b. */
export interface Target {
  readonly group: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

export function targetOf(path: string): Target {
  const group = path.startsWith('/api/') ? '' : (path.split('/')[2] ?? '');
  const parts = path.split('/').slice(group === '' ? 3 : 4);
  const isNested = parts[0] === 'namespaces' && parts.length > 2 && parts[2] !== 'finalize';
  const namespace = isNested ? (parts[1] ?? '') : '';
  const [resource = '', name = '', subresource = ''] = isNested ? parts.slice(2) : parts;
  return { group, resource, namespace, name, subresource };
}

export type Outcome =
  | { readonly status: 'stored'; readonly object: KubeObject }
  | { readonly status: 'invalid'; readonly body: JsonObject };

/** A POST of `body`, its name as it should be generated. */
export function create(kind: Kind, body: JsonObject, namespace: string, name: string): Outcome {
  const object = decoded(kind, body);
  if (kind.isNamespaced) object.metadata.namespace ??= namespace;
  kind.setDefaults(object);
  kind.strategy.prepareCreate(object);
  if (object.metadata.generateName !== undefined && !isNamed(object)) {
    object.metadata.name = name;
    kind.setDefaults(object);
  }
  if (kind.strategy.hasGeneration) object.metadata.generation = 1;
  const { nameRule } = kind.strategy;
  return outcome(kind, object, [
    ...validateObjectMeta(object.metadata, nameRule, kind.isNamespaced),
    ...kind.validate(object),
  ]);
}

/** A PUT of `body` over `old`. */
export function update(kind: Kind, body: JsonObject, old: KubeObject): Outcome {
  const next = decoded(kind, body);
  kind.setDefaults(next);
  kind.strategy.prepareUpdate(next, old);
  grow(kind, next, old);
  return outcome(kind, next, [
    ...validateObjectMetaUpdate(next.metadata, old.metadata),
    ...kind.validate(next, old),
    ...kind.validateUpdate(next, old),
  ]);
}

function grow({ strategy }: Kind, next: KubeObject, old: KubeObject): void {
  if (!strategy.hasGeneration) return;
  const part =
    strategy.generationOf ?? ((object: KubeObject) => (object as { spec?: unknown }).spec);
  const before = old.metadata.generation ?? 0;
  next.metadata.generation = isSameValue(part(next), part(old)) ? before : before + 1;
}

/** As the decoder leaves it, with the zero values that Kubernetes writes. */
export function decoded(kind: Kind, body: JsonObject): KubeObject {
  const { object } = normalize(schemaOf(kind.message), structuredClone(body));
  const apiVersion = kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
  return { ...object, apiVersion, kind: kind.kind } as unknown as KubeObject;
}

function isNamed({ metadata }: KubeObject): boolean {
  return metadata.name !== undefined && metadata.name !== '';
}

function outcome(kind: Kind, object: KubeObject, findings: readonly FieldError[]): Outcome {
  if (findings.length === 0) return { status: 'stored', object };
  const error = invalid({ group: kind.group, resource: kind.kind }, nameOf(object), findings);
  return { status: 'invalid', body: error.status as unknown as JsonObject };
}

function nameOf({ metadata }: KubeObject): string {
  return metadata.name ?? '';
}

/** Of metadata: what the registry fills in. */
const FILLED_IN = ['uid', 'resourceVersion', 'creationTimestamp', 'managedFields'];

/** Copy of an object without the metadata that the server fills in, beside its kind's rules. */
export function comparable(object: object): JsonObject {
  const copy = JSON.parse(JSON.stringify(object)) as JsonObject;
  for (const name of FILLED_IN) Reflect.deleteProperty(copy['metadata'] as JsonObject, name);
  return copy;
}

/** The text at a path of names; empty when there is none. */
export function textAt(value: JsonValue | undefined, ...names: string[]): string {
  let found = value;
  for (const name of names) found = (found as JsonObject | undefined)?.[name];
  return typeof found === 'string' ? found : '';
}
