/** Rules of new pods that no recording shows. */
import { expect } from 'chai';
import type { PodSpec } from '../../../../src/gen/kube-core-v1.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import { IMAGE, podWith, textsOf } from './pods.js';

/** Findings at creation, as texts. */
function refusals(spec: Partial<PodSpec>, metadata: object = {}): string[] {
  return textsOf(pod.validate(podWith(spec, metadata)));
}

describe('validation of a new pod', () => {
  const cases: readonly (readonly [string, Partial<PodSpec>, readonly string[]])[] = [
    ['a plain pod', {}, []],
    [
      'restart rules without a policy',
      {
        containers: [
          {
            ...IMAGE,
            restartPolicyRules: [{ action: 'Stop', exitCodes: { operator: 'Is', values: [1] } }],
          },
        ],
      },
      [
        'spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used',
        'spec.containers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"',
        'spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"',
      ],
    ],
    [
      'a sidecar may have probes, its startup probe succeeds once',
      {
        initContainers: [
          {
            name: 'i',
            image: 'x',
            restartPolicy: 'Always',
            startupProbe: { exec: { command: ['x'] }, successThreshold: 2 },
          },
        ],
      },
      ['spec.initContainers[0].startupProbe.successThreshold: Invalid value: 2: must be 1'],
    ],
    [
      'a handler sleeps no longer than the pod has to end',
      { containers: [{ ...IMAGE, lifecycle: { preStop: { sleep: { seconds: 31 } } } }] },
      [
        'spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)',
      ],
    ],
    [
      'mounts and devices of one volume',
      {
        volumes: [{ name: 'v', emptyDir: {} }],
        containers: [
          {
            ...IMAGE,
            volumeMounts: [
              {
                name: 'v',
                mountPath: '/a',
                subPath: 'x',
                subPathExpr: '/y',
                mountPropagation: 'Bidirectional',
                recursiveReadOnly: 'Enabled',
              },
            ],
            volumeDevices: [{ name: 'v', devicePath: '/a' }],
          },
        ],
      },
      [
        'spec.containers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices',
        'spec.containers[0].volumeMounts[0].mountPath: Invalid value: "/a": must not already exist as a path in volumeDevices',
        'spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: "/y": subPathExpr and subPath are mutually exclusive',
        'spec.containers[0].volumeMounts.subPathExpr: Invalid value: "/y": must be a relative path',
        'spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers',
        'spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true',
        'spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified',
        'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
        'spec.containers[0].volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts',
        'spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/a": must not already exist as a path in volumeMounts',
      ],
    ],
    [
      'files of a projected volume come from one source each',
      {
        serviceAccountName: 'default',
        volumes: [
          {
            name: 'v',
            projected: {
              sources: [
                { configMap: { name: 'a', items: [{ key: 'k', path: 'f' }] } },
                { secret: { name: 'b', items: [{ key: 'k', path: 'f' }] } },
                { serviceAccountToken: { path: '..x', expirationSeconds: 10 } },
              ],
            },
          },
        ],
      },
      [
        'spec.volumes[0].projected: Invalid value: "b": conflicting duplicate paths',
        'spec.volumes[0].projected.sources[2].serviceAccountToken.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes',
        'spec.volumes[0].projected.path: Invalid value: "..x": must not start with \'..\'',
      ],
    ],
    [
      'the claim of an ephemeral volume',
      {
        volumes: [
          {
            name: 'v',
            ephemeral: {
              volumeClaimTemplate: {
                metadata: { name: 'x' },
                spec: { accessModes: ['ReadWriteOncePod', 'ReadWriteMany'] },
              },
            },
          },
        ],
      },
      [
        'spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set',
        'spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
        'spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value',
      ],
    ],
    [
      'security of pod and container',
      {
        hostNetwork: true,
        securityContext: {
          sysctls: [{ name: 'net.ipv4.ip_forward', value: '1' }],
          seccompProfile: { type: 'Localhost' },
          appArmorProfile: { type: 'Special' },
          supplementalGroupsPolicy: 'Some',
        },
        containers: [{ ...IMAGE, securityContext: { procMount: 'Unmasked', runAsGroup: -5 } }],
      },
      [
        'spec.containers[0].securityContext.runAsGroup: Invalid value: -5: must be between 0 and 2147483647, inclusive',
        'spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
        'spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.ip_forward": may not be specified when \'hostNetwork\' is true',
        'spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost',
        'spec.securityContext.appArmorProfile.type: Unsupported value: "Special": supported values: "Localhost", "RuntimeDefault", "Unconfined"',
        'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "Some": supported values: "Merge", "Strict"',
      ],
    ],
    [
      'a pod with users of its own shares no namespace with the node',
      { hostUsers: false, hostPID: true },
      ['spec.HostPID: Forbidden: when `hostUsers` is false'],
    ],
    [
      'fields of another operating system',
      { os: { name: 'windows' }, securityContext: { fsGroup: 1 }, hostIPC: true },
      [
        'spec.hostIPC: Forbidden: cannot be set for a windows pod',
        'spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod',
      ],
    ],
    [
      'what the pod as a whole asks for covers its containers',
      {
        resources: { limits: { cpu: '1' }, requests: { cpu: '100m' } },
        containers: [{ ...IMAGE, resources: { requests: { cpu: '200m' }, limits: { cpu: '2' } } }],
      },
      [
        'spec.resources.requests[cpu]: Invalid value: "100m": must be greater than or equal to aggregate container requests of 200m',
        'spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1',
      ],
    ],
    [
      'huge pages come in their own size',
      { containers: [{ ...IMAGE, resources: { limits: { cpu: '1', 'hugepages-2Mi': '3Mi' } } }] },
      [
        'spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
        'spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
      ],
    ],
    [
      'huge pages of no size',
      { overhead: { cpu: '1', 'hugepages-big': '1' } },
      [
        'spec.overhead.limits[hugepages-big]: Invalid value: "1": 1 is not positive integer multiple of hugepages-big',
      ],
    ],
    [
      'a variable from a file needs an emptyDir',
      {
        volumes: [{ name: 'v', hostPath: { path: '/x' } }],
        containers: [
          {
            ...IMAGE,
            env: [
              {
                name: 'A',
                valueFrom: { fileKeyRef: { volumeName: 'v', path: '../f', key: 'K' } },
              },
            ],
          },
        ],
      },
      [
        'spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: "../f": must not contain \'..\'',
        'spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "v": referenced volume must be of type emptyDir',
      ],
    ],
    [
      'fields that a variable shows',
      {
        containers: [
          {
            ...IMAGE,
            env: [
              { name: 'A', valueFrom: { fieldRef: { fieldPath: "metadata.labels['a b']" } } },
              { name: 'B', valueFrom: { fieldRef: { fieldPath: 'metadata.labels' } } },
              { name: 'C', valueFrom: { resourceFieldRef: { resource: 'limits.gpu' } } },
              {
                name: 'D',
                valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '2' } },
              },
              { name: 'E', valueFrom: { fieldRef: { fieldPath: 'spec.host' } } },
            ],
          },
        ],
      },
      [
        "spec.containers[0].env[0].valueFrom.fieldRef: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        'spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
        'spec.containers[0].env[2].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"',
        'spec.containers[0].env[3].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported with the cpu resource',
      ],
    ],
    [
      'a gated pod has no node yet',
      { nodeName: 'n', schedulingGates: [{ name: 'a' }, { name: 'a' }] },
      [
        'spec.schedulingGates[1]: Duplicate value: "a"',
        'spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared',
      ],
    ],
    [
      'spread twice by the same key',
      {
        topologySpreadConstraints: [1, 2].map(() => ({
          maxSkew: 1,
          topologyKey: 'zone',
          whenUnsatisfiable: 'DoNotSchedule',
          matchLabelKeys: ['a'],
        })),
      },
      [
        'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, DoNotSchedule}"',
        'spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set',
        'spec.topologySpreadConstraints[1].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set',
      ],
    ],
    [
      'claims of devices',
      {
        resourceClaims: [{ name: 'a', resourceClaimName: 'x', resourceClaimTemplateName: 'y' }],
        containers: [{ ...IMAGE, resources: { claims: [{ name: 'a' }, { name: 'b' }] } }],
      },
      [
        'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":"x","ResourceClaimTemplateName":"y"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified',
        'spec.containers[0].resources.claims[1]: Not found: "b": must be one of the names in pod.spec.resourceClaims: a',
      ],
    ],
    [
      'volumes of old drivers',
      {
        volumes: [
          { name: 'a', gcePersistentDisk: { pdName: '', partition: 300 } },
          { name: 'b', iscsi: { targetPortal: 'x', iqn: 'bad', lun: 0 } },
          { name: 'c', azureDisk: { diskName: 'd', diskURI: 'http://x', kind: 'Managed' } },
        ],
      },
      [
        'spec.volumes[0].persistentDisk.pdName: Required value',
        'spec.volumes[0].persistentDisk.partition: Invalid value: 300: must be between 0 and 255, inclusive',
        'spec.volumes[1].iscsi.iqn: Invalid value: "bad": must be valid format starting with iqn, eui, or naa',
        'spec.volumes[2].azureDisk.diskURI: Unsupported value: "http://x": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"',
      ],
    ],
  ];
  for (const [what, spec, expected] of cases) {
    it(what, () => expect(refusals(spec)).to.deep.equal(expected));
  }

  it('annotations that mean something', () => {
    const found = refusals(
      {},
      {
        annotations: {
          'kubernetes.io/config.mirror': 'x',
          'controller.kubernetes.io/pod-deletion-cost': '+1',
          'seccomp.security.alpha.kubernetes.io/pod': 'odd',
          'container.apparmor.security.beta.kubernetes.io/other': 'odd',
        },
      },
    );
    expect(found).to.deep.equal([
      'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set',
      'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer',
      'metadata.annotations.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "odd": must be a valid seccomp profile',
      'metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "other": container not found',
      'metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "odd": invalid AppArmor profile name: "odd"',
    ]);
  });
});
