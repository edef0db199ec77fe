/** Tables, discovery and field selectors of the kinds against recordings of the real API server. */
import { expect } from 'chai';
import type { JsonObject, KubeObject } from '../../../../src/cluster/api/object.js';
import { recordedSteps, textAt } from './recorded-writes.js';
import { kindNamed, kindOf, KINDS } from './service-kinds.js';

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
  return Date.parse(textAt(object, 'metadata', 'creationTimestamp'));
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

/** Rows that no recording shows: cells after the name and before the age. */
const MORE_ROWS: readonly (readonly [string, JsonObject, readonly string[]])[] = [
  ['Namespace', { status: { phase: 'Terminating' } }, ['Terminating']],
  ['ServiceAccount', {}, []],
  ['Endpoints', {}, ['<none>']],
  [
    'Endpoints',
    {
      subsets: [
        { addresses: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }], ports: [{ port: 80 }, { port: 81 }] },
        { addresses: [{ ip: '10.0.0.9' }] },
      ],
    },
    ['10.0.0.1:80,[fd00::1]:80,10.0.0.1:81 + 2 more...'],
  ],
  [
    'Service',
    {
      spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.9'], externalIPs: ['192.0.2.9'] },
      status: { loadBalancer: { ingress: [{ ip: '192.0.2.2' }, { hostname: '192.0.2.10.x' }] } },
    },
    ['LoadBalancer', '10.96.0.9', '192.0.2.10.x,192.0.2.2,192.0.2.9', '<none>'],
  ],
];

describe('rows', () => {
  for (const [name, body, expected] of MORE_ROWS) {
    it(`${name}: ${expected.join(' ')}`, () => {
      const metadata = { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z' };
      const object = { ...body, metadata } as unknown as KubeObject;
      const kind = kindNamed(name);
      const cells = kind.cells(object, Date.parse('2026-01-01T00:05:00Z'));
      expect(cells.slice(0, expected.length + 2)).to.deep.equal(['x', ...expected, '5m']);
      expect(cells.length).to.equal(kind.columns.length);
    });
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
        .filter((listed) => !NOT_SERVED.includes(textAt(listed, 'subresource')))
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
