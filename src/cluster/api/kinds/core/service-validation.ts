import type { Service, ServicePort } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldProblems,
  fieldRequired,
} from '../../validation/field-error.js';
import { validateCidrLoosely, validateEndpointIp } from '../../validation/ip.js';
import {
  dnsLabelProblems,
  qualifiedNameProblems,
  subdomainProblems,
} from '../../validation/names.js';
import { validateLabels } from '../../validation/object-meta.js';
import {
  validateIpLoosely,
  validateOneOf,
  validatePort,
  validatePortReference,
} from '../../validation/values.js';
import { PROTOCOLS } from '../protocols.js';
import { validateAddresses, validateAddressUpdate } from './service-address-validation.js';
import {
  hasHealthCheckNodePort,
  INTERNAL_POLICIES,
  isExternal,
  isHeadless,
} from './service-rules.js';

const TYPES: readonly string[] = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
/** One day. */
const MAX_AFFINITY_SECONDS = 86_400;
const TOPOLOGY_HINTS = 'service.kubernetes.io/topology-aware-hints';
const TOPOLOGY_MODE = 'service.kubernetes.io/topology-mode';
const SOURCE_RANGES = 'service.beta.kubernetes.io/load-balancer-source-ranges';
const FOR_LOAD_BALANCERS = "may only be used when `type` is 'LoadBalancer'";

export function validateService(service: Service, old?: Service): FieldError[] {
  const addresses = validateAddresses(service, old);
  // Kubernetes allocates before it validates, so these stand alone.
  if (addresses.length > 0) return addresses;
  const { ports = [], selector } = service.spec;
  return [
    ...validateTopology(service),
    ...validateByType(service),
    ...ports.flatMap((_, index) => validateServicePort(ports, index)),
    ...validateLabels(selector, 'spec.selector'),
    ...validateAffinity(service),
    ...validateExternalIps(service, old),
    ...validateOneOf('spec.type', service.spec.type, TYPES),
    ...validateNodePorts(service),
    ...ports.flatMap((port, index) => validateUniquePort(ports, port, index)),
    ...validateSourceRanges(service, old),
    ...validateLoadBalancerFields(service),
    ...validateExternalTraffic(service),
    ...validateOneOfGiven(
      'spec.internalTrafficPolicy',
      service.spec.internalTrafficPolicy,
      INTERNAL_POLICIES,
    ),
    ...validateOneOfGiven('spec.trafficDistribution', service.spec.trafficDistribution, [
      'PreferClose',
      'PreferSameZone',
      'PreferSameNode',
    ]),
  ];
}

function validateOneOfGiven(
  field: string,
  value: string | undefined,
  supported: readonly string[],
): FieldError[] {
  return value === undefined ? [] : validateOneOf(field, value, supported);
}

function validateTopology({ metadata }: Service): FieldError[] {
  const { [TOPOLOGY_HINTS]: hints, [TOPOLOGY_MODE]: mode } = metadata.annotations ?? {};
  if (hints === undefined || mode === undefined || hints === mode) return [];
  const detail = `must match annotations[${TOPOLOGY_HINTS}] when both are specified`;
  return [fieldInvalid(`metadata.annotations[${TOPOLOGY_MODE}]`, mode, detail)];
}

function validateByType(service: Service): FieldError[] {
  const { type = '', ports = [] } = service.spec;
  if (type === 'ExternalName') return validateExternalName(service);
  const isBalanced = type === 'LoadBalancer' || type === 'NodePort';
  return [
    ...(ports.length === 0 && !isHeadless(service) ? [fieldRequired('spec.ports')] : []),
    ...(isBalanced && isHeadless(service)
      ? [
          fieldInvalid(
            'spec.clusterIPs[0]',
            'None',
            `may not be set to 'None' for ${type} services`,
          ),
        ]
      : []),
  ];
}

function validateExternalName({ spec }: Service): FieldError[] {
  const { clusterIPs = [], ipFamilies = [], ipFamilyPolicy, externalName = '' } = spec;
  const detail = 'may not be set for ExternalName services';
  const name = externalName.replace(/\.$/, '');
  return [
    ...(clusterIPs.length > 0 ? [fieldForbidden('spec.clusterIPs', detail)] : []),
    ...(ipFamilies.length > 0 ? [fieldForbidden('spec.ipFamilies', detail)] : []),
    ...(ipFamilyPolicy === undefined ? [] : [fieldForbidden('spec.ipFamilyPolicy', detail)]),
    ...(name === ''
      ? [fieldRequired('spec.externalName')]
      : fieldProblems('spec.externalName', name, subdomainProblems(name))),
  ];
}

function validateServicePort(ports: readonly ServicePort[], index: number): FieldError[] {
  const port = ports[index];
  if (port === undefined) return [];
  const { name = '', protocol, appProtocol, targetPort } = port;
  const path = `spec.ports[${index}]`;
  const isTaken = name !== '' && ports.findIndex((other) => other.name === name) < index;
  return [
    ...(name === '' && ports.length > 1 ? [fieldRequired(`${path}.name`)] : []),
    ...(name === '' ? [] : fieldProblems(`${path}.name`, name, dnsLabelProblems(name))),
    ...(isTaken ? [fieldDuplicate(`${path}.name`, name)] : []),
    ...validatePort(`${path}.port`, port.port),
    ...validateOneOf(`${path}.protocol`, protocol, PROTOCOLS, true),
    ...validatePortReference(`${path}.targetPort`, targetPort ?? 0),
    ...(appProtocol === undefined
      ? []
      : fieldProblems(`${path}.appProtocol`, appProtocol, qualifiedNameProblems(appProtocol))),
  ];
}

function validateAffinity({ spec }: Service): FieldError[] {
  const { sessionAffinity, sessionAffinityConfig } = spec;
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 0;
  const isOutside = seconds <= 0 || seconds > MAX_AFFINITY_SECONDS;
  return [
    ...validateOneOf('spec.sessionAffinity', sessionAffinity, ['ClientIP', 'None']),
    ...(sessionAffinity === 'ClientIP' && isOutside
      ? [
          fieldInvalid(
            field,
            seconds,
            `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`,
          ),
        ]
      : []),
  ];
}

function validateExternalIps({ spec }: Service, old: Service | undefined): FieldError[] {
  return (spec.externalIPs ?? []).flatMap((ip, index) => {
    const field = `spec.externalIPs[${index}]`;
    const isKnown = old?.spec.externalIPs?.includes(ip) === true;
    const found = isKnown ? [] : validateIpLoosely(field, ip);
    return found.length > 0 ? found : validateEndpointIp(field, ip);
  });
}

function validateNodePorts({ spec }: Service): FieldError[] {
  const { ports = [], type } = spec;
  const given = ports.flatMap(({ nodePort = 0, protocol }, index) =>
    nodePort === 0
      ? []
      : [
          {
            nodePort,
            key: `${nodePort}/${protocol ?? ''}`,
            field: `spec.ports[${index}].nodePort`,
          },
        ],
  );
  const keys = given.map(({ key }) => key);
  return [
    ...(type === 'ClusterIP'
      ? given.map(({ field }) =>
          fieldForbidden(field, "may not be used when `type` is 'ClusterIP'"),
        )
      : []),
    ...given
      .filter(({ key }, index) => keys.indexOf(key) < index)
      .map(({ field, nodePort }) => fieldDuplicate(field, nodePort)),
  ];
}

function validateUniquePort(
  ports: readonly ServicePort[],
  { port, protocol }: ServicePort,
  index: number,
): FieldError[] {
  const first = ports.findIndex((other) => other.port === port && other.protocol === protocol);
  if (first === index) return [];
  // As Kubernetes shows the pair: a port of its own, with nothing else in it.
  const shown = {
    Name: '',
    Protocol: protocol,
    AppProtocol: null,
    Port: port,
    TargetPort: 0,
    NodePort: 0,
  };
  return [fieldDuplicate(`spec.ports[${index}]`, shown)];
}

/** The sources that a load balancer lets in: a list, or in older clusters an annotation. */
function validateSourceRanges(service: Service, old: Service | undefined): FieldError[] {
  const { loadBalancerSourceRanges: ranges = [], type } = service.spec;
  const wrongType = (field: string): FieldError[] =>
    type === 'LoadBalancer' ? [] : [fieldForbidden(field, FOR_LOAD_BALANCERS)];
  if (ranges.length > 0) {
    // The field's odd capital is that of Kubernetes.
    const field = 'spec.LoadBalancerSourceRanges';
    const known = (old?.spec.loadBalancerSourceRanges ?? []).map((range) => range.trim());
    return [
      ...wrongType(field),
      ...ranges.flatMap((range, index) =>
        validateCidrLoosely(`${field}[${index}]`, range.trim(), known),
      ),
    ];
  }
  const text = service.metadata.annotations?.[SOURCE_RANGES];
  if (text === undefined) return [];
  const field = `metadata.annotations[${SOURCE_RANGES}]`;
  const isKnown = old?.metadata.annotations?.[SOURCE_RANGES] === text;
  const listed = isKnown || text.trim() === '' ? [] : text.split(',');
  return [
    ...wrongType(field),
    ...listed.flatMap((range) => validateCidrLoosely(field, range.trim())),
  ];
}

function validateLoadBalancerFields({ spec }: Service): FieldError[] {
  const { type, allocateLoadBalancerNodePorts, loadBalancerClass } = spec;
  const field = 'spec.loadBalancerClass';
  if (type === 'LoadBalancer') {
    if (loadBalancerClass === undefined) return [];
    return fieldProblems(field, loadBalancerClass, qualifiedNameProblems(loadBalancerClass));
  }
  return [
    ...(allocateLoadBalancerNodePorts === undefined
      ? []
      : [fieldForbidden('spec.allocateLoadBalancerNodePorts', FOR_LOAD_BALANCERS)]),
    ...(loadBalancerClass === undefined ? [] : [fieldForbidden(field, FOR_LOAD_BALANCERS)]),
  ];
}

function validateExternalTraffic(service: Service): FieldError[] {
  const { externalTrafficPolicy: policy = '', healthCheckNodePort: port = 0 } = service.spec;
  const policyField = 'spec.externalTrafficPolicy';
  const portField = 'spec.healthCheckNodePort';
  const found = isExternal(service)
    ? validateOneOf(policyField, policy, ['Cluster', 'Local'], true)
    : policy === ''
      ? []
      : [fieldInvalid(policyField, policy, 'may only be set for externally-accessible services')];
  if (port === 0) return found;
  const detail =
    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
  return [
    ...found,
    ...(hasHealthCheckNodePort(service)
      ? validatePort(portField, port)
      : [fieldInvalid(portField, port, detail)]),
  ];
}

export function validateServiceUpdate(next: Service, old: Service): FieldError[] {
  const { loadBalancerClass, healthCheckNodePort } = next.spec;
  const stays = (type: string): boolean => next.spec.type === type && old.spec.type === type;
  return [
    ...validateAddressUpdate(next, old),
    ...(stays('LoadBalancer') && loadBalancerClass !== old.spec.loadBalancerClass
      ? [fieldInvalid('spec.loadBalancerClass', loadBalancerClass, 'may not change once set')]
      : []),
    ...(hasHealthCheckNodePort(next) &&
    hasHealthCheckNodePort(old) &&
    healthCheckNodePort !== old.spec.healthCheckNodePort
      ? [fieldForbidden('spec.healthCheckNodePort', 'field is immutable')]
      : []),
  ];
}
