/** Objects that are refused for reasons that no recording shows, with the texts of Kubernetes 1.36. */
import { expect } from 'chai';
import type { JsonObject } from '../../../../src/cluster/api/object.js';
import { refused } from './service-kinds.js';

const LONG = 'a'.repeat(129);
const LABEL_RULE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const REFUSED: readonly (readonly [string, string, JsonObject, readonly string[]])[] = [
  [
    'Node',
    'taints',
    {
      spec: {
        taints: [
          { key: 'a', value: '!', effect: '' },
          { key: 'b', effect: 'Maybe' },
          { key: 'c', effect: 'NoExecute' },
          { key: 'c', effect: 'NoSchedule' },
          { key: 'c', value: 'd', effect: 'NoExecute' },
        ],
      },
    },
    [
      `metadata.taints[0].value: Invalid value: "!": ${LABEL_RULE}`,
      'metadata.taints[0].effect: Required value',
      'metadata.taints[1].effect: Unsupported value: "Maybe": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
      'metadata.taints[4]: Duplicate value: {"Key":"c","Value":"d","Effect":"NoExecute","TimeAdded":null}: taints must be unique by key and effect pair',
    ],
  ],
  [
    'Node',
    'amounts, features, pod CIDRs',
    {
      spec: { podCIDRs: ['10.0.0.0/24', '10.0.1.0/24', 'x'] },
      status: {
        capacity: { cpu: '-1', pods: '1500m' },
        allocatable: { memory: '1Gi' },
        declaredFeatures: ['B', 'A', 'A', 'lower'],
      },
    },
    [
      'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
      'status.capacity.pods: Invalid value: "1500m": must be an integer',
      'status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically',
      'status.declaredFeatures[2]: Duplicate value: "A"',
      'status.declaredFeatures[3]: Invalid value: "lower": invalid feature name "lower": must start with an UpperCamelCase segment, with subsequent segments separated by \'/\' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes',
      'spec.podCIDRs[2]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24","x"]: may specify no more than one CIDR for each IP family',
    ],
  ],
  [
    'Namespace',
    'finalizers',
    { spec: { finalizers: ['mine'] } },
    [
      'spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
    ],
  ],
  [
    'Event',
    'fields of events.k8s.io',
    {
      eventTime: '2026-01-01T00:00:00.000000Z',
      involvedObject: { namespace: 'default' },
      reason: LONG,
      message: 'm'.repeat(1025),
      reportingInstance: LONG,
    },
    [
      'reportingComponent: Required value',
      'reportingComponent: Invalid value: "": name part must be non-empty',
      "reportingComponent: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
      'reportingInstance: Invalid value: "": can have at most 128 characters',
      'action: Required value',
      'reason: Invalid value: "": can have at most 128 characters',
      'message: Invalid value: "": can have at most 1024 characters',
    ],
  ],
  [
    'Event',
    'of nothing in a namespace, outside default',
    {
      metadata: { namespace: 'web' },
      involvedObject: {},
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingComponent: 'a.b/c',
      reportingInstance: 'i',
      action: 'A',
      reason: 'R',
    },
    ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
  ],
  ['Event', 'of a node, in default', { involvedObject: { kind: 'Node', name: 'n' } }, []],
  [
    'Endpoints',
    'without addresses',
    { subsets: [{ ports: [{ port: 1, protocol: 'X' }] }] },
    [
      'subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`',
      'subsets[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    ],
  ],
  [
    'EndpointSlice',
    'addresses of another family',
    {
      addressType: 'IPv6',
      endpoints: [{ addresses: ['10.0.0.1', 'FD00::1'] }, { addresses: [] }],
      ports: [{ name: 'a' }, { name: 'a', protocol: 'X' }],
    },
    [
      'ports[1].name: Duplicate value: "a"',
      'ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
      'endpoints[0].addresses: Invalid value: "10.0.0.1": must be an IPv6 address',
      'endpoints[0].addresses[1]: Invalid value: "FD00::1": must be in canonical form ("fd00::1")',
      'endpoints[1].addresses: Required value: must contain at least 1 address',
    ],
  ],
  [
    'EndpointSlice',
    'names, hints and limits',
    {
      addressType: 'FQDN',
      endpoints: [
        { addresses: ['a.example.com.', 'single', ''], hostname: 'A' },
        {
          addresses: ['a.b'],
          hints: { forZones: [{ name: 'z' }, { name: 'z' }], forNodes: [{ name: '-' }] },
        },
        {
          addresses: Array.from({ length: 101 }, (_, at) => `a${at}.b`),
          hints: { forZones: Array.from({ length: 9 }, (_, at) => ({ name: `z${at}` })) },
        },
      ],
    },
    [
      'endpoints[0].addresses[1]: Invalid value: "single": should be a domain with at least two segments separated by dots',
      'endpoints[0].addresses[2]: Required value',
      "endpoints[0].hostname: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
      'endpoints[1].hints.forZones[1].name: Duplicate value: "z"',
      "endpoints[1].hints.forNodes[0].name: Invalid value: \"-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      'endpoints[2].addresses: Too many: 101: must have at most 100 items',
      'endpoints[2].hints.forZones: Too many: 9: must have at most 8 items',
    ],
  ],
  [
    'EndpointSlice',
    'no address type, too many endpoints',
    { endpoints: Array.from({ length: 1001 }, () => ({ addresses: ['a.b'] })) },
    ['addressType: Required value', 'endpoints: Too many: 1001: must have at most 1000 items'],
  ],
  [
    'ConfigMap',
    'more than a mebibyte, in both maps together',
    { data: { a: 'x'.repeat(1024 * 1024) }, binaryData: { b: 'eA==' } },
    ['[]: Too long: may not be more than 1048576 bytes'],
  ],
  ['ConfigMap', 'exactly a mebibyte', { data: { a: 'x'.repeat(1024 * 1024) } }, []],
  [
    'Secret',
    'more than a mebibyte',
    { stringData: { a: 'x'.repeat(1024 * 1024 + 1) } },
    ['data: Too long: may not be more than 1048576 bytes'],
  ],
  [
    'Secret',
    'a user without a password',
    { type: 'kubernetes.io/basic-auth', data: { username: '' } },
    [],
  ],
  [
    'Service',
    'ports',
    {
      spec: {
        type: 'NodePort',
        ports: [
          { name: 'a', port: 80, nodePort: 30_000, targetPort: 'no--name', appProtocol: 'a/b/c' },
          { name: 'B', port: 81, nodePort: 30_000, targetPort: 70_000 },
        ],
        loadBalancerClass: 'x',
        allocateLoadBalancerNodePorts: true,
        loadBalancerSourceRanges: ['10.0.0.0/8'],
      },
    },
    [
      'spec.ports[0].targetPort: Invalid value: "no--name": must not contain consecutive hyphens',
      "spec.ports[0].appProtocol: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
      "spec.ports[1].name: Invalid value: \"B\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
      'spec.ports[1].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
      'spec.ports[1].nodePort: Duplicate value: 30000',
      "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
      "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
      "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ],
  ],
  [
    'Service',
    'addresses stand alone',
    { spec: { clusterIPs: ['10.96.0.9'], ipFamilies: ['IPv4', 'IPv4', 'IPv5'] } },
    [
      'spec.clusterIPs: Invalid value: ["10.96.0.9"]: must be empty when `clusterIP` is not specified',
      'spec.ipFamilies[1]: Duplicate value: "IPv4"',
      'spec.ipFamilies[2]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
    ],
  ],
  [
    'Service',
    'two addresses',
    { spec: { clusterIP: '10.96.0.8', clusterIPs: ['10.96.0.8', '10.96.0.9'] } },
    [
      'spec.clusterIPs: Invalid value: ["10.96.0.8","10.96.0.9"]: may specify no more than one IP for each IP family',
    ],
  ],
  [
    'Service',
    'a name with addresses',
    {
      spec: { type: 'ExternalName', externalName: 'a.b.', clusterIP: 'None', ipFamilies: ['IPv4'] },
    },
    [
      'spec.clusterIPs: Forbidden: may not be set for ExternalName services',
      'spec.ipFamilies: Forbidden: may not be set for ExternalName services',
    ],
  ],
];

describe('rules of kinds', () => {
  for (const [kind, what, body, expected] of REFUSED)
    it(`${kind}: ${what}`, () => expect(refused(kind, body)).to.deep.equal(expected));
});
