/** The kinds of services, configuration, nodes and events against recordings of the real API server. */
import { expect } from 'chai';
import { lease } from '../../../../src/cluster/api/kinds/coordination/lease.js';
import { configMap } from '../../../../src/cluster/api/kinds/core/configmap.js';
import { endpoints } from '../../../../src/cluster/api/kinds/core/endpoints.js';
import { event } from '../../../../src/cluster/api/kinds/core/event.js';
import { namespace } from '../../../../src/cluster/api/kinds/core/namespace.js';
import { node } from '../../../../src/cluster/api/kinds/core/node.js';
import { secret } from '../../../../src/cluster/api/kinds/core/secret.js';
import { serviceAccount } from '../../../../src/cluster/api/kinds/core/serviceaccount.js';
import { service } from '../../../../src/cluster/api/kinds/core/service.js';
import { endpointSlice } from '../../../../src/cluster/api/kinds/discovery/endpointslice.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../../../../src/cluster/api/object.js';
import {
  comparable,
  create,
  recordedSteps,
  targetOf,
  update,
  type Outcome,
  type RecordedStep,
} from './recorded-writes.js';

const KINDS = [
  configMap,
  endpoints,
  endpointSlice,
  event,
  lease,
  namespace,
  node,
  secret,
  service,
  serviceAccount,
] as unknown as readonly Kind[];

function kindOf(path: string): Kind | undefined {
  const { resource } = targetOf(path);
  return KINDS.find((kind) => kind.resource === resource);
}

/** Recorded requests that the rules of a kind do not answer, with who does. */
const ELSEWHERE: readonly {
  readonly why: string;
  readonly is: (step: RecordedStep) => boolean;
}[] = [
  {
    why: 'refused by the decoder, or by the registry before it asks the kind',
    is: ({ response }) => response.status === 400,
  },
  { why: 'the store has the name already', is: ({ response }) => response.status === 409 },
  {
    why: 'its large body is not recorded; a test of its own makes one',
    is: ({ request }) => typeof request.body === 'string',
  },
  {
    why: 'only the allocator knows what is taken',
    is: ({ response }) =>
      String(response.body['message']).includes('provided IP is already allocated') ||
      String(response.body['message']).includes('provided port is already allocated'),
  },
];

const FILES = [
  ...['ConfigMap', 'Endpoints', 'Event', 'Secret', 'Service', 'ServiceAccount'].map(
    (name) => `validation/create.v1.${name}.json`,
  ),
  'validation/create.coordination.k8s.io_v1.Lease.json',
  ...[
    'ConfigMap',
    'Endpoints',
    'Event',
    'Namespace',
    'Node',
    'Secret',
    'Service',
    'ServiceAccount',
  ].map((name) => `defaults/v1.${name}.json`),
  'defaults/coordination.k8s.io_v1.Lease.json',
  'defaults/discovery.k8s.io_v1.EndpointSlice.json',
  'defaults/rich.endpointslice-ports.json',
  ...['dockercfg', 'immutable'].map((name) => `defaults/rich.secret-${name}.json`),
  ...['externalname', 'headless', 'lb', 'lb-local', 'nodeport'].map(
    (name) => `defaults/rich.svc-${name}.json`,
  ),
  'extra/services-allocation.json',
];

/** Fills in what the allocator chose, so that the rest can be compared. */
function withAllocations(mine: KubeObject, recorded: JsonObject): KubeObject {
  if (mine.kind !== 'Service') return mine;
  const copy = structuredClone(mine) as unknown as { spec: JsonObject };
  const theirs = recorded['spec'] as JsonObject;
  if (copy.spec['type'] !== 'ExternalName') {
    copy.spec['clusterIP'] ??= theirs['clusterIP'];
    copy.spec['clusterIPs'] ??= theirs['clusterIPs'];
  }
  const chosen = (theirs['ports'] ?? []) as JsonObject[];
  if (copy.spec['type'] !== 'ClusterIP' && copy.spec['type'] !== 'ExternalName')
    for (const [index, port] of ((copy.spec['ports'] ?? []) as JsonObject[]).entries())
      port['nodePort'] ??= chosen[index]?.['nodePort'];
  if (copy.spec['externalTrafficPolicy'] === 'Local')
    copy.spec['healthCheckNodePort'] ??= theirs['healthCheckNodePort'];
  return copy as unknown as KubeObject;
}

/** The taint is put on by an admission plugin. */
function withoutAdmission(recorded: JsonObject): JsonObject {
  if (recorded['kind'] !== 'Node') return recorded;
  return { ...recorded, spec: { ...(recorded['spec'] as JsonObject), taints: [] } };
}

function expectOutcome(outcome: Outcome, { response }: RecordedStep): void {
  if (response.status === 422) {
    expect(outcome.status === 'invalid' ? outcome.body : outcome.object).to.deep.equal(
      response.body,
    );
    return;
  }
  expect(outcome.status === 'stored' ? 'stored' : outcome.body).to.equal('stored');
  if (outcome.status !== 'stored') return;
  const mine = withoutAdmission(
    withAllocations(outcome.object, response.body) as unknown as JsonObject,
  );
  expect(comparable(mine)).to.deep.equal(comparable(withoutAdmission(response.body)));
}

describe('recorded creations', () => {
  for (const file of FILES) {
    const steps = recordedSteps(file);
    const posted = steps.filter(
      (step) =>
        step.request.method === 'POST' &&
        kindOf(step.request.path) !== undefined &&
        !ELSEWHERE.some(({ is }) => is(step)),
    );
    for (const [index, step] of posted.entries()) {
      it(`${file} ${index} ${step.note ?? ''}`, () => {
        const { path, body } = step.request;
        const kind = kindOf(path);
        if (kind === undefined || typeof body === 'string') throw new Error('filtered above');
        const name = (step.response.body['metadata'] as JsonObject)['name'];
        const outcome = create(kind, body ?? {}, targetOf(path).namespace, String(name));
        expectOutcome(outcome, step);
      });
    }
  }

  it('answers most of the recorded requests here', () => {
    const all = FILES.flatMap(recordedSteps).filter(({ request }) => request.method === 'POST');
    const left = all.filter((step) => ELSEWHERE.some(({ is }) => is(step)));
    expect(left.length).to.be.lessThan(all.length / 2);
  });
});

/** The update recordings begin with an object that was made before. */
const EXISTING: Readonly<Record<string, JsonObject>> = {
  EndpointSlice: {
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.1.2.3'], conditions: {} }],
    ports: [{ name: '', protocol: 'TCP', port: 80 }],
  },
  Lease: { spec: {} },
  Namespace: { spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } },
  Node: { spec: {} },
  Secret: { type: 'Opaque' },
  Service: {
    spec: {
      ports: [{ protocol: 'TCP', port: 80, targetPort: 80 }],
      clusterIP: '10.96.163.20',
      clusterIPs: ['10.96.163.20'],
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
    },
    status: { loadBalancer: {} },
  },
};

/** The state before a PUT: what was answered last, or the object that the recording began with. */
function before(step: RecordedStep, last: JsonObject | undefined): KubeObject {
  if (last !== undefined) return last as unknown as KubeObject;
  const sent = step.request.body as JsonObject;
  const known = EXISTING[String(sent['kind'])];
  return { ...known, kind: sent['kind'], metadata: sent['metadata'] } as unknown as KubeObject;
}

const UPDATE_FILES = [
  ...Object.keys(EXISTING).map((kind) => `validation/update.${kind}.json`),
  ...FILES.filter((file) => /^defaults\/(v1|coordination|discovery)/.test(file)),
];

describe('recorded updates', () => {
  for (const file of UPDATE_FILES) {
    let last: JsonObject | undefined;
    for (const [index, step] of recordedSteps(file).entries()) {
      const { method, path } = step.request;
      const isRead = method === 'GET' && step.request.headers !== undefined;
      const old = last;
      if (step.response.body['kind'] !== 'Status' && !isRead) last = step.response.body;
      const kind = kindOf(path);
      if (method !== 'PUT' || kind === undefined) continue;
      it(`${file} ${index} ${step.note ?? ''}`, () => {
        const outcome = update(kind, step.request.body as JsonObject, before(step, old));
        expectOutcome(outcome, step);
      });
    }
  }
});

describe('recorded patches of services', () => {
  const steps = recordedSteps('extra/services-allocation.json');
  const stored = new Map<string, JsonObject>();
  for (const [index, step] of steps.entries()) {
    const { method, path, body } = step.request;
    const { resource, name } = targetOf(path);
    const answer = step.response.body;
    const key = name === '' ? String((answer['metadata'] as JsonObject)['name']) : name;
    const old = stored.get(key);
    if (resource === 'services' && answer['kind'] === 'Service') stored.set(key, answer);
    if (method !== 'PATCH' || old === undefined) continue;
    it(`${index} ${JSON.stringify((body as JsonObject)['spec'])}`, () => {
      const patch = (body as JsonObject)['spec'] as JsonObject;
      const spec = { ...(old['spec'] as JsonObject), ...patch };
      for (const [field, value] of Object.entries(spec))
        if (value === null) Reflect.deleteProperty(spec, field);
      const outcome = update(
        service as unknown as Kind,
        { ...old, spec },
        old as unknown as KubeObject,
      );
      expectOutcome(outcome, step);
    });
  }
});

const TABLES = [
  'coordination.k8s.io_v1.Lease',
  'discovery.k8s.io_v1.EndpointSlice',
  'v1.ConfigMap',
  'v1.Event',
  'v1.Node',
  'v1.Secret',
  'v1.Service',
];

describe('recorded tables', () => {
  for (const name of TABLES) {
    const steps = recordedSteps(`tables/${name}.json`);
    const tables = steps.filter(({ response }) => response.body?.['kind'] === 'Table');
    it(`${name}: columns`, () => {
      const [table] = tables;
      const kind = kindOf(table?.request.path ?? '');
      const recorded = table?.response.body['columnDefinitions'] as JsonObject[];
      const shape = ({ name: title, type, format, priority }: JsonObject): JsonObject => ({
        title,
        type,
        format,
        priority,
      });
      const columns = (kind?.columns ?? []) as unknown as JsonObject[];
      expect(columns.map(shape)).to.deep.equal(recorded.map(shape));
      for (const [index, column] of columns.entries())
        expect(column['description']).to.not.equal(recorded[index]?.['description']);
    });

    for (const [index, { request, response }] of tables.entries()) {
      const rows = response.body['rows'] as { cells: unknown[]; object?: JsonObject }[];
      const whole = rows.filter(({ object }) => object?.['kind'] === kindOf(request.path)?.kind);
      if (whole.length === 0) continue;
      it(`${name}: ${whole.length} rows of table ${index}`, () => {
        for (const { cells, object } of whole) {
          const kind = kindOf(request.path);
          const nowMs = recordedAt(object ?? {});
          expect(kind?.cells(object as unknown as KubeObject, nowMs)).to.deep.equal(cells);
        }
      });
    }
  }
});

/** The tables were asked for in the second in which their objects were made. */
function recordedAt(object: JsonObject): number {
  return Date.parse(String((object['metadata'] as JsonObject)['creationTimestamp']));
}

/** Objects of which only the metadata is recorded, by what was sent to make them. */
const ROWS: Readonly<Record<string, readonly JsonObject[]>> = {
  'coordination.k8s.io_v1.Lease': [
    { metadata: { name: 'lease-held' }, spec: { holderIdentity: 'me' } },
    { metadata: { name: 'tab-lease' } },
  ],
  'discovery.k8s.io_v1.EndpointSlice': [
    {
      metadata: { name: 'eps-many' },
      addressType: 'IPv4',
      endpoints: [1, 2, 3, 4, 5].map((last) => ({ addresses: [`10.0.0.${last}`] })),
      ports: [1, 2, 3, 4].map((port) => ({ name: `p${port}`, port })),
    },
    { metadata: { name: 'eps-none' }, addressType: 'IPv4', endpoints: [], ports: [] },
    {
      metadata: { name: 'tab-endpointslice' },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.1.2.3'] }],
      ports: [{ port: 80 }],
    },
  ],
  'v1.Event': [
    {
      metadata: { name: 'ev-old' },
      involvedObject: { kind: 'Pod', name: 'x', fieldPath: 'spec.containers{c}' },
      type: 'Warning',
      reason: 'Failed',
      message: 'line1\nline2\n',
      source: { component: 'kubelet', host: 'n' },
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-02T00:00:00Z',
      count: 5,
    },
    { metadata: { name: 'tab-event' }, involvedObject: { kind: 'Pod', name: 'x' } },
  ],
  'v1.Secret': [
    { metadata: { name: 'sec-tls' }, type: 'Opaque', data: { a: 'eA==', b: 'eQ==' } },
    { metadata: { name: 'tab-secret' }, type: 'Opaque' },
  ],
};

describe('recorded rows', () => {
  const nowMs = Date.parse('2026-11-28T12:58:25Z');
  for (const [name, objects] of Object.entries(ROWS)) {
    const [list] = recordedSteps(`tables/${name}.json`);
    const rows = list?.response.body['rows'] as { cells: unknown[] }[];
    const kind = kindOf(list?.request.path ?? '');
    for (const [index, object] of objects.entries()) {
      it(`${name}: ${String(rows[index]?.cells[0])}`, () => {
        const metadata = {
          ...(object['metadata'] as JsonObject),
          creationTimestamp: '2026-11-28T12:58:25Z',
        };
        const whole = { ...object, metadata } as unknown as KubeObject;
        expect(kind?.cells(whole, nowMs)).to.deep.equal(rows[index]?.cells);
      });
    }
  }
});

describe('recorded discovery', () => {
  const body = recordedSteps('discovery/aggregated.json')
    .map(({ response }) => response.body)
    .filter((found) => found['kind'] === 'APIGroupDiscoveryList');
  const resources = body.flatMap(({ items }) =>
    (items as { metadata: { name?: string }; versions: { resources: JsonObject[] }[] }[]).flatMap(
      (group) =>
        group.versions.flatMap((version) =>
          version.resources.map((resource) => ({ group: group.metadata.name ?? '', resource })),
        ),
    ),
  );
  /** Requests to a node or service itself are not passed on. */
  const NOT_SERVED = ['proxy'];

  for (const kind of KINDS) {
    it(kind.kind, () => {
      const found = resources.find(
        ({ group, resource }) => group === kind.group && resource['resource'] === kind.resource,
      )?.resource;
      const status = { subresource: 'status', kind: kind.kind, verbs: ['get', 'patch', 'update'] };
      const mine = [
        ...kind.subresources.map(({ name, kind: of, verbs }) => ({
          subresource: name,
          kind: of,
          verbs: [...verbs],
        })),
        ...(kind.status === undefined ? [] : [status]),
      ];
      const theirs = ((found?.['subresources'] ?? []) as JsonObject[])
        .filter(({ subresource }) => !NOT_SERVED.includes(String(subresource)))
        .map(({ subresource, responseKind, verbs }) => ({
          subresource,
          kind: (responseKind as JsonObject)['kind'],
          verbs,
        }));
      expect(mine).to.deep.equal(theirs);
      expect({
        scope: kind.isNamespaced ? 'Namespaced' : 'Cluster',
        singular: kind.singular,
        verbs: kind.verbs,
        shortNames: kind.shortNames,
        categories: kind.categories,
      }).to.deep.equal({
        scope: found?.['scope'],
        singular: found?.['singularResource'],
        verbs: found?.['verbs'],
        shortNames: found?.['shortNames'] ?? [],
        categories: found?.['categories'] ?? [],
      });
    });
  }
});

describe('recorded field selectors', () => {
  const steps = recordedSteps('extra/field-selectors.json').filter(
    ({ request }) => kindOf(request.path) !== undefined,
  );
  for (const { request, response } of steps) {
    const selector = request.query?.['fieldSelector'] ?? '';
    it(`${request.path}: ${selector}`, () => {
      const [field = ''] = selector.split('=');
      const isKnown = Object.hasOwn(kindOf(request.path)?.selectableFields ?? {}, field);
      expect(isKnown).to.equal(response.status === 200);
    });
  }
});
