/** Keeps the Endpoints of the same name beside each Service with a selector, for older clients. */
import type {
  EndpointAddress,
  Endpoints,
  EndpointSubset,
  Pod,
  Service,
} from '../../gen/kube-core-v1.js';
import type { ObjectMeta } from '../../gen/kube-meta-v1.js';
import { isApiError } from '../api/status.js';
import { keyOf, splitKey, type Informer } from '../client/informer.js';
import { ENDPOINTS } from '../client/resource-types.js';
import { enqueueEach, type ControllerContext } from './controller.js';
import { addressesOf, addressTypesOf, hostnameOf } from './endpoints/addresses.js';
import { portsText, targetPorts, type TargetPort } from './endpoints/ports.js';
import { hasEndpoints, isHeadless, ServicePods } from './endpoints/service-pods.js';
import { TRIGGER_TIME, TriggerTimes } from './endpoints/trigger-times.js';
import { isNamespaceGoing } from './errors.js';
import { isSameJson } from './json.js';
import { isReady } from './pods.js';
import { isGoing } from './references.js';

const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const MANAGER = 'endpoint-controller';
const HEADLESS = 'service.kubernetes.io/headless';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
/** Addresses of one object. */
const MAX_ADDRESSES = 1000;

interface Place {
  readonly address: EndpointAddress;
  readonly isReady: boolean;
  readonly ports: readonly TargetPort[];
}

export function endpoints(context: ControllerContext): void {
  new EndpointsController(context);
}

class EndpointsController {
  private readonly context: ControllerContext;
  private readonly servicePods: ServicePods;
  private readonly known: Informer<Endpoints>;
  private readonly times = new TriggerTimes();

  constructor(context: ControllerContext) {
    this.context = context;
    this.servicePods = new ServicePods(context);
    this.known = context.informers.of(ENDPOINTS);
    const reconcile = (key: string): Promise<void> => this.reconcile(key);
    const queue = context.loop({ name: 'endpoint', workers: 5, reconcile });
    this.servicePods.watch(queue);
    enqueueEach(this.known, queue);
  }

  private async reconcile(key: string): Promise<void> {
    const service = this.servicePods.services.getByKey(key);
    if (service === undefined) {
      this.times.forget(key);
      await this.deleteLeft(key);
    } else if (hasEndpoints(service) && !isGoing(service)) {
      await this.write(service);
    }
  }

  /** Endpoints have no owner that would take them along. */
  private async deleteLeft(key: string): Promise<void> {
    const left = this.known.getByKey(key);
    if (left?.metadata.labels?.[MANAGED_BY] !== MANAGER || isGoing(left)) return;
    const { namespace, name } = splitKey(key);
    const { uid = '' } = left.metadata;
    try {
      const resource = this.context.client.resource(ENDPOINTS, namespace);
      await resource.delete(name, { preconditions: { uid } });
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }

  private async write(service: Service): Promise<void> {
    const { namespace = '', name = '' } = service.metadata;
    const pods = this.servicePods.podsOf(service);
    const key = keyOf(service);
    const trigger = this.times.next(key, service, pods);
    const known = this.known.getByKey(key);
    const places = pods.flatMap((pod) => placesOf(service, pod));
    const subsets = subsetsOf(places.slice(0, MAX_ADDRESSES));
    const labels = labelsOf(service);
    const isOver = places.length > MAX_ADDRESSES;
    const metadata: ObjectMeta = known?.metadata ?? { name, namespace };
    const { [TRIGGER_TIME]: _time, [OVER_CAPACITY]: over, ...others } = metadata.annotations ?? {};
    const isRight =
      isSameJson(known?.subsets ?? [], subsets) &&
      isSameJson(metadata.labels ?? {}, labels) &&
      (over === 'truncated') === isOver;
    if (known !== undefined && isRight) return;
    const annotations = {
      ...others,
      ...(isOver ? { [OVER_CAPACITY]: 'truncated' } : {}),
      ...(trigger === undefined ? {} : { [TRIGGER_TIME]: trigger }),
    };
    const isBare = Object.keys(annotations).length === 0;
    const next: Endpoints = {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { ...metadata, labels, annotations: isBare ? undefined : annotations },
      ...(subsets.length === 0 ? {} : { subsets }),
    };
    const resource = this.context.client.resource(ENDPOINTS, namespace);
    try {
      await (known === undefined ? resource.create(next) : resource.update(next));
    } catch (error) {
      if (!isNamespaceGoing(error)) throw error;
    }
  }
}

/** At most one: the main family's address, without pods on their way out. */
function placesOf(service: Service, pod: Pod): Place[] {
  const isTolerant = service.spec?.publishNotReadyAddresses === true;
  if (isGoing(pod) && !isTolerant) return [];
  const [type = 'IPv4'] = addressTypesOf(service);
  const [ip] = addressesOf(pod, type);
  const ports = targetPorts(service, pod);
  const isPortless = isHeadless(service) && (service.spec?.ports ?? []).length === 0;
  if (ip === undefined || (ports.length === 0 && !isPortless)) return [];
  const { namespace, name, uid } = pod.metadata;
  const hostname = hostnameOf(pod, service);
  const { nodeName } = pod.spec;
  const address = {
    ip,
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: { kind: 'Pod', namespace, name, uid },
  };
  return [{ address, isReady: isTolerant || isReady(pod), ports }];
}

function subsetsOf(places: readonly Place[]): EndpointSubset[] {
  const groups = new Map<string, Place[]>();
  for (const place of places) {
    const text = portsText(place.ports);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, [place]);
    else group.push(place);
  }
  return [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => subsetOf(group));
}

function subsetOf(group: readonly Place[]): EndpointSubset {
  const sorted = [...group].sort((a, b) => (a.address.ip < b.address.ip ? -1 : 1));
  const addresses = sorted.filter((place) => place.isReady).map(({ address }) => address);
  const notReady = sorted.filter((place) => !place.isReady).map(({ address }) => address);
  const ports = (group[0]?.ports ?? []).map(({ name, port, protocol, appProtocol }) => ({
    ...(name === '' ? {} : { name }),
    port,
    protocol,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }));
  return {
    ...(addresses.length === 0 ? {} : { addresses }),
    ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
    ...(ports.length === 0 ? {} : { ports }),
  };
}

function labelsOf(service: Service): Record<string, string> {
  return {
    ...service.metadata.labels,
    [MANAGED_BY]: MANAGER,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
  };
}
