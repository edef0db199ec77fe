import type { Pod, PodCondition, PodStatus } from '../../../gen/kube-core-v1.js';
import type { JsonObject, JsonValue } from '../../api/object.js';

/** Lists of addresses, which a strategic merge joins by their `ip`. */
type AddressList = 'hostIPs' | 'podIPs';
/** Fields of a status that a kubelet writes; the others belong to other writers. */
const OWN_FIELDS = [
  'observedGeneration',
  'phase',
  'conditions',
  'message',
  'reason',
  'hostIP',
  'hostIPs',
  'podIP',
  'podIPs',
  'startTime',
  'initContainerStatuses',
  'containerStatuses',
  'ephemeralContainerStatuses',
  'qosClass',
] as const;

/** Conditions that a kubelet writes; others come from controllers and readiness gates. */
const OWN_CONDITIONS = [
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
];

/**
 * `pod` with the status that the kubelet last wanted, written or not, and with the conditions that
 * others gave it.
 */
export function withStatus(pod: Pod, own: PodStatus): Pod {
  const isOwn = ({ type }: PodCondition): boolean => OWN_CONDITIONS.includes(type);
  const conditions = [
    ...(own.conditions ?? []).filter(isOwn),
    ...(pod.status?.conditions ?? []).filter((condition) => !isOwn(condition)),
  ];
  return { ...pod, status: { ...own, conditions } };
}

/**
 * The strategic merge patch that makes `old` into `next`, as far as a kubelet owns it; undefined when
 * there is nothing to change. The uid in it makes the API server refuse it for another pod of that name.
 */
export function statusPatch(pod: Pod, old: PodStatus, next: PodStatus): JsonObject | undefined {
  const status: JsonObject = {};
  for (const field of OWN_FIELDS) {
    const before = plain(old[field]);
    const after = plain(next[field]);
    if (isSame(before, after)) continue;
    if (field === 'conditions') {
      const changed = changedConditions(old, next);
      if (changed.length > 0) status[field] = changed;
    } else if (field === 'hostIPs' || field === 'podIPs')
      status[field] = addresses(old, next, field);
    else status[field] = after ?? null;
  }
  if (Object.keys(status).length === 0) return undefined;
  return { metadata: { uid: pod.metadata.uid }, status };
}

function changedConditions(old: PodStatus, next: PodStatus): JsonValue[] {
  const changed = (next.conditions ?? []).filter((condition) => {
    if (!OWN_CONDITIONS.includes(condition.type)) return false;
    const before = old.conditions?.find(({ type }) => type === condition.type);
    return !isSame(plain(before), plain(condition));
  });
  // Merged by type: what a condition no longer has must be said.
  const none = { reason: null, message: null };
  return changed.map((condition) => ({ ...none, ...(plain(condition) as JsonObject) }));
}

function addresses(old: PodStatus, next: PodStatus, field: AddressList): JsonValue {
  const now = (next[field] ?? []).map(({ ip }) => ip);
  const gone = (old[field] ?? []).filter(({ ip }) => !now.includes(ip));
  return [...gone.map(({ ip }) => ({ $patch: 'delete', ip })), ...now.map((ip) => ({ ip }))];
}

/** Without what is undefined, as it would be sent. */
function plain(value: unknown): JsonValue | undefined {
  return value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as JsonValue);
}

/** Equal as JSON, whatever the order of fields. The API server shows an absent time as null. */
function isSame(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if ((a ?? null) === (b ?? null)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((value, index) => isSame(value, b[index]));
  }
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => isSame(a[name], b[name]));
}
