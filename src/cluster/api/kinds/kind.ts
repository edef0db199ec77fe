/**
 * Description of a kind for the API server. Verbs are written once for all kinds; a kind's own file
 * (kinds/<group>/<kind>.ts) exports one value of this type and nothing else that is not derived
 * from the schema table. `registry.ts` lists them.
 */
import type { FieldError } from '../status.js';
import type { KubeObject } from '../object.js';

export type Verb =
  'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch';

export const ALL_VERBS: readonly Verb[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];

/** Names by which clients reach a resource, with the type of its objects. */
export interface ResourceType<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  /** `Deployment`. */
  readonly kind: string;
  /** Plural: `deployments`. */
  readonly resource: string;
  readonly isNamespaced: boolean;
  /** Never read; keeps the type of the objects. */
  readonly example?: T;
}

export interface Kind<T extends KubeObject = KubeObject> extends ResourceType<T> {
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** `all` makes `kubectl get all` list it. */
  readonly categories: readonly string[];
  readonly verbs: readonly Verb[];
  /** Full name of its message in the schema table. */
  readonly message: string;
  /** Key prefix of its objects below /registry/, with a slash at its end: `pods/`, `services/specs/`. */
  readonly storagePrefix: string;
  /** Seconds after which an object vanishes by itself (events), on a lease of the store. */
  readonly ttlSeconds?: number;

  /**
   * Fields that field selectors may name besides metadata.name and metadata.namespace, with what
   * they read. A missing value is an empty text.
   */
  readonly selectableFields: Readonly<Record<string, (object: T) => string>>;

  /** Fills in what the client left out. Idempotent; the same on every write and on decoding old objects. */
  readonly setDefaults: (object: T) => void;
  readonly strategy: Strategy<T>;
  /**
   * Findings in the order in which Kubernetes names them; metadata is validated elsewhere. `old` is
   * what an update replaces: values that it had already may be accepted though they are refused now.
   */
  readonly validate: (object: T, old?: T) => FieldError[];
  /** Of a changed object, besides `validate`: immutable fields and the like. */
  readonly validateUpdate: (next: T, old: T) => FieldError[];

  /** Warning that every request about the kind is answered with. */
  readonly deprecation?: string;
  readonly status?: StatusSubresource<T>;
  readonly scale?: ScalePaths;
  /** Other subresources, implemented by the API server under these names. */
  readonly subresources: readonly SubresourceInfo[];

  /** Columns of `kubectl get`, after Name and before nothing: the whole list, Name included. */
  readonly columns: readonly Column[];
  /** Cells of one object, one a column. `nowMs` is wall time. */
  readonly cells: (object: T, nowMs: number) => Cell[];
  /** Conditions of a row, as `Completed` of a finished pod; most kinds have none. */
  readonly rowConditions?: (object: T) => RowCondition[];
}

export interface Strategy<T extends KubeObject> {
  /** Names: a DNS subdomain (most kinds), a DNS label, RFC 1035 label of services, or a path segment (RBAC). */
  readonly nameRule: 'subdomain' | 'label' | 'label1035' | 'pathSegment';
  /** metadata.generation is kept: 1 at creation, one more whenever `generationOf` changes. */
  readonly hasGeneration: boolean;
  /** The part whose changes count; without it, all but metadata and status. */
  readonly generationOf?: (object: T) => unknown;
  /** PUT of an object without resourceVersion overwrites whatever is there. */
  readonly allowsUnconditionalUpdate: boolean;
  /** PUT of a name that does not exist creates it. */
  readonly allowsCreateOnUpdate: boolean;
  /** Resets what a client may not set at creation (status, mostly) and fills in what the server decides. */
  readonly prepareCreate: (object: T) => void;
  /** Puts back what a PUT or PATCH of the main resource may not change (status, mostly). */
  readonly prepareUpdate: (next: T, old: T) => void;
  /**
   * Seconds of grace that a delete without its own gives; undefined for kinds that are deleted at
   * once. Zero: at once, for this object.
   */
  readonly graceSeconds?: (object: T) => number;
  /** A delete answers with the object as it was, not with a Status. */
  readonly returnsDeleted?: boolean;
  /** Besides metadata.finalizers: something still holds a deleted object back (spec.finalizers of namespaces). */
  readonly isHeldBack?: (object: T) => boolean;
  /** Marks what a deletion that has begun shows besides metadata (phase of namespaces). */
  readonly markDeleting?: (object: T) => void;
  /** Warnings that a client sees, as deprecated fields. */
  readonly warnings?: (next: T, old: T | undefined) => string[];
}

export interface StatusSubresource<T extends KubeObject> {
  /** Puts back what a write of /status may not change: spec, and most of metadata. */
  readonly prepareUpdate: (next: T, old: T) => void;
  readonly validateUpdate: (next: T, old: T) => FieldError[];
  /** Fields of metadata that `prepareUpdate` puts back too: nobody owns them through /status. */
  readonly resetsMetadata?: readonly string[];
}

/** Dotted paths of the fields from which autoscaling/v1 Scale takes its numbers. */
export interface ScalePaths {
  readonly specReplicas: string;
  readonly statusReplicas: string;
  /** Of a LabelSelector, or a map of labels. */
  readonly selector: string;
}

export interface SubresourceInfo {
  /** `log`, `exec`, `binding`, `token` ... */
  readonly name: string;
  /** Kind of request and reply in discovery. */
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly ('create' | 'get' | 'patch' | 'update')[];
}

export interface Column {
  /** `Ready`. */
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  /** `name` for the first column, else empty. */
  readonly format: string;
  readonly description: string;
  /** 1: shown by `-o wide` only. */
  readonly priority: 0 | 1;
}

export type Cell = string | number | boolean | null;

export interface RowCondition {
  readonly type: 'Completed';
  readonly status: 'True';
  readonly reason: string;
  readonly message: string;
}
