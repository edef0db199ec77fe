import { expect } from 'chai';
import { hostPortEntries } from '../../../src/cluster/proxy/host-ports.js';
import { serviceEntries, type PortEntry } from '../../../src/cluster/proxy/service-table.js';
import type { Pod, ServiceSpec } from '../../../src/gen/kube-core-v1.js';
import type { EndpointSlice } from '../../../src/gen/kube-discovery-v1.js';
import { endpointOf, serviceOf, sliceOf } from './support/objects.js';

const HTTP = { name: 'http', protocol: 'TCP', port: 80 };

function entries(spec: ServiceSpec, ...slices: readonly EndpointSlice[]): PortEntry[] {
  const service = serviceOf('web', { clusterIP: '10.96.0.7', ports: [HTTP], ...spec });
  return serviceEntries(service, slices, 'node-a');
}

function ips(entry: PortEntry | undefined, which: 'all' | 'local' = 'all'): string[] {
  return (entry?.[which] ?? []).map(({ ip }) => ip);
}

describe('cluster/proxy/service-table', () => {
  it('makes an entry of each port, with the endpoints of that port', () => {
    const ports = [HTTP, { name: 'dns', protocol: 'UDP', port: 53, nodePort: 30_053 }];
    const dns = sliceOf('web', [endpointOf('10.244.1.9')], {
      ports: [{ name: 'dns', protocol: 'UDP', port: 5353 }],
    });
    const http = sliceOf('web', [endpointOf('10.244.1.3'), endpointOf('10.244.1.2')]);
    expect(entries({ ports }, http, dns)).to.deep.equal([
      {
        id: 'default/web/tcp/http',
        protocol: 'tcp',
        clusterIp: '10.96.0.7',
        port: 80,
        nodePort: 0,
        externalIps: [],
        all: [
          { ip: '10.244.1.2', port: 8080 },
          { ip: '10.244.1.3', port: 8080 },
        ],
        local: [
          { ip: '10.244.1.2', port: 8080 },
          { ip: '10.244.1.3', port: 8080 },
        ],
        isInternalLocal: false,
        isExternalLocal: false,
        affinitySeconds: 0,
      },
      {
        id: 'default/web/udp/dns',
        protocol: 'udp',
        clusterIp: '10.96.0.7',
        port: 53,
        nodePort: 30_053,
        externalIps: [],
        all: [{ ip: '10.244.1.9', port: 5353 }],
        local: [{ ip: '10.244.1.9', port: 5353 }],
        isInternalLocal: false,
        isExternalLocal: false,
        affinitySeconds: 0,
      },
    ]);
  });

  it('makes none of services without a cluster IP', () => {
    expect(entries({ clusterIP: 'None' })).to.deep.equal([]);
    expect(entries({ clusterIP: '' })).to.deep.equal([]);
    expect(entries({ type: 'ExternalName', externalName: 'example.com' })).to.deep.equal([]);
  });

  it('leaves out other ports, other address families, and endpoints that are there twice', () => {
    const six = sliceOf('web', [endpointOf('fd00::1')], { addressType: 'IPv6' });
    const other = sliceOf('web', [endpointOf('10.244.1.5')], { ports: [{ name: 'x', port: 1 }] });
    const udp = sliceOf('web', [endpointOf('10.244.1.6')], {
      ports: [{ name: 'http', protocol: 'UDP', port: 8080 }],
    });
    const twice = sliceOf('web', [endpointOf('10.244.1.2')]);
    expect(ips(entries({}, six, other, udp, twice, twice)[0])).to.deep.equal(['10.244.1.2']);
  });

  it('uses ready endpoints, and those that end and still serve when none is ready', () => {
    const ending = { ready: false, serving: true, terminating: true };
    const slice = (...conditions: readonly object[]): EndpointSlice =>
      sliceOf(
        'web',
        conditions.map((one, i) => endpointOf(`10.244.1.${i}`, { conditions: one })),
      );
    expect(ips(entries({}, slice({ ready: true }, ending, {}))[0])).to.deep.equal([
      '10.244.1.0',
      '10.244.1.2',
    ]);
    expect(ips(entries({}, slice({ ready: false }, ending))[0])).to.deep.equal(['10.244.1.1']);
    const ended = { ready: false, serving: false, terminating: true };
    expect(ips(entries({}, slice({ ready: false, serving: true }, ended))[0])).to.deep.equal([]);
  });

  it('knows the endpoints of this node, also while they only end', () => {
    const conditions = { ready: false, serving: true, terminating: true };
    const slice = sliceOf('web', [
      endpointOf('10.244.1.2', { conditions }),
      endpointOf('10.244.2.2', { nodeName: 'node-b' }),
    ]);
    const [entry] = entries(
      { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' },
      slice,
    );
    expect(ips(entry)).to.deep.equal(['10.244.2.2']);
    expect(ips(entry, 'local')).to.deep.equal(['10.244.1.2']);
    expect([entry?.isInternalLocal, entry?.isExternalLocal]).to.deep.equal([true, true]);
  });

  it('takes the time of affinity, or three hours', () => {
    const sessionAffinity = 'ClientIP';
    const config = { clientIP: { timeoutSeconds: 60 } };
    expect(entries({ sessionAffinity })[0]?.affinitySeconds).to.equal(10_800);
    expect(
      entries({ sessionAffinity, sessionAffinityConfig: config })[0]?.affinitySeconds,
    ).to.equal(60);
    expect(entries({ sessionAffinity: 'None' })[0]?.affinitySeconds).to.equal(0);
  });

  describe('host ports', () => {
    const container = {
      name: 'c',
      ports: [
        { containerPort: 80, hostPort: 8080 },
        { containerPort: 53, hostPort: 53, protocol: 'UDP', hostIP: '10.0.0.1' },
        { containerPort: 9 },
      ],
    };
    const podOf = (phase: string, podIP: string, hostNetwork = false): Pod => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'default' },
      spec: { containers: [container], hostNetwork },
      status: { phase, podIP },
    });

    it('are served on all addresses of the node, or on the one that the pod names', () => {
      const found = hostPortEntries(podOf('Running', '10.244.1.2'));
      const short = found.map(({ protocol, nodePort, port, externalIps, all }) => ({
        ...{ protocol, nodePort, port, externalIps, all },
      }));
      expect(short).to.deep.equal([
        {
          protocol: 'tcp',
          nodePort: 8080,
          port: 8080,
          externalIps: [],
          all: [{ ip: '10.244.1.2', port: 80 }],
        },
        {
          protocol: 'udp',
          nodePort: 0,
          port: 53,
          externalIps: ['10.0.0.1'],
          all: [{ ip: '10.244.1.2', port: 53 }],
        },
      ]);
    });

    it('are not served for pods without an address of their own, or that have ended', () => {
      expect(hostPortEntries(podOf('Pending', ''))).to.deep.equal([]);
      expect(hostPortEntries(podOf('Running', '10.0.0.1', true))).to.deep.equal([]);
      expect(hostPortEntries(podOf('Failed', '10.244.1.2'))).to.deep.equal([]);
      expect(hostPortEntries(podOf('Succeeded', '10.244.1.2'))).to.deep.equal([]);
    });
  });
});
