import { expect } from 'chai';
import type { Node, PodSpec, Taint, Toleration } from '../../../src/gen/kube-core-v1.js';
import { hostPortsOf, portsClash, type HostPort } from '../../../src/cluster/api/host-ports.js';
import { isTolerated, nodeChoice } from '../../../src/cluster/api/node-choice.js';

const NODE: Node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'a', labels: { disk: 'ssd', rank: '7', word: 'x1' } },
  spec: {},
};

type Requirement = readonly [key: string, operator: string, ...values: string[]];

/** A pod with one term of required node affinity. */
function near(requirements: readonly Requirement[], fields: readonly Requirement[] = []): PodSpec {
  const list = (some: readonly Requirement[]) =>
    some.map(([key, operator, ...values]) => ({ key, operator, values }));
  const term = { matchExpressions: list(requirements), matchFields: list(fields) };
  const required = { nodeSelectorTerms: [term] };
  return {
    containers: [],
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } },
  };
}

describe('choice of nodes by pods', () => {
  it('is none without selector and affinity', () => {
    expect(nodeChoice({ containers: [] })).to.equal(undefined);
  });

  it('takes nodes that have all labels of the selector', () => {
    const choice = (nodeSelector: Record<string, string>) =>
      nodeChoice({ containers: [], nodeSelector })?.(NODE);
    expect(choice({ disk: 'ssd', rank: '7' })).to.equal(true);
    expect(choice({ disk: 'ssd', rank: '8' })).to.equal(false);
    expect(choice({ absent: '' })).to.equal(false);
  });

  const cases: readonly (readonly [name: string, spec: PodSpec, isTaken: boolean])[] = [
    ['In', near([['disk', 'In', 'hdd', 'ssd']]), true],
    ['In, of an absent label', near([['absent', 'In', 'x']]), false],
    ['NotIn', near([['disk', 'NotIn', 'ssd']]), false],
    ['NotIn, of an absent label', near([['absent', 'NotIn', 'x']]), true],
    ['Exists', near([['disk', 'Exists']]), true],
    ['DoesNotExist', near([['disk', 'DoesNotExist']]), false],
    ['Gt', near([['rank', 'Gt', '6']]), true],
    ['Gt, of the same number', near([['rank', 'Gt', '7']]), false],
    ['Lt', near([['rank', 'Lt', '10']]), true],
    ['Lt, of a text', near([['word', 'Lt', '10']]), false],
    ['Gt, against no number', near([['rank', 'Gt', '']]), false],
    ['an unknown operator', near([['disk', 'Like', 'ssd']]), false],
    ['a field', near([], [['metadata.name', 'In', 'a']]), true],
    ['an unknown field', near([], [['metadata.uid', 'In', 'a']]), false],
    ['a term that asks for nothing', near([]), false],
  ];
  for (const [name, spec, isTaken] of cases)
    it(`affinity: ${name}`, () => expect(nodeChoice(spec)?.(NODE)).to.equal(isTaken));
});

describe('tolerations', () => {
  const taint: Taint = { key: 'k', value: 'v', effect: 'NoExecute' };
  const cases: readonly (readonly [toleration: Toleration, isTolerated: boolean])[] = [
    [{ operator: 'Exists' }, true],
    [{ key: 'k', operator: 'Exists' }, true],
    [{ key: 'other', operator: 'Exists' }, false],
    [{ key: 'k', value: 'v' }, true],
    [{ key: 'k', value: 'w' }, false],
    [{ key: 'k', value: 'v', effect: 'NoSchedule' }, false],
    [{ value: 'v' }, false],
  ];
  for (const [toleration, expected] of cases)
    it(JSON.stringify(toleration), () =>
      expect(isTolerated(taint, [toleration])).to.equal(expected),
    );
});

describe('ports of a node', () => {
  it('are those of containers and sidecars, not of init containers that end', () => {
    const port = (hostPort: number) => ({ containerPort: 80, hostPort });
    const spec: PodSpec = {
      containers: [{ name: 'a', ports: [port(1), { containerPort: 81 }] }],
      initContainers: [
        { name: 'b', ports: [port(2)] },
        { name: 'c', restartPolicy: 'Always', ports: [{ ...port(3), hostIP: '10.0.0.1' }] },
      ],
    };
    expect(hostPortsOf(spec)).to.deep.equal([
      { protocol: 'TCP', ip: '0.0.0.0', port: 1 },
      { protocol: 'TCP', ip: '10.0.0.1', port: 3 },
    ]);
  });

  it('clash by number and protocol, on one address or on all', () => {
    const one: HostPort = { protocol: 'TCP', ip: '10.0.0.1', port: 80 };
    expect(portsClash(one, one)).to.equal(true);
    expect(portsClash(one, { ...one, ip: '0.0.0.0' })).to.equal(true);
    expect(portsClash(one, { ...one, ip: '10.0.0.2' })).to.equal(false);
    expect(portsClash(one, { ...one, protocol: 'UDP' })).to.equal(false);
    expect(portsClash(one, { ...one, port: 81 })).to.equal(false);
  });
});
