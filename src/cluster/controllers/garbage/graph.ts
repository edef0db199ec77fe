/**
 * Objects of all kinds and who owns whom, from informers of every resource that can be listed,
 * watched and deleted.
 */
import type { OwnerReference } from '../../../gen/kube-meta-v1.js';
import type { ResourceType } from '../../api/kinds/kind.js';
import { splitApiVersion, type KubeObject } from '../../api/object.js';
import { keyOf, type Informer } from '../../client/informer.js';
import type { ControllerContext } from '../controller.js';
import { discover, supports } from '../discovery.js';
import { isGoing } from '../references.js';

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

/** They have no owners, and there are many. */
const IGNORED = new Set(['/events', 'events.k8s.io/events']);

/** Group, resource and key of an object as one text: `apps/deployments:default/web`. */
export type Place = string;

export interface Located {
  readonly type: ResourceType;
  readonly object: KubeObject;
}

interface Monitor {
  readonly type: ResourceType;
  readonly informer: Informer<KubeObject>;
  readonly byUid: (uid: string) => readonly KubeObject[];
  readonly byOwner: (uid: string) => readonly KubeObject[];
}

export class Graph {
  private readonly context: ControllerContext;
  private readonly onChange: (place: Place) => void;
  private readonly monitors = new Map<string, Monitor>();
  /** Resource names by `group/Kind`: owners are named by kind. */
  private readonly kinds = new Map<string, ResourceType>();

  /** `onChange` is told of objects to look at. */
  constructor(context: ControllerContext, onChange: (place: Place) => void) {
    this.context = context;
    this.onChange = onChange;
  }

  /** Follows resources that are new since the last call. Throws: when discovery gets no answer. */
  async follow(): Promise<void> {
    const { client, signal, log, informers } = this.context;
    const { resources, failures } = await discover(client, signal);
    if (failures.length > 0) log.warn('resources not known to garbage collection', { failures });
    for (const type of resources) {
      this.kinds.set(kindText(type.group, type.kind), type);
      const name = nameOf(type);
      if (IGNORED.has(name) || this.monitors.has(name)) continue;
      if (!supports(type, 'list', 'watch', 'delete')) continue;
      const informer = informers.of(type);
      const byUid = informer.index(uidsOf);
      const byOwner = informer.index(ownerUidsOf);
      this.monitors.set(name, { type, informer, byUid, byOwner });
      this.watch(type, informer);
    }
  }

  /** True once every resource has been listed; false when the informers were stopped before. */
  async synced(): Promise<boolean> {
    const all = [...this.monitors.values()].map(({ informer }) => informer.synced);
    return (await Promise.all(all)).every((hasSynced) => hasSynced);
  }

  at(place: Place): Located | undefined {
    const colon = place.indexOf(':');
    const monitor = this.monitors.get(place.slice(0, colon));
    const object = monitor?.informer.getByKey(place.slice(colon + 1));
    return monitor === undefined || object === undefined ? undefined : { ...monitor, object };
  }

  byUid(uid: string): Located | undefined {
    for (const { type, byUid } of this.monitors.values()) {
      const [object] = byUid(uid);
      if (object !== undefined) return { type, object };
    }
    return undefined;
  }

  dependentsOf(uid: string): Located[] {
    return [...this.monitors.values()].flatMap(({ type, byOwner }) =>
      byOwner(uid).map((object) => ({ type, object })),
    );
  }

  /** The resource of an owner; undefined for a kind that the API server does not know. */
  typeOf({ apiVersion, kind }: OwnerReference): ResourceType | undefined {
    return this.kinds.get(kindText(splitApiVersion(apiVersion).group, kind));
  }

  private watch(type: ResourceType, informer: Informer<KubeObject>): void {
    const tell = (object: KubeObject): void => this.onChange(placeOf({ type, object }));
    informer.addHandler({
      onAdd: (object) => {
        tell(object);
        // Dependents may have been seen before their owner.
        if (isHeldForDependents(object)) this.tellAll(this.dependentsOf(uidOf(object)));
      },
      onUpdate: (object, old) => {
        if (linksOf(object) === linksOf(old)) return;
        tell(object);
        this.tellOwners(old);
        this.tellOwners(object);
        if (isGoing(object)) this.tellAll(this.dependentsOf(uidOf(object)));
      },
      onDelete: (object) => {
        this.tellAll(this.dependentsOf(uidOf(object)));
        this.tellOwners(object);
      },
    });
  }

  private tellAll(located: readonly Located[]): void {
    for (const one of located) this.onChange(placeOf(one));
  }

  /** Owners may wait for this one. */
  private tellOwners({ metadata }: KubeObject): void {
    for (const { uid } of metadata.ownerReferences ?? []) {
      const owner = this.byUid(uid);
      if (owner !== undefined && isGoing(owner.object)) this.onChange(placeOf(owner));
    }
  }
}

export function placeOf({ type, object }: Located): Place {
  return `${nameOf(type)}:${keyOf(object)}`;
}

/** Its deletion waits until its dependents are gone. */
export function isHeldForDependents(object: KubeObject): boolean {
  return isGoing(object) && (object.metadata.finalizers ?? []).includes(FOREGROUND);
}

function nameOf({ group, resource }: ResourceType): string {
  return `${group}/${resource}`;
}

function kindText(group: string, kind: string): string {
  return `${group}/${kind}`;
}

function uidOf({ metadata }: KubeObject): string {
  return metadata.uid ?? '';
}

function uidsOf(object: KubeObject): readonly string[] {
  return [uidOf(object)];
}

function ownerUidsOf({ metadata }: KubeObject): readonly string[] {
  return (metadata.ownerReferences ?? []).map(({ uid }) => uid);
}

/** All that garbage collection looks at in an object. */
function linksOf({ metadata }: KubeObject): string {
  const { ownerReferences, finalizers, deletionTimestamp } = metadata;
  return JSON.stringify([ownerReferences, finalizers, deletionTimestamp === undefined]);
}
