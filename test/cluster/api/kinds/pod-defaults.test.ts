/** Defaults of pods and templates, and the class of service of a pod. */
import { expect } from 'chai';
import type { Pod, PodSpec, ResourceRequirements } from '../../../../src/gen/kube-core-v1.js';
import { deployment } from '../../../../src/cluster/api/kinds/apps/deployment.js';
import { replicaSet } from '../../../../src/cluster/api/kinds/apps/replicaset.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import { qosClassOf } from '../../../../src/cluster/api/kinds/core/qos.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { IMAGE, podWith } from './pods.js';
import { decoded } from './recorded-workloads.js';
import { recordedSteps, targetOf } from './recorded-writes.js';

const KINDS = [pod, deployment, replicaSet] as unknown as readonly Kind[];

describe('defaults of pods', () => {
  it('are the same when they are filled in again', () => {
    const files = ['validation/create.v1.Pod.json', 'defaults/rich.pod-rich.json'];
    const bodies = [...files, 'defaults/apps_v1.Deployment.json'].flatMap(recordedSteps);
    let count = 0;
    for (const { request, response } of bodies) {
      if (typeof request.body !== 'object' || response.status === 400) continue;
      const { resource } = targetOf(request.path);
      const kind = KINDS.find((candidate) => candidate.resource === resource);
      if (kind === undefined) continue;
      const once = decoded(kind, request.body);
      const twice = structuredClone(once);
      kind.setDefaults(twice);
      expect(twice).to.deep.equal(once);
      count++;
    }
    expect(count).to.be.greaterThan(60);
  });

  const policies: readonly (readonly [string, string])[] = [
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['registry.example.com:5000/team/app', 'Always'],
    ['registry.example.com:5000/team/app:1', 'IfNotPresent'],
    ['nginx@sha256:0123', 'IfNotPresent'],
    ['nginx:latest@sha256:0123', 'Always'],
    ['UPPER', 'IfNotPresent'],
  ];
  for (const [image, policy] of policies) {
    it(`${image} is pulled ${policy}`, () => {
      const { spec } = podWith({ containers: [{ name: 'c', image }] });
      expect(spec.containers[0]?.imagePullPolicy).to.equal(policy);
    });
  }

  it('in the network of the node a port is the port of the node; a template stays as written', () => {
    const ports = [{ containerPort: 80, protocol: 'TCP' }];
    const spec = { hostNetwork: true, containers: [{ ...IMAGE, ports }] };
    expect(podWith(spec).spec.containers[0]?.ports?.[0]?.hostPort).to.equal(80);
    const owner = decoded(deployment as unknown as Kind, { spec: { template: { spec } } });
    const { template } = (owner as unknown as { spec: { template: { spec: PodSpec } } }).spec;
    expect(template.spec.containers[0]?.ports?.[0]?.hostPort).to.equal(undefined);
  });

  it('amounts are whole thousandths, rounded up', () => {
    const limits = { cpu: '1500u', memory: '1n', 'example.com/a': '2' };
    const { spec } = podWith({ containers: [{ ...IMAGE, resources: { limits } }] });
    const rounded = { cpu: '2m', memory: '1m', 'example.com/a': '2' };
    expect(spec.containers[0]?.resources).to.deep.equal({ limits: rounded, requests: rounded });
  });

  it('both fields name the service account', () => {
    expect(podWith({ serviceAccount: 'a' }).spec.serviceAccountName).to.equal('a');
    expect(podWith({ serviceAccountName: 'a' }).spec.serviceAccount).to.equal('a');
  });

  it('keeps a zero that was given where it means something', () => {
    const { spec } = podWith({ terminationGracePeriodSeconds: 0, enableServiceLinks: false });
    expect(spec.terminationGracePeriodSeconds).to.equal(0);
    expect(spec.enableServiceLinks).to.equal(false);
  });

  it('what the pod as a whole asks for follows from its containers', () => {
    const { spec } = podWith({
      resources: { limits: { memory: '1Gi' } },
      initContainers: [
        { name: 's', image: 'x', restartPolicy: 'Always', resources: { requests: { cpu: '1' } } },
        { name: 'i', image: 'x', resources: { requests: { cpu: '3' } } },
      ],
      containers: [{ ...IMAGE, resources: { requests: { cpu: '1500m' } } }],
    });
    // Sidecar and init container run at the same time and need the most.
    expect(spec.resources).to.deep.equal({
      limits: { memory: '1Gi' },
      requests: { cpu: '4', memory: '1Gi' },
    });
  });
});

describe('class of service', () => {
  const all = { cpu: '1', memory: '1Gi' };
  const cases: readonly (readonly [string, readonly ResourceRequirements[], string])[] = [
    ['nothing asked for', [{}], 'BestEffort'],
    ['zero asked for', [{ requests: { cpu: '0' } }], 'BestEffort'],
    ['only other resources', [{ limits: { 'example.com/gpu': '1' } }], 'BestEffort'],
    ['limits that are asked for', [{ limits: all, requests: all }], 'Guaranteed'],
    [
      'written differently',
      [{ limits: all, requests: { cpu: '1000m', memory: '1024Mi' } }],
      'Guaranteed',
    ],
    ['less asked for', [{ limits: all, requests: { ...all, cpu: '500m' } }], 'Burstable'],
    ['one resource only', [{ limits: { cpu: '1' }, requests: { cpu: '1' } }], 'Burstable'],
    ['asked for without limits', [{ requests: all }], 'Burstable'],
    ['one container without', [{ limits: all, requests: all }, {}], 'Burstable'],
  ];
  for (const [what, resources, expected] of cases) {
    it(`${what}: ${expected}`, () => {
      const containers = resources.map((asked, index) => ({
        name: `c${index}`,
        image: 'x',
        resources: asked,
      }));
      expect(qosClassOf({ containers })).to.equal(expected);
    });
  }

  it('init containers count; the pod as a whole decides before its containers', () => {
    const exact = { limits: all, requests: all };
    const spec: PodSpec = {
      containers: [{ ...IMAGE, resources: exact }],
      initContainers: [{ name: 'i', image: 'x' }],
    };
    expect(qosClassOf(spec)).to.equal('Burstable');
    expect(qosClassOf({ ...spec, resources: exact })).to.equal('Guaranteed');
  });

  it('is told in the status of a new pod', () => {
    const object: Pod = podWith({ containers: [{ ...IMAGE, resources: { limits: all } }] });
    expect(object.status?.qosClass).to.equal('Guaranteed');
  });
});
