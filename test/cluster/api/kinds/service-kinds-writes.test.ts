/** The kinds of services, configuration, nodes and events against recordings of the real API server. */
import { expect } from 'chai';
import { service } from '../../../../src/cluster/api/kinds/core/service.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../../../../src/cluster/api/object.js';
import {
  comparable,
  create,
  decoded,
  recordedSteps,
  targetOf,
  textAt,
  update,
  type Outcome,
  type RecordedStep,
} from './recorded-writes.js';
import { kindNamed, kindOf } from './service-kinds.js';

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
    why: 'the allocator knows what is free',
    is: ({ response }) =>
      /failed to allocate IP|provided port is already allocated/.test(
        textAt(response.body, 'message'),
      ),
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

/** The name that the server generated, or that the client gave. */
function nameIn({ response }: RecordedStep): string {
  return textAt(response.body, 'metadata', 'name');
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
        const outcome = create(kind, body ?? {}, targetOf(path).namespace, nameIn(step));
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
  const kind = textAt(sent, 'kind');
  return decoded(kindNamed(kind), { ...EXISTING[kind], metadata: sent['metadata'] });
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
    const key = name === '' ? textAt(answer, 'metadata', 'name') : name;
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
