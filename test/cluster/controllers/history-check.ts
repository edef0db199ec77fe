import { expect } from 'chai';
import type { Deployment, ReplicaSet } from '../../../src/gen/kube-apps-v1.js';
import type { Pod } from '../../../src/gen/kube-core-v1.js';
import type { KubeObject } from '../../../src/cluster/api/object.js';

interface Change {
  readonly type: string;
  readonly object: KubeObject;
}

/** Smallest and largest number that was wanted since all was as wanted. */
interface Range {
  readonly min: number;
  readonly max: number;
}

/** Goes through all states that one Deployment, its sets and its pods ever had. */
export class HistoryCheck {
  private readonly lost: ReadonlySet<string>;
  private readonly sets = new Map<string, ReplicaSet>();
  private readonly pods = new Map<string, Pod>();
  private deployment: Deployment | undefined;
  private range: Range = { min: 0, max: 0 };
  /** Largest size of each set since its controller saw that it had as many pods. */
  private readonly sizes = new Map<string, number>();
  /** From then on nobody can say how many pods must be available. */
  private hasLost = false;

  /** `lost`: uids of pods that went by themselves. */
  constructor(lost: ReadonlySet<string>) {
    this.lost = lost;
  }

  check(changes: readonly Change[]): void {
    for (const change of changes) {
      this.apply(change);
      if (this.deployment?.metadata.deletionTimestamp === undefined) this.checkState(change);
    }
  }

  private apply({ type, object }: Change): void {
    const { uid = '' } = object.metadata;
    const isGone = type === 'DELETED';
    if (object.kind === 'Pod') {
      this.hasLost ||= this.lost.has(uid) && isGone;
      if (isGone) this.pods.delete(uid);
      else this.pods.set(uid, object as Pod);
    } else if (object.kind === 'ReplicaSet') {
      if (isGone) this.sets.delete(uid);
      else this.sets.set(uid, object as ReplicaSet);
    } else if (object.kind === 'Deployment') {
      this.deployment = isGone ? undefined : (object as Deployment);
      const wanted = this.deployment?.spec.replicas ?? 0;
      const { min, max } = this.range;
      this.range = { min: Math.min(min, wanted), max: Math.max(max, wanted) };
    }
  }

  private checkState({ object }: Change): void {
    const { spec } = this.deployment ?? {};
    if (spec === undefined) return;
    const active = [...this.pods.values()].filter(
      ({ metadata }) => metadata.deletionTimestamp === undefined,
    );
    const ready = active.filter(({ status }) => status?.conditions?.[0]?.status === 'True');
    if (ready.length === spec.replicas && this.pods.size === ready.length && this.isQuiet(active)) {
      this.range = { min: spec.replicas, max: spec.replicas };
    }
    if (spec.strategy?.type === 'Recreate') this.checkRecreate();
    else this.checkLimits(ready.length);
    this.checkSets(active, object);
    for (const { metadata } of this.pods.values()) {
      const controllers = (metadata.ownerReferences ?? []).filter(
        ({ controller }) => controller === true,
      );
      expect(controllers.length, 'controllers of one pod').to.be.at.most(1);
    }
  }

  /** The controller knows what is wanted now, and each set has the pods that it should have. */
  private isQuiet(active: readonly Pod[]): boolean {
    const { metadata, spec, status } = this.deployment ?? {};
    const sets = [...this.sets];
    const size = sets.reduce((sum, [, set]) => sum + (set.spec.replicas ?? 0), 0);
    return (
      status?.observedGeneration === metadata?.generation &&
      size === spec?.replicas &&
      sets.every(([uid, set]) => ownedBy(uid, active).length === (set.spec.replicas ?? 0))
    );
  }

  private checkLimits(ready: number): void {
    const { maxSurge, maxUnavailable } = this.deployment?.spec.strategy?.rollingUpdate ?? {};
    const sizes = [...this.sets.values()].map(({ spec }) => spec.replicas ?? 0);
    const size = sizes.reduce((sum, one) => sum + one, 0);
    const { min, max } = this.range;
    expect(size, 'pods wanted of all sets').to.be.at.most(max + Number(maxSurge));
    if (this.hasLost || min === 0) return;
    expect(ready, 'pods available').to.be.at.least(min - Number(maxUnavailable));
  }

  /** Pods of one template only, those on their way out included. */
  private checkRecreate(): void {
    const images = new Set([...this.pods.values()].map(({ spec }) => spec.containers[0]?.image));
    expect(images.size, 'templates with pods').to.be.at.most(1);
  }

  private checkSets(active: readonly Pod[], changed: KubeObject): void {
    for (const [uid, { metadata: of, spec, status }] of this.sets) {
      const own = ownedBy(uid, active);
      const size = spec.replicas ?? 0;
      const isSeen = status?.observedGeneration === of.generation && status?.replicas === size;
      const largest =
        isSeen && own.length === size ? size : Math.max(size, this.sizes.get(uid) ?? 0);
      this.sizes.set(uid, largest);
      const what = `pods of a set at ${changed.kind} ${changed.metadata.resourceVersion ?? ''}`;
      expect(own.length, what).to.be.at.most(largest);
    }
  }
}

function ownedBy(uid: string, pods: readonly Pod[]): Pod[] {
  return pods.filter(({ metadata }) => metadata.ownerReferences?.[0]?.uid === uid);
}
