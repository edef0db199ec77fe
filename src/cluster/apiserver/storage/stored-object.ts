import type { Kind } from '../../api/kinds/kind.js';
import { deepFreeze, type KubeObject } from '../../api/object.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * An object as it is stored, with forms made when first wanted. The stored bytes are the object's
 * JSON without resourceVersion; the revision of the write is the resourceVersion. Immutable.
 */
export class StoredObject {
  readonly kind: Kind;
  /** Below the kind's prefix: `default/web`, or `node-1`. */
  readonly key: string;
  /** Revision of its last write; of its deletion, for an object that is gone; 0 for one that was never written. */
  readonly revision: number;
  private bytes: Uint8Array | undefined;
  private parsed: KubeObject | undefined;
  private readonly forms = new Map<string, Uint8Array>();

  private constructor(
    kind: Kind,
    key: string,
    revision: number,
    bytes: Uint8Array | undefined,
    parsed: KubeObject | undefined,
  ) {
    this.kind = kind;
    this.key = key;
    this.revision = revision;
    this.bytes = bytes;
    this.parsed = parsed;
  }

  static fromBytes(kind: Kind, key: string, revision: number, bytes: Uint8Array): StoredObject {
    return new StoredObject(kind, key, revision, bytes, undefined);
  }

  /** `object` is frozen; its resourceVersion is replaced by `revision`. */
  static fromObject(kind: Kind, key: string, revision: number, object: KubeObject): StoredObject {
    return new StoredObject(kind, key, revision, undefined, withRevision(object, revision));
  }

  /** The same state, at another revision: what a watcher is shown of a deletion. */
  at(revision: number): StoredObject {
    return new StoredObject(
      this.kind,
      this.key,
      revision,
      this.bytes,
      withRevision(this.object, revision),
    );
  }

  /** Frozen, with resourceVersion. */
  get object(): KubeObject {
    this.parsed ??= withRevision(
      JSON.parse(decoder.decode(this.bytes)) as KubeObject,
      this.revision,
    );
    return this.parsed;
  }

  /** JSON with resourceVersion. */
  get json(): Uint8Array {
    return this.form('json', () => encoder.encode(JSON.stringify(this.object)));
  }

  /** A form that is kept while the object is: JSON of a table row, an encoded watch event. */
  form(name: string, make: () => Uint8Array): Uint8Array {
    let form = this.forms.get(name);
    if (form === undefined) {
      form = make();
      this.forms.set(name, form);
    }
    return form;
  }
}

function withRevision(object: KubeObject, revision: number): KubeObject {
  const metadata = { ...object.metadata };
  if (revision === 0) delete metadata.resourceVersion;
  else metadata.resourceVersion = String(revision);
  return deepFreeze({ ...object, metadata });
}
