/** Pods in a table. The Status cell is what people look at first: it tells the most urgent thing. */
import type {
  ContainerState,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  PodCondition,
} from '../../../../../gen/kube-core-v1.js';
import { AGE_COLUMN, NAME_COLUMN, ageText, textColumn } from '../../cells.js';
import type { Cell, Column, RowCondition } from '../../kind.js';
import { isSidecar } from './containers.js';

export const POD_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  textColumn('Ready', 'Containers that are ready, of all that keep running.'),
  textColumn('Status', 'What the pod does, or why it does not.'),
  textColumn('Restarts', 'How often containers were started again, and when last.'),
  AGE_COLUMN,
  textColumn('IP', 'Address of the pod.', 1),
  textColumn('Node', 'Node that runs the pod.', 1),
  textColumn('Nominated Node', 'Node on which room is being made for the pod.', 1),
  textColumn('Readiness Gates', 'Readiness gates that are true, of all.', 1),
];

export function podCells(pod: Pod, nowMs: number): Cell[] {
  const { metadata, spec, status } = pod;
  const view = viewOf(pod);
  const when = view.lastRestart === '' ? '' : ` (${ageText(view.lastRestart, nowMs)} ago)`;
  const orNone = (text: string | undefined): string =>
    text === undefined || text === '' ? '<none>' : text;
  return [
    metadata.name ?? '',
    `${view.ready}/${spec.containers.length + sidecarNames(pod).size}`,
    statusText(pod, view.reason),
    `${view.restarts}${view.restarts === 0 ? '' : when}`,
    ageText(metadata.creationTimestamp, nowMs),
    orNone(status?.podIPs?.[0]?.ip),
    orNone(spec.nodeName),
    orNone(status?.nominatedNodeName),
    readinessGates(pod),
  ];
}

export function podRowConditions({ status }: Pod): RowCondition[] {
  const messages: Readonly<Record<string, string>> = {
    Succeeded: 'The pod has completed successfully.',
    Failed: 'The pod failed.',
  };
  const reason = status?.phase ?? '';
  const message = messages[reason];
  return message === undefined ? [] : [{ type: 'Completed', status: 'True', reason, message }];
}

interface PodView {
  reason: string;
  ready: number;
  restarts: number;
  /** RFC 3339; empty when nothing was started again, or nobody knows when. */
  lastRestart: string;
}

function sidecarNames({ spec }: Pod): Set<string> {
  return new Set((spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
}

function isTrue(conditions: readonly PodCondition[] | undefined, type: string): boolean {
  return conditions?.find((condition) => condition.type === type)?.status === 'True';
}

function viewOf(pod: Pod): PodView {
  const { status } = pod;
  const isGated = status?.conditions?.some(
    ({ type, reason }) => type === 'PodScheduled' && reason === 'SchedulingGated',
  );
  const ownReason = status?.reason ?? '';
  const view: PodView = {
    reason:
      isGated === true ? 'SchedulingGated' : ownReason === '' ? (status?.phase ?? '') : ownReason,
    ready: 0,
    restarts: 0,
    lastRestart: '',
  };
  const isInitializing = viewInitContainers(pod, view);
  if (isInitializing && !isTrue(status?.conditions, 'Initialized')) return view;
  // From here on what init containers did no longer matters, but for those that keep running.
  const sidecars = sidecarNames(pod);
  const running = (status?.initContainerStatuses ?? []).filter(({ name }) => sidecars.has(name));
  view.restarts = 0;
  view.lastRestart = '';
  for (const container of running) countRestarts(container, view);
  viewContainers(pod, view);
  return view;
}

function countRestarts(container: ContainerStatus, view: PodView): void {
  view.restarts += container.restartCount ?? 0;
  const ended = container.lastState?.terminated?.finishedAt ?? '';
  if (ended > view.lastRestart) view.lastRestart = ended;
}

/** Stops at the first init container that has still to end or, of a sidecar, to start. */
function viewInitContainers(pod: Pod, view: PodView): boolean {
  const sidecars = sidecarNames(pod);
  for (const [index, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    countRestarts(container, view);
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecars.has(container.name) && container.started === true) {
      if (container.ready) view.ready++;
      continue;
    }
    const isWaiting = !['', 'PodInitializing'].includes(waiting?.reason ?? '');
    if (terminated !== undefined) view.reason = `Init:${endText(terminated)}`;
    else if (isWaiting) view.reason = `Init:${waiting?.reason ?? ''}`;
    else view.reason = `Init:${index}/${pod.spec.initContainers?.length ?? 0}`;
    return true;
  }
  return false;
}

function endText({ reason = '', signal = 0, exitCode }: ContainerStateTerminated): string {
  if (reason !== '') return reason;
  return signal === 0 ? `ExitCode:${exitCode}` : `Signal:${signal}`;
}

/** From the last to the first, so that the first that has something to tell is heard. */
function viewContainers(pod: Pod, view: PodView): void {
  let hasRunning = false;
  let failure = '';
  for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
    countRestarts(container, view);
    const { waiting, terminated, running }: ContainerState = container.state ?? {};
    if ((waiting?.reason ?? '') !== '') view.reason = waiting?.reason ?? '';
    else if (terminated !== undefined) {
      view.reason = endText(terminated);
      if (terminated.exitCode !== 0) failure = view.reason;
    } else if (container.ready && running !== undefined) {
      hasRunning = true;
      view.ready++;
    }
  }
  if (view.reason !== 'Completed') return;
  // One container has completed; the others may still run, or have failed.
  if (hasRunning && isTrue(pod.status?.conditions, 'Ready')) view.reason = 'Running';
  else if (failure !== '') view.reason = failure;
  else if (hasRunning) view.reason = 'NotReady';
}

function statusText({ metadata, status }: Pod, reason: string): string {
  if (metadata.deletionTimestamp === undefined) return reason;
  if (status?.reason === 'NodeLost') return 'Unknown';
  const hasEnded = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return hasEnded ? reason : 'Terminating';
}

function readinessGates({ spec, status }: Pod): string {
  const gates = spec.readinessGates ?? [];
  if (gates.length === 0) return '<none>';
  const open = gates.filter(({ conditionType }) => isTrue(status?.conditions, conditionType));
  return `${open.length}/${gates.length}`;
}
