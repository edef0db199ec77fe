/** Changes of pods and of their status that no recording shows. */
import { expect } from 'chai';
import type { Pod, PodSpec, PodStatus } from '../../../../src/gen/kube-core-v1.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import { IMAGE, podWith, textsOf } from './pods.js';

function updateRefusals(next: Pod, old: Pod): string[] {
  return textsOf([...pod.validate(next, old), ...pod.validateUpdate(next, old)]);
}

/** Findings when the specification of a pod changes from one to another. */
function changeRefusals(old: Partial<PodSpec>, next: Partial<PodSpec>): string[] {
  return updateRefusals(podWith(next), podWith(old));
}

describe('what may change in a pod', () => {
  const frozen =
    'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n';

  it('image, deadline, more tolerations', () => {
    const changes: Partial<PodSpec> = {
      containers: [{ name: 'c', image: 'nginx:2', imagePullPolicy: 'Always' }],
      activeDeadlineSeconds: 5,
      tolerations: [{ key: 'a', operator: 'Exists' }],
    };
    expect(changeRefusals({}, changes)).to.deep.equal([]);
  });

  it('nothing else, and the answer says what differs', () => {
    expect(changeRefusals({}, { hostname: 'h' })).to.deep.equal([`${frozen}+hostname: "h"`]);
  });

  it('no container more', () => {
    const containers = [IMAGE, { name: 'd', image: 'x' }];
    expect(changeRefusals({}, { containers })).to.deep.equal([
      'spec.containers: Forbidden: pod updates may not add or remove containers',
    ]);
  });

  it('a deadline comes nearer only, and does not go away', () => {
    const at = 'spec.activeDeadlineSeconds: Invalid value: ';
    expect(
      changeRefusals({ activeDeadlineSeconds: 5 }, { activeDeadlineSeconds: 6 }),
    ).to.deep.equal([`${at}6: must be less than or equal to previous value`]);
    expect(changeRefusals({}, { activeDeadlineSeconds: 5 })).to.deep.equal([]);
    expect(changeRefusals({ activeDeadlineSeconds: 5 }, {})).to.deep.equal([
      `${at}null: must not update from a positive integer to nil value`,
    ]);
  });

  it('a toleration stays, but for its time', () => {
    const toleration = { key: 'a', operator: 'Exists', effect: 'NoExecute' };
    const longer = [{ ...toleration, tolerationSeconds: 9 }];
    expect(changeRefusals({ tolerations: [toleration] }, { tolerations: longer })).to.deep.equal(
      [],
    );
    expect(changeRefusals({ tolerations: [toleration] }, { tolerations: [] })).to.deep.equal([
      'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds',
    ]);
  });

  it('gates go, none comes', () => {
    const gates = [{ name: 'a' }, { name: 'b' }];
    expect(changeRefusals({ schedulingGates: gates }, { schedulingGates: [] })).to.deep.equal([]);
    expect(
      changeRefusals({ schedulingGates: [{ name: 'a' }] }, { schedulingGates: gates }),
    ).to.deep.equal([
      "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'",
    ]);
  });

  it('a gated pod may still be narrowed to fewer nodes', () => {
    const gated = { schedulingGates: [{ name: 'a' }] };
    const old = { ...gated, nodeSelector: { a: 'b' } };
    expect(changeRefusals(old, { ...gated, nodeSelector: { a: 'b', c: 'd' } })).to.deep.equal([]);
    expect(changeRefusals(old, { ...gated, nodeSelector: { c: 'd' } })).to.deep.equal([
      'spec.nodeSelector: Invalid value: {"c":"d"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)',
    ]);
    expect(changeRefusals({}, { nodeSelector: { a: 'b' } })).to.deep.equal([
      `${frozen}+nodeSelector: {"a":"b"}`,
    ]);
  });

  it('terms for nodes of a gated pod may grow, and none comes or goes', () => {
    const term = (...keys: string[]) => ({
      matchExpressions: keys.map((key) => ({ key, operator: 'Exists' })),
    });
    const withTerms = (...nodeSelectorTerms: object[]): Partial<PodSpec> => ({
      schedulingGates: [{ name: 'a' }],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms },
        },
      },
    });
    const at =
      'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';
    const gated = { schedulingGates: [{ name: 'a' }] };
    expect(changeRefusals(withTerms(term('a')), withTerms(term('a', 'b')))).to.deep.equal([]);
    expect(changeRefusals(gated, withTerms(term('a'), term('b')))).to.deep.equal([]);
    expect(changeRefusals(withTerms(term('a')), withTerms(term('b')))).to.deep.equal([
      `${at}[0]: Invalid value: {"matchExpressions":[{"key":"b","operator":"Exists"}]}: only additions are allowed (no mutations or deletions)`,
    ]);
    expect(changeRefusals(withTerms(term('a')), gated)).to.deep.equal([
      `${at}: Invalid value: []: no additions/deletions to non-empty NodeSelectorTerms list are allowed`,
    ]);
  });

  it('a mirror pod stays one', () => {
    const mirror = podWith(
      { nodeName: 'n' },
      { annotations: { 'kubernetes.io/config.mirror': 'x' } },
    );
    expect(updateRefusals(podWith({ nodeName: 'n' }), mirror)).to.deep.equal([
      'metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation',
    ]);
  });

  it('containers added later do not count as set at creation', () => {
    const old = podWith({});
    const next = podWith({});
    const added = { ephemeralContainers: [{ name: 'e', image: 'x' }] };
    Object.assign(old.spec, structuredClone(added));
    Object.assign(next.spec, structuredClone(added));
    pod.setDefaults(old);
    pod.setDefaults(next);
    expect(updateRefusals(next, old)).to.deep.equal([]);
  });
});

describe('status of a pod', () => {
  function changed(
    status: PodStatus,
    spec: Partial<PodSpec> = {},
    before: PodStatus = {},
  ): string[] {
    const old = podWith(spec);
    Object.assign(old.status ?? {}, before);
    const next = podWith(spec);
    next.status = status;
    pod.status?.prepareUpdate(next, old);
    return textsOf(pod.status?.validateUpdate(next, old) ?? []);
  }

  it('keeps the class of service when it is left out, and refuses another', () => {
    expect(changed({ phase: 'Running' })).to.deep.equal([]);
    expect(changed({ qosClass: 'Guaranteed' })).to.deep.equal([
      'status.qosClass: Invalid value: "Guaranteed": field is immutable',
    ]);
  });

  const ended = { name: 'c', state: { terminated: { exitCode: 0 } } };
  const running = { name: 'c', state: { running: {} } };

  it('refuses that a container comes back which is not to start again', () => {
    const before = { containerStatuses: [ended] } as PodStatus;
    const after = { containerStatuses: [running] } as PodStatus;
    expect(changed(after, { restartPolicy: 'Always' }, before)).to.deep.equal([]);
    expect(changed(after, { restartPolicy: 'OnFailure' }, before)).to.deep.equal([
      'status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state',
    ]);
  });

  it('lets a rule of the container start it again', () => {
    const rules = [{ action: 'Restart', exitCodes: { operator: 'In', values: [0] } }];
    const containers = [{ ...IMAGE, restartPolicy: 'Never', restartPolicyRules: rules }];
    const before = { containerStatuses: [ended] } as PodStatus;
    const after = { containerStatuses: [running] } as PodStatus;
    expect(changed(after, { restartPolicy: 'Never', containers }, before)).to.deep.equal([]);
  });

  it('checks addresses, conditions and nomination', () => {
    expect(
      changed(
        {
          hostIP: '10.0.0.1',
          hostIPs: [{ ip: '10.0.0.2' }],
          podIPs: [{ ip: '10.0.0.3' }, { ip: '10.0.0.04' }],
          conditions: [{ type: 'a b', status: 'True' }],
          nominatedNodeName: 'other',
        },
        { nodeName: 'n' },
      ),
    ).to.deep.equal([
      "status.conditions[0].Type: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
      'status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node',
      'status.podIPs[1]: Invalid value: "10.0.0.04": must not have leading 0s',
      'status.podIPs: Invalid value: [{"ip":"10.0.0.3"},{"ip":"10.0.0.04"}]: may specify no more than one IP for each IP family',
      'status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`',
    ]);
  });

  it('changes neither specification nor owners', () => {
    const old = podWith({});
    const next = podWith({ hostname: 'other' }, { ownerReferences: [{ name: 'x' }] });
    pod.status?.prepareUpdate(next, old);
    expect(next.spec).to.deep.equal(old.spec);
    expect(next.metadata.ownerReferences).to.equal(undefined);
  });
});
