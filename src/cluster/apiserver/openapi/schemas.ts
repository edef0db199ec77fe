/**
 * Schemas of OpenAPI v3 from the schema table: what kubectl reads to explain, to validate and to merge.
 * No descriptions: the names are Kubernetes' own.
 */
import type { Field, Message } from '../../api/schema/message.js';
import { schemaOf } from '../../api/schema/table.js';

export type Json = Readonly<Record<string, unknown>>;

/** Packages that are not below io.k8s.api. */
const PACKAGES: Readonly<Record<string, string>> = {
  meta: 'io.k8s.apimachinery.pkg.apis.meta',
  apiextensions: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
  apiregistration: 'io.k8s.kube-aggregator.pkg.apis.apiregistration',
  metrics: 'io.k8s.metrics.pkg.apis.metrics',
};

/** Scalars of the table that OpenAPI writes out. */
const PLAIN: Readonly<Record<string, Json>> = {
  string: { type: 'string' },
  bool: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
  any: { type: 'object' },
  json: { type: 'object' },
};

const ZERO: Readonly<Record<string, unknown>> = {
  string: '',
  bool: false,
  int32: 0,
  int64: 0,
  double: 0,
};

const META = PACKAGES['meta'] ?? '';

/** Scalars that have a schema of their own, with its name. */
const NAMED: Readonly<Record<string, { readonly name: string; readonly schema: Json }>> = {
  time: { name: `${META}.v1.Time`, schema: { type: 'string', format: 'date-time' } },
  microtime: { name: `${META}.v1.MicroTime`, schema: { type: 'string', format: 'date-time' } },
  duration: { name: `${META}.v1.Duration`, schema: { type: 'string' } },
  fieldsV1: { name: `${META}.v1.FieldsV1`, schema: { type: 'object' } },
  quantity: {
    name: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
    schema: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  },
  intOrString: {
    name: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
    schema: { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] },
  },
  raw: { name: 'io.k8s.apimachinery.pkg.runtime.RawExtension', schema: { type: 'object' } },
};

/** Body of a patch: any object. */
export const PATCH = `${META}.v1.Patch`;

/** `io.k8s.api.core.v1.Pod` of `core.v1.Pod`. */
export function schemaName(message: string): string {
  const at = message.indexOf('.');
  const group = message.slice(0, at);
  return `${PACKAGES[group] ?? `io.k8s.api.${group}`}${message.slice(at)}`;
}

export function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

/** Gathers schemas and those they refer to. */
export class SchemaSet {
  private readonly found = new Map<string, Json>();

  /** Adds a message of the table. `kinds` are the groups, versions and kinds that it is. */
  add(message: string, kinds: readonly Json[]): void {
    this.addMessage(message);
    const name = schemaName(message);
    const schema = this.found.get(name);
    if (schema !== undefined && kinds.length > 0)
      this.found.set(name, { ...schema, 'x-kubernetes-group-version-kind': kinds });
  }

  addPlain(name: string, schema: Json): void {
    this.found.set(name, schema);
  }

  /** By name, as the components of a document. */
  toJson(): Json {
    const entries = [...this.found].sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(entries);
  }

  private addMessage(message: string): void {
    const name = schemaName(message);
    if (this.found.has(name)) return;
    // Before its fields: messages may hold themselves.
    this.found.set(name, {});
    this.found.set(name, this.schemaOfMessage(schemaOf(message)));
  }

  private schemaOfMessage(schema: Message & { readonly byName: ReadonlyMap<string, Field> }): Json {
    const fields = [...schema.byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const required = [...schema.byName.values()].filter(({ isRequired }) => isRequired);
    const properties = Object.fromEntries(
      fields.map((field) => [field.name, this.property(field)]),
    );
    return {
      type: 'object',
      ...(required.length === 0 ? {} : { required: required.map(({ name }) => name) }),
      ...(fields.length === 0 ? {} : { properties }),
      ...(schema.isAtomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
    };
  }

  private property(field: Field): Json {
    return { ...this.shape(field), ...marksOf(field) };
  }

  private shape(field: Field): Json {
    switch (field.shape) {
      case 'single':
        return this.single(field);
      case 'list':
        return { type: 'array', items: this.element(field) };
      case 'map':
        return { type: 'object', additionalProperties: this.element(field) };
      case 'mapOfLists':
        return {
          type: 'object',
          additionalProperties: { type: 'array', items: this.element(field) },
        };
    }
  }

  private single(field: Field): Json {
    const { isPointer, isAlways, scalar } = field;
    if (scalar === '') {
      const whole = { allOf: [this.referenceTo(field)] };
      return isPointer ? whole : { default: {}, ...whole };
    }
    const plain = PLAIN[scalar];
    if (plain === undefined) return { allOf: [this.referenceTo(field)] };
    const zero = isAlways && !isPointer ? ZERO[scalar] : undefined;
    const initial = field.default ?? zero;
    return {
      ...plain,
      ...(initial === undefined ? {} : { default: initial }),
      ...(field.enum.length === 0 ? {} : { enum: field.enum }),
    };
  }

  /** An element of a list or map. */
  private element(field: Field): Json {
    if (field.scalar === '') return { default: {}, allOf: [this.referenceTo(field)] };
    const plain = PLAIN[field.scalar];
    if (plain === undefined) return this.referenceTo(field);
    const zero = ZERO[field.scalar];
    return {
      ...plain,
      ...(zero === undefined ? {} : { default: zero }),
      ...(field.enum.length === 0 ? {} : { enum: field.enum }),
    };
  }

  private referenceTo({ scalar, message }: Field): Json {
    if (scalar === '') {
      this.addMessage(message);
      return reference(schemaName(message));
    }
    const named = NAMED[scalar] ?? { name: `${META}.v1.JSON`, schema: {} };
    this.found.set(named.name, named.schema);
    return reference(named.name);
  }
}

/** Extensions that say how a list or map is merged and owned (`x-kubernetes-...`). */
function marksOf(field: Field): Json {
  const { list, keys, patch, mergeKey, ownership, shape } = field;
  const marks: Record<string, unknown> = {};
  if (keys.length > 0) marks['x-kubernetes-list-map-keys'] = keys;
  if (list !== undefined) marks['x-kubernetes-list-type'] = list;
  if (ownership !== undefined && shape !== 'list') marks['x-kubernetes-map-type'] = ownership;
  if (mergeKey !== '') marks['x-kubernetes-patch-merge-key'] = mergeKey;
  if (patch.length > 0) marks['x-kubernetes-patch-strategy'] = patch.join(',');
  return marks;
}
