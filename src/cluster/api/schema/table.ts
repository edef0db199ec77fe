/**
 * The schema table: every message of the served Kubernetes API, parsed when first asked for.
 *
 * Decoding, pruning, patches, ownership of fields and OpenAPI are derived from it. It describes
 * Kubernetes 1.36.
 */
import { KUBE_KINDS, KUBE_MESSAGES } from '../../../gen/kube-schema.js';
import { parseMessage, type Field, type Message } from './message.js';

/** A message with what lookups need. Fields of embedded messages stand among the others in `byName`. */
export interface Schema extends Message {
  /** JSON name -> field, in the order in which they are serialised. */
  readonly byName: ReadonlyMap<string, Field>;
  /** Protobuf number -> field, embedded messages as fields of their own. */
  readonly byNumber: ReadonlyMap<number, Field>;
}

const schemas = new Map<string, Schema>();

/** The message of a full name, as `core.v1.Pod`. Throws: when there is none. */
export function schemaOf(messageName: string): Schema {
  let schema = schemas.get(messageName);
  if (schema === undefined) {
    schema = load(messageName);
    schemas.set(messageName, schema);
  }
  return schema;
}

/** Full name of the message of a kind, or undefined. `group` is empty for the core group. */
export function messageOfKind(group: string, version: string, kind: string): string | undefined {
  const packageName = KUBE_KINDS.get(`${group}/${version}`);
  if (packageName !== undefined && KUBE_MESSAGES.get(`${packageName}.${kind}`)?.isKind === true)
    return `${packageName}.${kind}`;
  // Options, Status and the like belong to every group.
  return META_KINDS.has(kind) ? `meta.v1.${kind}` : undefined;
}

const META_KINDS: ReadonlySet<string> = new Set([
  'CreateOptions',
  'DeleteOptions',
  'GetOptions',
  'ListOptions',
  'PatchOptions',
  'UpdateOptions',
  'Status',
  'WatchEvent',
  'Table',
  'PartialObjectMetadata',
  'PartialObjectMetadataList',
]);

/** Names of all messages. */
export function messageNames(): Iterable<string> {
  return KUBE_MESSAGES.keys();
}

function load(messageName: string): Schema {
  const found = KUBE_MESSAGES.get(messageName);
  if (found === undefined) throw new Error(`no message ${messageName} in the schema table`);
  const packageName = messageName.slice(0, messageName.lastIndexOf('.'));
  const message = parseMessage(packageName, found.text);
  const byName = new Map<string, Field>();
  const byNumber = new Map<number, Field>();
  for (const field of message.fields) {
    if (field.number !== 0) byNumber.set(field.number, field);
    if (!field.isInline) byName.set(field.name, field);
    else for (const [name, inner] of schemaOf(field.message).byName) byName.set(name, inner);
  }
  return { ...message, byName, byNumber };
}
