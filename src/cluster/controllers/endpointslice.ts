/** Keeps the EndpointSlices of each Service with a selector. */
import type { Pod, Service } from '../../gen/kube-core-v1.js';
import type { Endpoint, EndpointSlice } from '../../gen/kube-discovery-v1.js';
import { SERVICE_NAME_LABEL } from '../api/service-names.js';
import { isApiError } from '../api/status.js';
import { keyOf, type Informer } from '../client/informer.js';
import { ENDPOINT_SLICES } from '../client/resource-types.js';
import type { WorkQueue } from '../client/work-queue.js';
import type { ControllerContext } from './controller.js';
import {
  addressesOf,
  addressTypesOf,
  hostnameOf,
  type AddressType,
} from './endpoints/addresses.js';
import { portsText, targetPorts } from './endpoints/ports.js';
import { hasEndpoints, isHeadless, ServicePods } from './endpoints/service-pods.js';
import { changesTo, portsOf, type Content, type Group } from './endpoints/slices.js';
import { TRIGGER_TIME, TriggerTimes } from './endpoints/trigger-times.js';
import { isNamespaceGoing } from './errors.js';
import { isSameJson } from './json.js';
import { OwnWrites } from './own-writes.js';
import { isReady } from './pods.js';
import { controllerReferenceTo, isGoing } from './references.js';

const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const MANAGER = 'endpointslice-controller.k8s.io';
const HEADLESS = 'service.kubernetes.io/headless';
const RESERVED = new Set([SERVICE_NAME_LABEL, MANAGED_BY, HEADLESS]);

export function endpointSlices(context: ControllerContext): void {
  const controller = new EndpointSliceController(context);
  controller.watch();
}

class EndpointSliceController {
  private readonly context: ControllerContext;
  private readonly servicePods: ServicePods;
  private readonly slices: Informer<EndpointSlice>;
  private readonly slicesBy: (service: string) => readonly EndpointSlice[];
  private readonly writes: OwnWrites<EndpointSlice>;
  private readonly times = new TriggerTimes();
  private readonly queue: WorkQueue;

  constructor(context: ControllerContext) {
    this.context = context;
    this.servicePods = new ServicePods(context);
    this.slices = context.informers.of(ENDPOINT_SLICES);
    this.slicesBy = this.slices.index(byService);
    this.writes = new OwnWrites(context.env, this.slices);
    const reconcile = (key: string): Promise<void> => this.reconcile(key);
    this.queue = context.loop({ name: 'endpointslice', workers: 5, reconcile });
  }

  watch(): void {
    this.servicePods.watch(this.queue);
    const enqueue = (slice: EndpointSlice): void => {
      for (const key of byService(slice)) this.queue.add(key);
    };
    this.slices.addHandler({
      onAdd: enqueue,
      onUpdate: (slice, old) => {
        enqueue(old);
        enqueue(slice);
      },
      onDelete: enqueue,
    });
  }

  private async reconcile(key: string): Promise<void> {
    const service = this.servicePods.services.getByKey(key);
    if (service === undefined) {
      // The slices go with their owner.
      this.writes.forget(key);
      this.times.forget(key);
      return;
    }
    if (!hasEndpoints(service) || isGoing(service)) return;
    const waitMs = this.writes.waitMs(key);
    if (waitMs !== undefined) {
      this.queue.addAfter(key, waitMs);
      return;
    }
    const pods = this.servicePods.podsOf(service);
    const trigger = this.times.next(key, service, pods);
    const existing = this.slicesBy(key).filter((slice) => !isGoing(slice));
    const types = addressTypesOf(service);
    for (const type of types) {
      const ofType = existing.filter(({ addressType }) => addressType === type);
      await this.reconcileType({ service, type, pods, existing: ofType, trigger });
    }
    const others = existing.filter(
      ({ addressType }) => !types.some((type) => type === addressType),
    );
    for (const slice of others) await this.delete(slice);
  }

  private async reconcileType(work: TypeWork): Promise<void> {
    const { service, existing } = work;
    const changes = changesTo(existing, this.groups(work));
    const labels = labelsOf(service);
    // Labels may be old on slices whose content is right.
    const relabeled = changes.keep.filter(({ metadata }) => !isSameJson(labels, metadata.labels));
    const contents = relabeled.map((slice) => ({
      slice,
      ports: portsOf(slice),
      endpoints: slice.endpoints ?? [],
    }));
    for (const content of [...changes.write, ...contents]) await this.write(work, content);
    for (const slice of changes.delete) await this.delete(slice);
  }

  private groups({ service, type, pods }: TypeWork): Group[] {
    const groups = new Map<string, { ports: Group['ports']; endpoints: Endpoint[] }>();
    for (const pod of pods) {
      const addresses = addressesOf(pod, type);
      if (addresses.length === 0) continue;
      const ports = targetPorts(service, pod);
      const text = portsText(ports);
      const group = groups.get(text) ?? { ports, endpoints: [] };
      groups.set(text, group);
      group.endpoints.push(this.endpointOf(service, pod, addresses));
    }
    return [...groups.values()];
  }

  private endpointOf(service: Service, pod: Pod, addresses: string[]): Endpoint {
    const { namespace, name, uid } = pod.metadata;
    const serving = isReady(pod);
    const terminating = isGoing(pod);
    const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
    const hostname = hostnameOf(pod, service);
    const { nodeName = '' } = pod.spec;
    const zone = this.servicePods.zoneOf(nodeName);
    return {
      addresses,
      conditions: { ready, serving, terminating },
      ...(hostname === undefined ? {} : { hostname }),
      targetRef: { kind: 'Pod', namespace, name, uid },
      ...(nodeName === '' ? {} : { nodeName }),
      ...(zone === undefined ? {} : { zone }),
    };
  }

  private async write({ service, type, trigger }: TypeWork, content: Content): Promise<void> {
    const { namespace = '', name = '' } = service.metadata;
    const known = content.slice?.metadata;
    const { [TRIGGER_TIME]: _before, ...others } = known?.annotations ?? {};
    const annotations = {
      ...others,
      ...(trigger === undefined ? {} : { [TRIGGER_TIME]: trigger }),
    };
    const slice: EndpointSlice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        ...(known ?? {
          generateName: `${name}-`,
          namespace,
          ownerReferences: [controllerReferenceTo(service)],
        }),
        labels: labelsOf(service),
        ...(Object.keys(annotations).length === 0 ? { annotations: undefined } : { annotations }),
      },
      addressType: type,
      endpoints: [...content.endpoints],
      ports: content.ports.map(({ appProtocol, ...port }) => ({
        ...port,
        ...(appProtocol === undefined ? {} : { appProtocol }),
      })),
    };
    const slices = this.context.client.resource(ENDPOINT_SLICES, namespace);
    const isNew = content.slice === undefined;
    try {
      this.writes.wrote(
        keyOf(service),
        await (isNew ? slices.create(slice) : slices.update(slice)),
      );
    } catch (error) {
      if (!isNamespaceGoing(error)) throw error;
    }
  }

  private async delete({ metadata }: EndpointSlice): Promise<void> {
    const { namespace = '', name = '', uid = '' } = metadata;
    const slices = this.context.client.resource(ENDPOINT_SLICES, namespace);
    try {
      await slices.delete(name, { preconditions: { uid } });
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }
}

interface TypeWork {
  readonly service: Service;
  readonly type: AddressType;
  readonly pods: readonly Pod[];
  readonly existing: readonly EndpointSlice[];
  readonly trigger: string | undefined;
}

/** Those that this controller manages; others have other writers. */
function byService({ metadata }: EndpointSlice): readonly string[] {
  const { [SERVICE_NAME_LABEL]: service = '', [MANAGED_BY]: manager } = metadata.labels ?? {};
  return service === '' || manager !== MANAGER ? [] : [`${metadata.namespace ?? ''}/${service}`];
}

function labelsOf(service: Service): Record<string, string> {
  const own = Object.entries(service.metadata.labels ?? {}).filter(([key]) => !RESERVED.has(key));
  return {
    ...Object.fromEntries(own),
    [SERVICE_NAME_LABEL]: service.metadata.name ?? '',
    [MANAGED_BY]: MANAGER,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
  };
}
