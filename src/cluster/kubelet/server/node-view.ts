/** State that the kubelet's API shows: pods, and their containers in the runtime. */
import type { Pod } from '../../../gen/kube-core-v1.js';
import type { ContainerStatus } from '../../runtime/runtime.js';
import type { Pleg } from '../pods/pleg.js';
import { findContainer } from '../pods/pod-spec.js';
import type { PodView } from '../pods/pod-view.js';
import { emptyView, historyOf, newestOf, readySandbox } from '../pods/pod-view.js';
import { HttpProblem } from './http-problem.js';

export interface PodName {
  readonly namespace: string;
  readonly pod: string;
  /** Empty: whichever pod has the name. */
  readonly uid: string;
}

export class NodeView {
  readonly #pods: () => Pod[];
  readonly #pleg: Pleg;

  constructor(pods: () => Pod[], pleg: Pleg) {
    this.#pods = pods;
    this.#pleg = pleg;
  }

  get pods(): Pod[] {
    return this.#pods();
  }

  /** Pods as the runtime had them last. */
  get views(): ReadonlyMap<string, PodView> {
    return this.#pleg.latest;
  }

  /** Throws: HttpProblem 404. */
  find({ namespace, pod, uid }: PodName): Pod {
    const found = this.#pods().find(
      ({ metadata }) =>
        metadata.namespace === namespace &&
        metadata.name === pod &&
        (uid === '' || metadata.uid === uid),
    );
    if (found === undefined) throw new HttpProblem(404, `pod "${pod}" not found`);
    return found;
  }

  async view(pod: Pod): Promise<PodView> {
    return (await this.#pleg.fresh()).get(pod.metadata.uid ?? '') ?? emptyView(pod);
  }

  /** Undefined when that container does not run. Rejects with HttpProblem 404 for an unknown pod. */
  async running(name: PodName, container: string): Promise<ContainerStatus | undefined> {
    const pod = this.find(name);
    const status = newestOf(await this.view(pod), container);
    return status?.state === 'running' ? status : undefined;
  }

  /** Rejects with HttpProblem when the pod has no network now. */
  async sandboxId(name: PodName): Promise<string> {
    const sandbox = readySandbox(await this.view(this.find(name)));
    if (sandbox !== undefined) return sandbox.id;
    throw new HttpProblem(500, `pod not found ("${name.pod}_${name.namespace}")`);
  }

  /** The run of a container whose log is asked for. Rejects with HttpProblem when there is none. */
  async logged(name: PodName, container: string, isPrevious: boolean): Promise<ContainerStatus> {
    const pod = this.find(name);
    if (findContainer(pod, container) === undefined) {
      throw new HttpProblem(404, `container "${container}" not found in pod "${name.pod}"`);
    }
    const [newest, before] = historyOf(await this.view(pod), container);
    const isOver = newest?.state === 'exited' && isWaiting(pod, container);
    // While the next run waits, the last one that ended is the previous.
    const chosen = isPrevious ? (isOver ? newest : before) : newest;
    if (chosen !== undefined && chosen.state !== 'created') return chosen;
    const where = `"${container}" in pod "${name.pod}"`;
    if (isPrevious) throw new HttpProblem(400, `previous terminated container ${where} not found`);
    const reason = waitingReason(pod, container) ?? 'ContainerCreating';
    throw new HttpProblem(400, `container ${where} is waiting to start: ${reason}`);
  }
}

function waitingReason(pod: Pod, container: string): string | undefined {
  const {
    containerStatuses = [],
    initContainerStatuses = [],
    ephemeralContainerStatuses = [],
  } = pod.status ?? {};
  const all = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
  return all.find(({ name }) => name === container)?.state?.waiting?.reason;
}

function isWaiting(pod: Pod, container: string): boolean {
  return waitingReason(pod, container) !== undefined;
}
