/** Decisions of the server about pods, and its warnings. */
import { expect } from 'chai';
import type { PodSpec } from '../../../../src/gen/kube-core-v1.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import { IMAGE, POD_KIND, podWith } from './pods.js';
import { created } from './recorded-workloads.js';

describe('strategy of pods', () => {
  it('seconds of grace: none without a node or after the end', () => {
    const grace = (spec: Partial<PodSpec>, phase = 'Running'): number => {
      const object = podWith({ terminationGracePeriodSeconds: 7, ...spec });
      object.status = { phase };
      return pod.strategy.graceSeconds?.(object) ?? -1;
    };
    expect(grace({})).to.equal(0);
    expect(grace({ nodeName: 'n' })).to.equal(7);
    expect(grace({ nodeName: 'n' }, 'Failed')).to.equal(0);
    expect(grace({ nodeName: 'n' }, 'Succeeded')).to.equal(0);
  });

  it('resets the status; a gated pod says so', () => {
    const { status } = podWith({ schedulingGates: [{ name: 'a' }] });
    expect(status).to.deep.equal({
      phase: 'Pending',
      qosClass: 'BestEffort',
      conditions: [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'SchedulingGated',
          message: 'Scheduling is blocked due to non-empty scheduling gates',
        },
      ],
    });
  });

  it('a PUT changes no status', () => {
    const old = podWith({});
    const next = podWith({});
    next.status = { phase: 'Failed' };
    pod.strategy.prepareUpdate(next, old);
    expect(next.status).to.equal(old.status);
  });

  it('turns keys of labels into requirements', () => {
    const { spec } = podWith(
      {
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              {
                topologyKey: 'zone',
                labelSelector: {},
                matchLabelKeys: ['a', 'none'],
                mismatchLabelKeys: ['b'],
              },
            ],
          },
        },
      },
      { labels: { a: '1', b: '2' } },
    );
    const [term] =
      spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    expect(term?.labelSelector?.matchExpressions).to.deep.equal([
      { key: 'a', operator: 'In', values: ['1'] },
      { key: 'b', operator: 'NotIn', values: ['2'] },
    ]);
  });

  it('takes over a profile that an annotation names', () => {
    const key = 'container.apparmor.security.beta.kubernetes.io/c';
    const { spec } = podWith({}, { annotations: { [key]: 'localhost/mine' } });
    expect(spec.containers[0]?.securityContext?.appArmorProfile).to.deep.equal({
      type: 'Localhost',
      localhostProfile: 'mine',
    });
  });

  it('drops fields of features that are off', () => {
    const { spec } = podWith({
      schedulingGroup: { podGroupName: 'g' },
      containers: [{ ...IMAGE, lifecycle: { stopSignal: 'SIGINT' } }],
    });
    expect(spec.schedulingGroup).to.equal(undefined);
    expect(spec.containers[0]?.lifecycle).to.deep.equal({});
  });

  it('selectable fields', () => {
    const object = podWith({ nodeName: 'n', hostNetwork: true });
    object.status = { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }] };
    const values = Object.entries(pod.selectableFields).map(([field, read]) => [
      field,
      read(object),
    ]);
    expect(Object.fromEntries(values)).to.deep.equal({
      'spec.nodeName': 'n',
      'spec.restartPolicy': 'Always',
      'spec.schedulerName': 'default-scheduler',
      'spec.serviceAccountName': '',
      'spec.hostNetwork': 'true',
      'status.phase': 'Running',
      'status.podIP': '10.0.0.1',
      'status.nominatedNodeName': '',
    });
  });
});

describe('warnings about pods', () => {
  const warningsOf = (spec: object, metadata: object = {}): readonly string[] =>
    created(
      POD_KIND,
      { metadata: { name: 'p', ...metadata }, spec: { containers: [IMAGE], ...spec } },
      'default',
    ).warnings;

  it('none for a plain pod', () => expect(warningsOf({})).to.deep.equal([]));

  it('of names, labels, ports, variables and amounts', () => {
    const found = warningsOf(
      {
        nodeSelector: { 'beta.kubernetes.io/os': 'linux' },
        hostAliases: [{ ip: '10.0.0.1' }, { ip: '10.0.0.1' }],
        containers: [
          {
            ...IMAGE,
            env: [
              { name: 'A', value: 'x' },
              { name: 'A', value: '$(A):y' },
              { name: 'A', value: 'z' },
            ],
            ports: [{ containerPort: 80, name: 'web' }],
            resources: { limits: { memory: '100m' } },
          },
          { name: 'd', image: 'x', ports: [{ containerPort: 80, name: 'web' }] },
        ],
      },
      { name: 'a.b' },
    );
    expect(found).to.deep.equal([
      "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
      'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
      'spec.hostAliases[1].ip: duplicate ip "10.0.0.1"',
      'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
      'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
      'spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply',
      'spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]',
      'spec.containers[1].ports[0]: duplicate port name "web" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]',
    ]);
  });

  it('of volumes whose files hide each other', () => {
    const found = warningsOf({
      volumes: [
        { name: 'a', gitRepo: { repository: 'x' } },
        {
          name: 'b',
          configMap: {
            name: 'm',
            items: [
              { key: 'k', path: 'x' },
              { key: 'l', path: 'x/y' },
            ],
          },
        },
        {
          name: 'c',
          projected: {
            sources: [
              { serviceAccountToken: { path: 't' } },
              { secret: { name: 's', items: [{ key: 'k', path: 't/u' }] } },
              {},
            ],
          },
        },
      ],
    });
    expect(found).to.deep.equal([
      'spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+',
      'volume "b" (ConfigMap "m"): overlapping paths: "x/y" with "x"',
      'volume "c" (Projected) has no sources provided',
      'volume "c" (Projected): overlapping paths: "t/u" (Secret "s") with "t" (ServiceAccountToken)',
    ]);
  });
});
