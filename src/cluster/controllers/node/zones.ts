/** Rate at which nodes of a zone may be emptied, by the share of them that is down. */
import type { Node } from '../../../gen/kube-core-v1.js';
import { TokenBucket } from '../../client/rate-limits.js';
import type { ClusterEnv } from '../../env.js';
import { conditionIn } from './health.js';

/** Nodes a second. */
const RATE = 0.1;
const SLOW_RATE = 0.01;
/** In smaller clusters a disturbed zone is left alone. */
const LARGE_CLUSTER = 50;
const UNHEALTHY_SHARE = 0.55;

const REGION = 'topology.kubernetes.io/region';
const ZONE = 'topology.kubernetes.io/zone';

type ZoneState = 'normal' | 'partial' | 'full';

export class Zones {
  private readonly env: ClusterEnv;
  private readonly buckets = new Map<string, TokenBucket>();
  private states = new Map<string, ZoneState>();
  private size = 0;

  constructor(env: ClusterEnv) {
    this.env = env;
  }

  /** Counts anew. */
  update(nodes: readonly Node[]): void {
    const zones = new Map<string, Node[]>();
    for (const node of nodes) {
      const zone = zoneOf(node);
      zones.set(zone, [...(zones.get(zone) ?? []), node]);
    }
    this.size = nodes.length;
    this.states = new Map([...zones].map(([zone, members]) => [zone, stateOf(members)]));
  }

  /** No node at all is ready: rather the controller is cut off, so nothing is to be emptied. */
  get areAllDown(): boolean {
    return this.states.size > 0 && [...this.states.values()].every((state) => state === 'full');
  }

  /** True when the node may be emptied now, which uses up the zone's turn. */
  tryEmpty(node: Node): boolean {
    const zone = zoneOf(node);
    const isDisturbed = this.states.get(zone) === 'partial';
    if (isDisturbed && this.size <= LARGE_CLUSTER) return false;
    const perSecond = isDisturbed ? SLOW_RATE : RATE;
    const name = `${zone} ${perSecond}`;
    const bucket = this.buckets.get(name) ?? new TokenBucket(this.env, { perSecond, burst: 1 });
    this.buckets.set(name, bucket);
    return bucket.tryTake();
  }
}

function zoneOf({ metadata }: Node): string {
  return `${metadata.labels?.[REGION] ?? ''} ${metadata.labels?.[ZONE] ?? ''}`;
}

function stateOf(nodes: readonly Node[]): ZoneState {
  const down = nodes.filter((node) => conditionIn(node, 'Ready')?.status !== 'True').length;
  if (down > 0 && down === nodes.length) return 'full';
  return down > 2 && down / nodes.length >= UNHEALTHY_SHARE ? 'partial' : 'normal';
}
