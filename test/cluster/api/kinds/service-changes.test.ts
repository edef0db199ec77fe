import { expect } from 'chai';
import type { Service, ServicePort, ServiceSpec } from '../../../../src/gen/kube-core-v1.js';
import {
  allocationsOf,
  clusterIpProblem,
  needsClusterIp,
  needsHealthCheckNodePort,
  nodePortProblem,
  portsWithoutNodePort,
  SERVICE_IP_RANGE,
} from '../../../../src/cluster/api/kinds/core/service-rules.js';
import { service } from '../../../../src/cluster/api/kinds/core/service.js';

const CLUSTER_IP = '10.96.7.8';

function made(spec: ServiceSpec): Service {
  const object: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec,
  };
  service.setDefaults(object);
  service.strategy.prepareCreate(object);
  return object;
}

/** As the allocator leaves it. */
function allocated(spec: ServiceSpec): Service {
  const object = made(spec);
  if (needsClusterIp(object)) {
    object.spec.clusterIP = CLUSTER_IP;
    object.spec.clusterIPs = [CLUSTER_IP];
  }
  for (const [index, [port]] of portsWithoutNodePort(object, false).entries())
    if (port !== undefined) port.nodePort = 30_001 + index;
  if (needsHealthCheckNodePort(object)) object.spec.healthCheckNodePort = 30_999;
  return object;
}

function changed(old: Service, change: (spec: ServiceSpec) => void): Service {
  const next = structuredClone(old);
  change(next.spec);
  service.setDefaults(next);
  service.strategy.prepareUpdate(next, old);
  return next;
}

function findings(next: Service, old: Service): string[] {
  return [...service.validate(next, old), ...service.validateUpdate(next, old)].map(
    ({ field, message }) => `${field}: ${message}`,
  );
}

const WEB: readonly ServicePort[] = [
  { name: 'http', port: 80 },
  { name: 'admin', port: 8080 },
];

function ports(): ServicePort[] {
  return WEB.map((port) => ({ ...port }));
}

describe('a service that changes', () => {
  it('loses its cluster IP and node ports when it becomes a name', () => {
    const old = allocated({ type: 'NodePort', ports: ports() });
    const next = changed(old, (spec) => {
      spec.type = 'ExternalName';
      spec.externalName = 'db.example.com';
    });
    expect(findings(next, old)).to.deep.equal([]);
    expect(allocationsOf(old)).to.deep.equal({
      clusterIps: [CLUSTER_IP],
      nodePorts: [30_001, 30_002],
    });
    expect(allocationsOf(next)).to.deep.equal({ clusterIps: [], nodePorts: [] });
    for (const name of ['clusterIP', 'ipFamilies', 'ipFamilyPolicy', 'externalTrafficPolicy'])
      expect(next.spec).to.not.have.property(name);
  });

  it('gets a cluster IP when it stops being a name', () => {
    const old = allocated({ type: 'ExternalName', externalName: 'db.example.com' });
    const next = changed(old, (spec) => {
      spec.type = 'ClusterIP';
      spec.ports = ports();
    });
    expect(findings(next, old)).to.deep.equal([]);
    expect(needsClusterIp(next)).to.equal(true);
    expect(next.spec.ipFamilies).to.deep.equal(['IPv4']);
  });

  it('keeps what was allocated when a client leaves it out', () => {
    const old = allocated({
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      ports: ports(),
    });
    const next = changed(old, (spec) => {
      delete spec.clusterIP;
      delete spec.clusterIPs;
      delete spec.healthCheckNodePort;
      spec.ports = ports().reverse();
    });
    expect(findings(next, old)).to.deep.equal([]);
    expect(allocationsOf(next)).to.deep.equal({
      clusterIps: [CLUSTER_IP],
      nodePorts: [30_002, 30_001, 30_999],
    });
  });

  it('lets a port take over the node port of another', () => {
    const old = allocated({ type: 'NodePort', ports: ports() });
    const next = changed(old, (spec) => {
      spec.ports = [
        { name: 'http', port: 80 },
        { name: 'admin', port: 8080, nodePort: 30_001 },
      ];
    });
    expect(findings(next, old)).to.deep.equal([]);
    expect(
      portsWithoutNodePort(next, false)
        .flat()
        .map(({ name }) => name),
    ).to.deep.equal(['http']);
  });

  it('drops fields of a load balancer unless the client changes them', () => {
    const old = allocated({
      type: 'LoadBalancer',
      loadBalancerClass: 'example.com/lb',
      externalTrafficPolicy: 'Local',
      ports: ports(),
    });
    old.status = { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } };
    const next = changed(old, (spec) => {
      spec.type = 'ClusterIP';
    });
    expect(findings(next, old)).to.deep.equal([]);
    expect(next.status).to.deep.equal({ loadBalancer: {} });
    expect(next.spec).to.not.have.any.keys(
      'loadBalancerClass',
      'allocateLoadBalancerNodePorts',
      'healthCheckNodePort',
      'externalTrafficPolicy',
    );

    const other = changed(old, (spec) => {
      spec.type = 'ClusterIP';
      spec.loadBalancerClass = 'example.com/other';
    });
    expect(findings(other, old)).to.deep.equal([
      "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ]);
  });

  it('may not change its cluster IP, nor become headless', () => {
    const old = allocated({ ports: ports() });
    const next = changed(old, (spec) => {
      spec.clusterIP = 'None';
    });
    expect(findings(next, old)).to.deep.equal([
      'spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set',
    ]);
    const moved = changed(old, (spec) => {
      spec.clusterIP = '10.96.0.255';
      spec.clusterIPs = ['10.96.1.1'];
    });
    expect(findings(moved, old)[0]).to.equal(
      'spec.clusterIPs: Invalid value: ["10.96.1.1"]: first value must match `clusterIP`',
    );
  });

  it('may not change its class or the port of its health check', () => {
    const old = allocated({
      type: 'LoadBalancer',
      loadBalancerClass: 'example.com/lb',
      externalTrafficPolicy: 'Local',
      ports: ports(),
    });
    const next = changed(old, (spec) => {
      spec.loadBalancerClass = 'example.com/other';
      spec.healthCheckNodePort = 31_000;
    });
    expect(findings(next, old)).to.deep.equal([
      'spec.loadBalancerClass: Invalid value: "example.com/other": may not change once set',
      'spec.healthCheckNodePort: Forbidden: field is immutable',
    ]);
  });
});

describe('a new service', () => {
  it('has both families when it is headless and has no selector', () => {
    const free = made({ clusterIP: 'None' });
    expect(free.spec).to.deep.include({
      clusterIPs: ['None'],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
    });
    expect(service.validate(free)).to.deep.equal([]);
    const bound = made({ clusterIP: 'None', selector: { a: 'b' } });
    expect(bound.spec.ipFamilies).to.deep.equal(['IPv4']);
    expect(needsClusterIp(bound)).to.equal(false);
  });

  it('shares a node port among the protocols of one port', () => {
    const dns = (nodePort?: number): ServicePort[] => [
      { name: 'tcp', port: 53, protocol: 'TCP' },
      { name: 'udp', port: 53, protocol: 'UDP', ...(nodePort === undefined ? {} : { nodePort }) },
      { name: 'metrics', port: 9153 },
    ];
    const open = made({ type: 'NodePort', ports: dns() });
    const groups = portsWithoutNodePort(open, true);
    expect(groups.map((group) => group.map(({ name }) => name))).to.deep.equal([
      ['tcp', 'udp'],
      ['metrics'],
    ]);
    const given = made({ type: 'NodePort', ports: dns(30_053) });
    expect(given.spec.ports?.map(({ nodePort }) => nodePort)).to.deep.equal([
      30_053,
      30_053,
      undefined,
    ]);
  });

  it('needs no node port that it does not want', () => {
    const spec: ServiceSpec = { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false };
    expect(portsWithoutNodePort(made({ ...spec, ports: ports() }), true)).to.deep.equal([]);
    expect(portsWithoutNodePort(made({ ports: ports() }), true)).to.deep.equal([]);
  });

  it('may choose addresses and node ports within their ranges only', () => {
    const mismatch = 'the provided network does not match the current range';
    const cases = {
      '10.95.255.255':
        'the provided IP (10.95.255.255) is not in the valid range. The range of valid IPs is 10.96.0.0/16',
      '10.96.0.0': mismatch,
      '10.96.0.1': '',
      '10.96.255.254': '',
      '10.96.255.255': mismatch,
    };
    for (const [address, problem] of Object.entries(cases))
      expect(clusterIpProblem(address, SERVICE_IP_RANGE), address).to.equal(problem);
    expect(nodePortProblem(30_000) + nodePortProblem(32_767)).to.equal('');
    expect(nodePortProblem(32_768)).to.equal(
      'provided port is not in the valid range. The range of valid ports is 30000-32767',
    );
  });

  it('may not have an IPv6 address', () => {
    expect(service.validate(made({ clusterIP: 'fd00::1', ports: ports() }))).to.deep.equal([
      {
        reason: 'FieldValueInvalid',
        field: 'spec.clusterIPs[0]',
        message: 'Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
      },
    ]);
  });
});

describe('the status of a service', () => {
  const old = allocated({ type: 'LoadBalancer', ports: ports() });
  const withIngress = (base: Service, ingress: object): Service => ({
    ...structuredClone(base),
    status: { loadBalancer: { ingress: [ingress] } },
  });

  it('takes addresses of load balancers', () => {
    const check = (ingress: object): string[] =>
      (service.status?.validateUpdate(withIngress(old, ingress), old) ?? []).map(
        ({ field, message }) => `${field.replace('status.loadBalancer.ingress', '')}: ${message}`,
      );
    expect(check({ ip: '192.0.2.1', ipMode: 'VIP' })).to.deep.equal([]);
    expect(check({ hostname: 'lb.example.com' })).to.deep.equal([]);
    expect(check({ ip: '192.0.2.1' })).to.deep.equal([
      '[0].ipMode: Required value: must be specified when `ip` is set',
    ]);
    expect(check({ hostname: 'x', ipMode: 'VIP' })).to.deep.equal([
      '[0].ipMode: Forbidden: may not be specified when `ip` is not set',
    ]);
    expect(check({ ip: '192.0.2.1', ipMode: 'x' })).to.deep.equal([
      '[0].ipMode: Unsupported value: "x": supported values: "Proxy", "VIP"',
    ]);
    expect(check({ hostname: '192.0.2.1' })).to.deep.equal([
      '[0].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address',
    ]);
  });

  it('has none of them for another type', () => {
    const plain = allocated({ ports: ports() });
    const found = service.status?.validateUpdate(withIngress(plain, { ip: '192.0.2.1' }), plain);
    expect(found?.[0]?.message).to.equal(
      "Forbidden: may only be used when `spec.type` is 'LoadBalancer'",
    );
  });

  it('leaves the spec alone', () => {
    const next = withIngress(old, { ip: '192.0.2.1' });
    next.spec = { type: 'ClusterIP' };
    service.setDefaults(next);
    service.status?.prepareUpdate(next, old);
    expect(next.spec).to.equal(old.spec);
  });
});
