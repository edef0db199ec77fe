import type { Pod, Service } from '../../../gen/kube-core-v1.js';
import { conditionOf } from '../pods.js';

export const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

/**
 * Times at which pods made the endpoints of a Service change; proxies measure their own delay from
 * them. Times are RFC 3339, which sorts as text.
 */
export class TriggerTimes {
  private readonly ofPods = new Map<string, ReadonlyMap<string, string>>();

  /** The earliest change since the last call; of a new Service its creation; undefined: none. */
  next(key: string, { metadata }: Service, pods: readonly Pod[]): string | undefined {
    const before = this.ofPods.get(key);
    const now = new Map(pods.map((pod) => [pod.metadata.uid ?? '', triggerOf(pod)]));
    this.ofPods.set(key, now);
    if (before === undefined) return metadata.creationTimestamp ?? undefined;
    const fresh = [...now].filter(([uid, time]) => time > (before.get(uid) ?? ''));
    return fresh.map(([, time]) => time).sort()[0];
  }

  forget(key: string): void {
    this.ofPods.delete(key);
  }
}

function triggerOf(pod: Pod): string {
  return conditionOf(pod, 'Ready')?.lastTransitionTime ?? '';
}
