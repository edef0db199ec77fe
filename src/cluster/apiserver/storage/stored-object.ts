import type { Kind } from '../../api/kinds/kind.js';
import { apiVersionOf, deepFreeze, type KubeObject } from '../../api/object.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * An object of a kind at a revision, in the forms that are wanted: JSON to send, and parsed.
 * Immutable; each form is made once.
 *
 * Stored bytes are JSON without resourceVersion. They begin with kind, apiVersion and metadata, in
 * this order, if this server wrote them; then the revision is put in without parsing. Bytes of any
 * other form are parsed and written anew.
 */
export class StoredObject {
  readonly kind: Kind;
  /** Below the kind's prefix: `default/web`, or `node-1`. */
  readonly key: string;
  /** Revision of its last write; of its deletion, for an object that is gone; 0 for one that was never written. */
  readonly revision: number;
  /** Without resourceVersion; dropped once `spliced` is there. */
  private raw: Uint8Array | undefined;
  private spliced: Uint8Array | undefined;
  private parsed: KubeObject | undefined;

  private constructor(kind: Kind, key: string, revision: number) {
    this.kind = kind;
    this.key = key;
    this.revision = revision;
  }

  /** `raw` is JSON without resourceVersion. */
  static fromBytes(kind: Kind, key: string, revision: number, raw: Uint8Array): StoredObject {
    const stored = new StoredObject(kind, key, revision);
    stored.raw = raw;
    return stored;
  }

  /** `object` is frozen; its resourceVersion is replaced by `revision`. */
  static fromObject(
    kind: Kind,
    key: string,
    revision: number,
    object: KubeObject,
    raw?: Uint8Array,
  ): StoredObject {
    const stored = new StoredObject(kind, key, revision);
    stored.parsed = withRevision(object, revision);
    stored.raw = raw;
    return stored;
  }

  /** The same state at another revision: what a watcher is shown of a deletion. */
  at(revision: number): StoredObject {
    return StoredObject.fromObject(this.kind, this.key, revision, this.object);
  }

  /** Frozen, with resourceVersion. */
  get object(): KubeObject {
    if (this.parsed === undefined) {
      const bytes = this.spliced ?? this.raw;
      const object = JSON.parse(decoder.decode(bytes)) as KubeObject;
      this.parsed = withRevision(object, this.revision);
    }
    return this.parsed;
  }

  /** JSON with resourceVersion. */
  get json(): Uint8Array {
    if (this.spliced === undefined) {
      this.spliced = this.splice() ?? encoder.encode(JSON.stringify(inOrder(this.object)));
      this.raw = undefined;
    }
    return this.spliced;
  }

  /** JSON without kind and apiVersion and without its opening brace, as items of lists are sent. */
  get itemJson(): Uint8Array {
    return this.json.subarray(headOf(this.kind).length);
  }

  private splice(): Uint8Array | undefined {
    const { raw, revision } = this;
    if (raw === undefined || revision === 0) return undefined;
    const head = `${headOf(this.kind)}"metadata":{`;
    if (!startsWith(raw, head)) return undefined;
    const field = `"resourceVersion":"${revision}",`;
    const json = new Uint8Array(raw.length + field.length);
    json.set(raw.subarray(0, head.length));
    encoder.encodeInto(field, json.subarray(head.length));
    json.set(raw.subarray(head.length), head.length + field.length);
    return json;
  }
}

/** Text with which the JSON of a kind's objects begins. ASCII. */
function headOf({ kind, group, version }: Kind): string {
  return `{"kind":"${kind}","apiVersion":"${apiVersionOf(group, version)}",`;
}

/** An object with kind, apiVersion and metadata first. */
export function inOrder(object: KubeObject): KubeObject {
  const { kind, apiVersion, metadata, ...rest } = object;
  return { kind, apiVersion, metadata, ...rest };
}

function startsWith(bytes: Uint8Array, ascii: string): boolean {
  if (bytes.length < ascii.length) return false;
  for (let i = 0; i < ascii.length; i++) if (bytes[i] !== ascii.charCodeAt(i)) return false;
  return true;
}

function withRevision(object: KubeObject, revision: number): KubeObject {
  const { resourceVersion: _, ...others } = object.metadata;
  const metadata = revision === 0 ? others : { ...others, resourceVersion: String(revision) };
  return deepFreeze({ ...object, metadata });
}
