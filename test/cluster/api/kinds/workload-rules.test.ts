/** Rules of Deployments and ReplicaSets beyond the recorded ones, and the registry of kinds. */
import { expect } from 'chai';
import type { Deployment, ReplicaSet } from '../../../../src/gen/kube-apps-v1.js';
import { deployment } from '../../../../src/cluster/api/kinds/apps/deployment.js';
import { replicaSet } from '../../../../src/cluster/api/kinds/apps/replicaset.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { findKind, findResource, KINDS } from '../../../../src/cluster/api/kinds/registry.js';
import type { JsonObject } from '../../../../src/cluster/api/object.js';
import { IMAGE, textsOf } from './pods.js';
import { created, decoded } from './recorded-workloads.js';
import { recordedSteps } from './recorded-writes.js';

const SPEC = {
  selector: { matchLabels: { app: 'a' } },
  template: { metadata: { labels: { app: 'a' } }, spec: { containers: [IMAGE] } },
};

function deploymentWith(spec: object, metadata: object = {}): Deployment {
  const body = { metadata: { name: 'd', ...metadata }, spec: { ...SPEC, ...spec } };
  return decoded(deployment as unknown as Kind, body) as unknown as Deployment;
}

function refusals(spec: object): string[] {
  return textsOf(deployment.validate(deploymentWith(spec)));
}

describe('rules of Deployments', () => {
  const at = 'spec.strategy.rollingUpdate';
  const cases: readonly (readonly [string, object, readonly string[]])[] = [
    ['plain', {}, []],
    ['all pods at once', { strategy: { rollingUpdate: { maxUnavailable: '100%' } } }, []],
    [
      'numbers below zero',
      { replicas: -1, minReadySeconds: -1, revisionHistoryLimit: -1, progressDeadlineSeconds: -2 },
      [
        'spec.replicas: Invalid value: -1: must be greater than or equal to 0',
        'spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0',
        'spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0',
        'spec.progressDeadlineSeconds: Invalid value: -2: must be greater than or equal to 0',
        'spec.progressDeadlineSeconds: Invalid value: -2: must be greater than minReadySeconds',
      ],
    ],
    [
      'a strategy that nobody knows',
      { strategy: { type: 'Fast' } },
      [
        'spec.strategy: Unsupported value: {"Type":"Fast","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"',
      ],
    ],
    [
      'a rollout that cannot move',
      { strategy: { rollingUpdate: { maxUnavailable: '0%', maxSurge: 0 } } },
      [`${at}.maxUnavailable: Invalid value: "0%": may not be 0 when \`maxSurge\` is 0`],
    ],
    [
      'parts that are none',
      { strategy: { rollingUpdate: { maxUnavailable: '101%', maxSurge: 'many' } } },
      [
        `${at}.maxSurge: Invalid value: "many": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`,
        `${at}.maxUnavailable: Invalid value: "101%": must not be greater than 100%`,
      ],
    ],
    [
      'an empty selector',
      { selector: {} },
      ['spec.selector: Invalid value: {}: empty selector is invalid for deployment'],
    ],
    [
      'a selector that cannot be evaluated',
      { selector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
      [
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"In"}]}: invalid label selector',
      ],
    ],
    [
      'a selector for labels that cannot be',
      { selector: { matchLabels: { app: 'a b' } } },
      [
        "spec.selector.matchLabels: Invalid value: \"a b\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        'spec.selector: Invalid value: {"matchLabels":{"app":"a b"}}: invalid label selector',
      ],
    ],
    [
      'pods that end',
      {
        template: {
          metadata: { labels: { app: 'a' } },
          spec: { containers: [IMAGE], restartPolicy: 'Never', activeDeadlineSeconds: 1 },
        },
      },
      [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported',
      ],
    ],
    [
      'containers added later',
      {
        template: {
          metadata: { labels: { app: 'a' } },
          spec: { containers: [IMAGE], ephemeralContainers: [{ name: 'e', image: 'x' }] },
        },
      },
      [
        'spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template',
      ],
    ],
  ];
  for (const [what, spec, expected] of cases) {
    it(what, () => expect(refusals(spec)).to.deep.equal(expected));
  }

  it('counts a change of the annotations as a new generation', () => {
    const { generationOf } = deployment.strategy;
    const plain = generationOf?.(deploymentWith({}));
    expect(generationOf?.(deploymentWith({}, { labels: { a: 'b' } }))).to.deep.equal(plain);
    expect(generationOf?.(deploymentWith({}, { annotations: { a: 'b' } }))).to.not.deep.equal(
      plain,
    );
  });

  it('warns of the name and of the template; of a change only if there is one', () => {
    const template = {
      ...SPEC.template,
      spec: { ...SPEC.template.spec, imagePullSecrets: [{ name: 'a' }, { name: 'a' }] },
    };
    const body = { metadata: { name: 'a.b' }, spec: { ...SPEC, template } };
    const duplicate = 'spec.template.spec.imagePullSecrets[1].name: duplicate name "a"';
    expect(created(deployment as unknown as Kind, body, 'default').warnings).to.deep.equal([
      'metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]',
      duplicate,
    ]);
    const old = deploymentWith({ template }, { generation: 1 });
    const next = deploymentWith({ template }, { generation: 2 });
    expect(deployment.strategy.warnings?.(old, old)).to.deep.equal([]);
    expect(deployment.strategy.warnings?.(next, old)).to.deep.equal([duplicate]);
  });

  it('a write of the status changes neither specification nor labels', () => {
    const old = deploymentWith({}, { labels: { a: 'b' } });
    const next = deploymentWith({ replicas: 5 }, { labels: { c: 'd' } });
    deployment.status?.prepareUpdate(next, old);
    expect([next.spec, next.metadata.labels]).to.deep.equal([old.spec, { a: 'b' }]);
  });

  it('refuses a status as the recorded server does', () => {
    const steps = recordedSteps('subresources/status.json');
    const refused = steps.filter(({ response }) => response.status === 422);
    expect(refused).to.have.lengthOf(2);
    for (const { request, response } of refused) {
      const old = deploymentWith({});
      const next = deploymentWith({});
      const { status } = request.body as unknown as Deployment;
      old.status = { replicas: 1 };
      next.status = { ...old.status, ...status };
      const causes = (response.body['details'] as { causes: { field: string; message: string }[] })
        .causes;
      expect(textsOf(deployment.status?.validateUpdate(next, old) ?? [])).to.deep.equal(
        causes.map(({ field, message }) => `${field}: ${message}`),
      );
    }
  });

  it('never counts collisions down', () => {
    const old = deploymentWith({});
    const next = deploymentWith({});
    old.status = { collisionCount: 2 };
    next.status = {};
    expect(textsOf(deployment.status?.validateUpdate(next, old) ?? [])).to.deep.equal([
      'status.collisionCount: Invalid value: 0: cannot be decremented',
    ]);
  });
});

describe('the selector of a workload in a table', () => {
  const object = (selector: object): never =>
    ({ metadata: {}, spec: { selector, template: {} } }) as never;

  it('is told as text, or that it is wrong', () => {
    const selector = {
      matchLabels: { b: '1' },
      matchExpressions: [{ key: 'a', operator: 'In', values: ['y', 'x'] }],
    };
    const wrong = { matchExpressions: [{ key: 'a', operator: 'Odd' }] };
    const last = (kind: Kind, of: object): unknown => kind.cells(object(of), 0).at(-1);
    const kinds = [deployment, replicaSet] as unknown as Kind[];
    expect(kinds.map((kind) => last(kind, selector))).to.deep.equal([
      'a in (x,y),b=1',
      'a in (x,y),b=1',
    ]);
    expect(kinds.map((kind) => last(kind, wrong))).to.deep.equal(['<invalid>', '<error>']);
    expect(kinds.map((kind) => last(kind, {}))).to.deep.equal(['', '<none>']);
  });
});

describe('rules of ReplicaSets', () => {
  it('counts of the status fit together', () => {
    const status = { replicas: 1, readyReplicas: 2, fullyLabeledReplicas: 3, availableReplicas: 1 };
    const object = { metadata: {}, spec: {}, status } as unknown as ReplicaSet;
    expect(textsOf(replicaSet.status?.validateUpdate(object, object) ?? [])).to.deep.equal([
      'status.fullyLabeledReplicas: Invalid value: 3: cannot be greater than status.replicas',
      'status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas',
    ]);
  });

  it('keeps the number of pods that was given', () => {
    const replicas = (spec: object): number | undefined =>
      (
        decoded(replicaSet as unknown as Kind, {
          spec: { ...SPEC, ...spec },
        }) as unknown as ReplicaSet
      ).spec.replicas;
    expect([replicas({}), replicas({ replicas: 0 }), replicas({ replicas: 3 })]).to.deep.equal([
      1, 0, 3,
    ]);
  });

  it('warns of a changed template only', () => {
    const hostAliases = [{ ip: '10.0.0.1' }, { ip: '10.0.0.1' }];
    const template = { ...SPEC.template, spec: { ...SPEC.template.spec, hostAliases } };
    const at = (generation: number): ReplicaSet =>
      ({
        metadata: { name: 'r', generation },
        spec: { ...SPEC, template },
      }) as unknown as ReplicaSet;
    const warnings = [1, 2].map((generation) =>
      replicaSet.strategy.warnings?.(at(generation), at(1)),
    );
    expect(warnings).to.deep.equal([
      [],
      ['spec.template.spec.hostAliases[1].ip: duplicate ip "10.0.0.1"'],
    ]);
  });
});

describe('registry of kinds', () => {
  it('finds each kind by its resource and by its name', () => {
    for (const kind of KINDS) {
      expect(findResource(kind.group, kind.version, kind.resource)).to.equal(kind);
      expect(findKind(kind.group, kind.version, kind.kind)).to.equal(kind);
      expect(kind.columns[0]?.name).to.match(/^(Name|Last Seen)$/);
    }
    expect(findResource('', 'v1', 'deployments')).to.equal(undefined);
    expect(findResource('apps', 'v1', 'deployments')?.kind).to.equal('Deployment');
  });

  it('no two share names, short names or keys in the store', () => {
    // The singular may be the plural, as of endpoints.
    const names = KINDS.flatMap(({ resource, singular, shortNames }) => [
      ...new Set([resource, singular, ...shortNames]),
    ]);
    expect(names.filter((name, index) => names.indexOf(name) < index)).to.deep.equal([]);
    const prefixes = KINDS.map(({ storagePrefix }) => storagePrefix);
    expect(new Set(prefixes).size).to.equal(KINDS.length);
  });

  it('says of pods and workloads what discovery recorded', () => {
    const lists = recordedSteps('discovery/groups.json')
      .map(({ response }) => response.body as JsonObject | undefined)
      .filter((body) => body?.['kind'] === 'APIResourceList');
    const recorded = new Map(
      lists.flatMap((list) =>
        (list?.['resources'] as JsonObject[]).map((resource) => [
          `${String(list?.['groupVersion'] as string)}/${resource['name'] as string}`,
          resource,
        ]),
      ),
    );
    for (const name of ['pods', 'deployments', 'replicasets']) {
      const kind = KINDS.find(({ resource }) => resource === name);
      const prefix = kind?.group === '' ? 'v1' : `${kind?.group}/v1`;
      const own = recorded.get(`${prefix}/${name}`);
      expect(own).to.include({ kind: kind?.kind, singularName: kind?.singular });
      expect([own?.['verbs'], own?.['shortNames'], own?.['categories']]).to.deep.equal([
        kind?.verbs,
        kind?.shortNames,
        kind?.categories,
      ]);
      for (const { name: subresource, verbs, kind: subkind } of kind?.subresources ?? []) {
        const found = recorded.get(`${prefix}/${name}/${subresource}`);
        expect([found?.['kind'], found?.['verbs']]).to.deep.equal([subkind, verbs]);
      }
    }
  });
});
