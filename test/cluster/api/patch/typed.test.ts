import { expect } from 'chai';
import fc from 'fast-check';
import type { JsonObject, JsonValue } from '../../../../src/cluster/api/object.js';
import {
  difference,
  fieldSetOf,
  isEmpty,
  pathsOf,
  type FieldSet,
} from '../../../../src/cluster/api/patch/field-set.js';
import {
  NotOwnable,
  compareTyped,
  fieldsOf,
  ownedTypeOf,
} from '../../../../src/cluster/api/patch/typed.js';
import { recordedSteps } from '../kinds/recorded-writes.js';

const POD = ownedTypeOf('core.v1.Pod');

/** Ways through a pod, written down by hand: path to the value that is owned there as a whole. */
interface Parts {
  labels: Record<string, string>;
  finalizers: string[];
  containers: Record<string, { image: string; args: string[]; env: Record<string, string> }>;
}

function podOf({ labels, finalizers, containers }: Parts): JsonObject {
  return {
    metadata: {
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
      ...(finalizers.length === 0 ? {} : { finalizers }),
    },
    spec: {
      containers: Object.entries(containers).map(([name, { image, args, env }]) => ({
        name,
        image,
        ...(args.length === 0 ? {} : { args }),
        ...(Object.keys(env).length === 0
          ? {}
          : { env: Object.entries(env).map(([key, value]) => ({ name: key, value })) }),
        resources: {},
      })),
    },
    status: {},
  };
}

/** Naive: every path that is there, with what it holds if that is owned as a whole. */
function flat({ labels, finalizers, containers }: Parts): Map<string, string> {
  const paths = new Map<string, string>();
  const label = Object.entries(labels);
  if (label.length > 0) paths.set('f:metadata f:labels', '');
  for (const [name, value] of label) paths.set(`f:metadata f:labels f:${name}`, value);
  if (finalizers.length > 0) paths.set('f:metadata f:finalizers', '');
  for (const one of finalizers) paths.set(`f:metadata f:finalizers v:"${one}"`, '');
  for (const [name, { image, args, env }] of Object.entries(containers)) {
    const container = `f:spec f:containers k:{"name":"${name}"}`;
    paths.set(container, '').set(`${container} f:name`, name).set(`${container} f:image`, image);
    paths.set(`${container} f:resources`, '');
    if (args.length > 0) paths.set(`${container} f:args`, args.join());
    const variables = Object.entries(env);
    if (variables.length > 0) paths.set(`${container} f:env`, '');
    for (const [key, value] of variables) {
      const variable = `${container} f:env k:{"name":"${key}"}`;
      paths.set(variable, '').set(`${variable} f:name`, key).set(`${variable} f:value`, value);
    }
  }
  return paths;
}

const words = fc.constantFrom('a', 'b', 'c');
const maps = fc.dictionary(words, words, { maxKeys: 3, noNullPrototype: true });
const parts: fc.Arbitrary<Parts> = fc.record({
  labels: maps,
  finalizers: fc.uniqueArray(words, { maxLength: 3 }),
  // At least one: an empty list is itself a value.
  containers: fc.dictionary(
    words,
    fc.record({ image: words, args: fc.array(words, { maxLength: 2 }), env: maps }),
    { minKeys: 1, maxKeys: 3, noNullPrototype: true },
  ),
});

function texts(set: FieldSet): string[] {
  return [...pathsOf(set)].map((path) => path.join(' ')).sort();
}

describe('typed comparison', () => {
  it('finds what a naive comparison of all paths finds', () => {
    fc.assert(
      fc.property(parts, parts, (before, after) => {
        const left = flat(before);
        const right = flat(after);
        const { added, modified, removed } = compareTyped(POD, podOf(before), podOf(after));
        expect(texts(added)).to.deep.equal(
          [...right.keys()].filter((path) => !left.has(path)).sort(),
        );
        expect(texts(removed)).to.deep.equal(
          [...left.keys()].filter((path) => !right.has(path)).sort(),
        );
        expect(texts(modified)).to.deep.equal(
          [...left]
            .filter(([path, value]) => (right.get(path) ?? value) !== value)
            .map(([path]) => path)
            .sort(),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('finds nothing between equal objects', () => {
    fc.assert(
      fc.property(parts, (one) => {
        const { added, modified, removed } = compareTyped(POD, podOf(one), podOf(one));
        expect([added, modified, removed].every(isEmpty)).to.equal(true);
      }),
    );
  });

  const CASES: readonly [string, JsonObject, JsonObject, Record<string, string[]>][] = [
    [
      'a struct that appears with what it holds',
      {},
      { spec: { securityContext: { runAsUser: 1 } } },
      { added: ['f:spec f:securityContext', 'f:spec f:securityContext f:runAsUser'] },
    ],
    [
      'an empty struct as a value',
      { spec: { securityContext: {} } },
      { spec: {} },
      { removed: ['f:spec f:securityContext'] },
    ],
    [
      'an atomic list as a whole',
      { spec: { tolerations: [{ key: 'a' }] } },
      { spec: { tolerations: [{ key: 'b' }] } },
      { modified: ['f:spec f:tolerations'] },
    ],
    [
      'an atomic map as a whole',
      { spec: { nodeSelector: { a: 'b' } } },
      { spec: { nodeSelector: { a: 'c' } } },
      { modified: ['f:spec f:nodeSelector'] },
    ],
    [
      'a key field that has a default',
      { spec: { containers: [{ name: 'c', ports: [{ containerPort: 80 }] }] } },
      { spec: { containers: [{ name: 'c', ports: [{ containerPort: 80, protocol: 'TCP' }] }] } },
      {
        added: [
          'f:spec f:containers k:{"name":"c"} f:ports k:{"containerPort":80,"protocol":"TCP"} f:protocol',
        ],
      },
    ],
    [
      'zero values within what appears',
      { spec: { containers: [{ name: 'c', livenessProbe: {} }] } },
      { spec: { containers: [{ name: 'c', livenessProbe: { httpGet: {} } }] } },
      {
        added: ['f:httpGet', 'f:httpGet f:port'].map(
          (path) => `f:spec f:containers k:{"name":"c"} f:livenessProbe ${path}`,
        ),
      },
    ],
    [
      'doubles as one value',
      { spec: { containers: [{ name: 'c' }, { name: 'c', image: 'x' }] } },
      { spec: { containers: [{ name: 'c' }, { name: 'c', image: 'y' }] } },
      { modified: ['f:spec f:containers k:{"name":"c"}'] },
    ],
    [
      'doubles that come',
      { spec: { hostAliases: [{ ip: '1.1.1.1' }] } },
      { spec: { hostAliases: [{ ip: '1.1.1.1' }, { ip: '1.1.1.1' }] } },
      {
        added: ['f:spec f:hostAliases k:{"ip":"1.1.1.1"}'],
        removed: [
          'f:spec f:hostAliases k:{"ip":"1.1.1.1"}',
          'f:spec f:hostAliases k:{"ip":"1.1.1.1"} f:ip',
        ],
      },
    ],
    [
      'doubles that go',
      { spec: { hostAliases: [{ ip: '1.1.1.1' }, { ip: '1.1.1.1' }] } },
      { spec: { hostAliases: [{ ip: '1.1.1.1' }] } },
      {
        added: [
          'f:spec f:hostAliases k:{"ip":"1.1.1.1"}',
          'f:spec f:hostAliases k:{"ip":"1.1.1.1"} f:ip',
        ],
        removed: ['f:spec f:hostAliases k:{"ip":"1.1.1.1"}'],
      },
    ],
    ['no zero value that Go writes anyway', {}, { spec: { containers: null }, status: {} }, {}],
    [
      'no order of elements',
      { spec: { hostAliases: [{ ip: '1.1.1.1' }, { ip: '2.2.2.2' }] } },
      { spec: { hostAliases: [{ ip: '2.2.2.2' }, { ip: '1.1.1.1' }] } },
      {},
    ],
  ];
  for (const [what, before, after, expected] of CASES)
    it(`finds ${what}`, () => {
      const found = compareTyped(POD, before, after);
      expect({
        added: texts(found.added),
        modified: texts(found.modified),
        removed: texts(found.removed),
      }).to.deep.equal({ added: [], modified: [], removed: [], ...expected });
    });

  it('refuses elements that nothing tells apart', () => {
    const secrets: JsonValue = [{ kind: 'Secret' }];
    const type = ownedTypeOf('core.v1.ServiceAccount');
    expect(() => compareTyped(type, {}, { secrets })).to.throw(NotOwnable);
  });

  it('knows types that hold themselves', () => {
    expect(() => ownedTypeOf('apiextensions.v1.JSONSchemaProps')).not.to.throw();
  });
});

describe('fields of an object', () => {
  it('are what an apply owns, as recorded', () => {
    const applied = recordedSteps('apply/ownership.json').filter(
      ({ request, response }) =>
        request.headers?.['Content-Type'] === 'application/apply-patch+yaml' &&
        response.status < 300,
    );
    expect(applied).to.have.length.greaterThan(5);
    for (const { request, response } of applied) {
      const metadata = response.body['metadata'] as { managedFields: JsonObject[] };
      const entry = metadata.managedFields.find(
        ({ manager }) => manager === request.query?.['fieldManager'],
      );
      const named = fieldsOf(ownedTypeOf('core.v1.ConfigMap'), request.body as JsonObject);
      const given = fieldSetOf(['f:apiVersion'], ['f:kind'], ['f:metadata', 'f:name']);
      expect(difference(named, given).toJson()).to.deep.equal(entry?.['fieldsV1']);
    }
  });

  it('hold elements but not the lists and structs around them', () => {
    const fields = fieldsOf(POD, {
      metadata: { labels: { a: 'b' }, finalizers: ['x'], annotations: {} },
      spec: {
        containers: [
          { name: 'c', args: ['a'], ports: [{ containerPort: 1 }], env: [] },
          { name: 'd' },
          { name: 'd' },
        ],
      },
    });
    expect(fields.toJson()).to.deep.equal({
      'f:metadata': {
        'f:annotations': {},
        'f:finalizers': { 'v:"x"': {} },
        'f:labels': { 'f:a': {} },
      },
      'f:spec': {
        'f:containers': {
          'k:{"name":"c"}': {
            '.': {},
            'f:args': {},
            'f:name': {},
            'f:ports': {
              'k:{"containerPort":1,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
            },
          },
          'k:{"name":"d"}': {},
        },
      },
    });
  });
});
