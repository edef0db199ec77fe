import type { Pod, Service } from '../../../gen/kube-core-v1.js';
import { keyOf, type Informer } from '../../client/informer.js';
import { NODES, PODS, SERVICES } from '../../client/resource-types.js';
import type { WorkQueue } from '../../client/work-queue.js';
import type { ControllerContext } from '../controller.js';
import { byNode, conditionOf } from '../pods.js';

const ZONE = 'topology.kubernetes.io/zone';

type Labels = Readonly<Record<string, string>>;

/** Services and their pods: whatever is to follow a Service's pods begins here. */
export class ServicePods {
  readonly services: Informer<Service>;
  private readonly pods: Informer<Pod>;
  private readonly context: ControllerContext;

  constructor(context: ControllerContext) {
    this.context = context;
    this.services = context.informers.of(SERVICES);
    this.pods = context.informers.of(PODS);
  }

  /** Puts into the queue each Service that changes, and those whose endpoints may change. */
  watch(queue: WorkQueue): void {
    const enqueue = (service: Service): void => queue.add(keyOf(service));
    const enqueueFor = (...pods: readonly Pod[]): void => {
      for (const pod of pods) this.selecting(pod).forEach(enqueue);
    };
    this.services.addHandler({ onAdd: enqueue, onUpdate: enqueue, onDelete: enqueue });
    this.pods.addHandler({
      onAdd: enqueueFor,
      onUpdate: (pod, old) => {
        if (endpointText(pod) !== endpointText(old)) enqueueFor(pod, old);
      },
      onDelete: (pod) => enqueueFor(pod),
    });
    const podsOn = this.pods.index(byNode);
    const nodes = this.context.informers.of(NODES);
    nodes.addHandler({
      onAdd: ({ metadata }) => enqueueFor(...podsOn(metadata.name ?? '')),
      onUpdate: ({ metadata }, old) => {
        if (metadata.labels?.[ZONE] === old.metadata.labels?.[ZONE]) return;
        enqueueFor(...podsOn(metadata.name ?? ''));
      },
    });
  }

  /** The pods that the Service selects, by name, so that the same pods give the same endpoints. */
  podsOf({ metadata, spec }: Service): Pod[] {
    const selector = spec?.selector ?? {};
    const chosen = this.pods
      .list(metadata.namespace)
      .filter((pod) => matches(selector, pod.metadata.labels ?? {}));
    return chosen.sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
  }

  zoneOf(nodeName: string): string | undefined {
    const node = this.context.informers.of(NODES).get('', nodeName);
    return node?.metadata.labels?.[ZONE];
  }

  private selecting({ metadata }: Pod): Service[] {
    return this.services
      .list(metadata.namespace)
      .filter((service) => hasEndpoints(service))
      .filter(({ spec }) => matches(spec?.selector ?? {}, metadata.labels ?? {}));
  }
}

/** Those without a selector, and names for something outside, get their endpoints from elsewhere. */
export function hasEndpoints({ spec }: Service): boolean {
  return spec?.type !== 'ExternalName' && Object.keys(spec?.selector ?? {}).length > 0;
}

export function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === 'None';
}

function matches(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

/** Fields of a pod that its endpoint is made of, as one text to compare. */
function endpointText(pod: Pod): string {
  const { metadata, spec, status } = pod;
  const ready = conditionOf(pod, 'Ready');
  return JSON.stringify([
    metadata.labels,
    metadata.deletionTimestamp === undefined,
    spec.nodeName,
    status?.phase,
    status?.podIP,
    status?.podIPs,
    ready?.status,
    ready?.lastTransitionTime,
  ]);
}
