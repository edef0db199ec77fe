import { expect } from 'chai';
import fc from 'fast-check';
import {
  deepFreeze,
  splitApiVersion,
  type JsonObject,
  type JsonValue,
  type KubeObject,
} from '../../../../src/cluster/api/object.js';
import { findKind } from '../../../../src/cluster/api/kinds/registry.js';
import { applyMergePatch } from '../../../../src/cluster/api/patch/merge.js';
import { applyStrategicPatch } from '../../../../src/cluster/api/patch/strategic.js';
import { normalize } from '../../../../src/cluster/api/codec/normalize.js';
import { schemaOf } from '../../../../src/cluster/api/schema/table.js';
import { comparable, recordedSteps, type RecordedStep } from '../kinds/recorded-writes.js';
import { failureOf } from '../failure.js';

const DEPLOYMENT = schemaOf('apps.v1.Deployment');
const POD = schemaOf('core.v1.Pod');

describe('strategic merge patch', () => {
  describe('as recorded', () => {
    const steps = ['patch/merge-vs-strategic.json', 'patch/strategic.json'].flatMap(recordedSteps);
    const deployment = deepFreeze(steps[0]?.response.body ?? {});
    const isStrategic = ({ request }: RecordedStep) =>
      request.headers?.['Content-Type'] === 'application/strategic-merge-patch+json';

    for (const step of steps.filter(isStrategic).filter(({ request }) => isDry(request)))
      it(`of the deployment: ${step.note ?? ''}`, () => {
        const patch = deepFreeze(step.request.body as JsonObject);
        const apply = () => applyStrategicPatch(deployment, patch, DEPLOYMENT);
        const { status, body } = step.response;
        if (status === 500) expect(failureOf(apply).status).to.deep.equal(body);
        else if (status === 200) expect(settled(apply())).to.deep.equal(decided(body));
        // A patch is applied even if the result breaks types or rules: those are checked later.
        else expect(apply).not.to.throw();
      });

    // The others change what they patch: each step begins with the answer to the one before it.
    const lives = new Map<string, JsonObject>();
    for (const { request, response } of steps.filter(
      ({ request: { query } }) => query === undefined,
    )) {
      const live = lives.get(request.path);
      lives.set(request.path, response.body);
      if (live === undefined || request.method !== 'PATCH') continue;
      it(`${request.path} by ${JSON.stringify(request.body)}`, () => {
        const kind = kindOf(response.body);
        const patch = deepFreeze(request.body as JsonObject);
        const patched = applyStrategicPatch(deepFreeze(live), patch, schemaOf(kind.message));
        expect(settled(patched)).to.deep.equal(decided(response.body));
      });
    }
  });

  describe('merges lists', () => {
    const CASES: readonly [string, JsonValue, JsonValue, JsonValue][] = [
      ['new items first', items('a b'), items('c'), items('c a b')],
      ['items of the patch in its order', items('a b c'), items('c a'), items('b c a')],
      ['items between their neighbours', items('a b c d'), items('b d'), items('a b c d')],
      ['deletions', items('a b c'), [{ name: 'b', $patch: 'delete' }], items('a c')],
      ['a replacement', items('a b'), [{ $patch: 'replace' }, ...items('z')], items('z')],
      ['nothing with nothing', [], [], []],
    ];
    for (const [what, live, patch, expected] of CASES)
      it(what, () => {
        expect(mergeContainers(live, { containers: patch })).to.deep.equal(expected);
      });

    it('in the order that is set', () => {
      const order = { '$setElementOrder/containers': items('d a c') };
      const live = items('a b c');
      expect(mergeContainers(live, { ...order, containers: items('d') })).to.deep.equal(
        items('d a b c'),
      );
      expect(mergeContainers(live, { '$setElementOrder/containers': items('c a') })).to.deep.equal(
        items('b c a'),
      );
    });

    it('of scalars', () => {
      const merge = (patch: JsonObject) =>
        applyStrategicPatch(
          { metadata: { finalizers: ['a', 'b', 'c'] } },
          { metadata: patch },
          POD,
        );
      const finalizers = (patch: JsonObject) =>
        (merge(patch)['metadata'] as JsonObject)['finalizers'];
      expect(finalizers({ finalizers: ['d', 'a'] })).to.deep.equal(['d', 'a', 'b', 'c']);
      expect(finalizers({ '$deleteFromPrimitiveList/finalizers': ['a', 'x'] })).to.deep.equal([
        'b',
        'c',
      ]);
      expect(finalizers({ '$setElementOrder/finalizers': ['c', 'b', 'a'] })).to.deep.equal([
        'c',
        'b',
        'a',
      ]);
      expect(finalizers({ finalizers: null })).to.equal(undefined);
      const containers = [{ name: 'a', '$deleteFromPrimitiveList/args': ['x'] }];
      expect(mergeContainers([{ name: 'a', args: ['x', 'y'] }], { containers })).to.deep.equal([
        { name: 'a', args: ['y'] },
      ]);
    });

    it('by keys that both sides know', () => {
      fc.assert(
        fc.property(lists, lists, (live, patch) => {
          const merged = mergeContainers(deepFreeze(live), { containers: deepFreeze(patch) });
          const expected = new Map<string, Item>(live.map((item) => [item.name, item]));
          for (const item of patch)
            expected.set(item.name, { ...expected.get(item.name), ...item });
          expect(Object.fromEntries(merged.map((item) => [item.name, item]))).to.deep.equal(
            Object.fromEntries(expected),
          );
          const names = merged.map(({ name }) => name);
          expect(names).to.have.length(expected.size);
          const named: string[] = patch.map(({ name }) => name);
          expect(names.filter((name) => named.includes(name))).to.deep.equal(named);
          const others: string[] = live
            .map(({ name }) => name)
            .filter((name) => !named.includes(name));
          expect(names.filter((name) => others.includes(name))).to.deep.equal(others);
        }),
        { numRuns: 500 },
      );
    });
  });

  it('is a merge patch where there are neither lists nor directives', () => {
    const text = fc.constantFrom('x', 'y');
    const names = fc.constantFrom('a', 'b', 'c');
    const parts = <T extends JsonValue>(value: fc.Arbitrary<T>) =>
      fc.record(
        {
          data: fc.dictionary(names, value, { noNullPrototype: true }),
          metadata: fc.record(
            { labels: fc.dictionary(names, value, { noNullPrototype: true }) },
            { requiredKeys: [], noNullPrototype: true },
          ),
        },
        { requiredKeys: [], noNullPrototype: true },
      );
    const schema = schemaOf('core.v1.ConfigMap');
    fc.assert(
      fc.property(parts(text), parts(fc.oneof(text, fc.constant(null))), (live, patch) => {
        const expected = applyMergePatch(live, patch);
        expect(applyStrategicPatch(deepFreeze(live), deepFreeze(patch), schema)).to.deep.equal(
          expected,
        );
      }),
    );
  });

  it('shares what the patch does not name', () => {
    const live = deepFreeze({ spec: { containers: items('a b') }, status: { phase: 'Running' } });
    const patched = applyStrategicPatch(live, { status: { phase: 'Failed' } }, POD);
    expect(patched['spec']).to.equal(live.spec);
  });

  it('keeps only what $retainKeys names', () => {
    const live = { spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } } };
    const patch = { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } };
    expect(applyStrategicPatch(deepFreeze(live), deepFreeze(patch), DEPLOYMENT)).to.deep.equal({
      spec: { strategy: { type: 'Recreate' } },
    });
  });

  describe('refuses', () => {
    const CASES: readonly [number, string, JsonValue][] = [
      [400, 'json: cannot unmarshal array into Go value of type map[string]interface {}', []],
      [400, 'invalid patch format of retainKeys', { spec: { $retainKeys: 'x' } }],
      [400, 'invalid patch format of retainKeys', { spec: { $retainKeys: [], hostPID: true } }],
      [400, 'invalid patch format of primitive list', { $deleteFromPrimitiveList: ['x'] }],
      [400, 'invalid patch format of setElementOrder list', { $setElementOrder: ['x'] }],
      [
        500,
        'expected a []interface {}, but received a string',
        { spec: { '$setElementOrder/containers': 'x' } },
      ],
      [
        500,
        'unable to find api field in struct PodSpec for the json field "foo"',
        { spec: { '$setElementOrder/foo': [] } },
      ],
      [
        500,
        'expected slice or array type, but got: struct',
        { spec: { '$setElementOrder/hostPID': [] } },
      ],
      [
        500,
        'merging lists cannot yet be specified in the patch',
        { spec: { containers: [{ $patch: 'merge' }] } },
      ],
      [
        500,
        'unknown patch type: %!s(int64=1) in map: map[$patch:1]',
        { spec: { containers: [{ $patch: 1 }] } },
      ],
      [
        500,
        'list element types are not identical: [[map[image:i name:a]] [x]]',
        { spec: { containers: ['x'] } },
      ],
      [
        500,
        'map: map[command:[x 1 0.5 true <nil>]] does not contain declared merge key: name',
        { spec: { containers: [{ command: ['x', 1, 0.5, true, null] }] } },
      ],
    ];
    for (const [code, message, patch] of CASES)
      it(`${JSON.stringify(patch)} with ${code}`, () => {
        const live = deepFreeze({ spec: { containers: [{ name: 'a', image: 'i' }] } });
        const { status } = failureOf(() => applyStrategicPatch(live, patch, POD));
        expect([status.code, status.message]).to.deep.equal([code, message]);
        expect(status.reason).to.equal(code === 400 ? 'BadRequest' : undefined);
      });

    it('lists of lists, without a reason', () => {
      const live = { metadata: { finalizers: ['a'] } };
      const patch = { metadata: { '$deleteFromPrimitiveList/finalizers': [['a']] } };
      const { code } = failureOf(() =>
        applyStrategicPatch({ metadata: { finalizers: [] } }, patch, POD),
      );
      expect(code).to.equal(422);
      expect(failureOf(() => applyStrategicPatch(live, patch, POD)).code).to.equal(500);
    });
  });
});

interface Item extends JsonObject {
  name: string;
}

function items(names: string): Item[] {
  return names.split(' ').map((name) => ({ name }));
}

const lists = fc.uniqueArray(
  fc.record(
    { name: fc.constantFrom('a', 'b', 'c', 'd', 'e'), image: fc.constantFrom('x', 'y') },
    { noNullPrototype: true },
  ),
  { selector: ({ name }) => name },
);

function mergeContainers(live: JsonValue, spec: JsonObject): Item[] {
  const patched = applyStrategicPatch({ spec: { containers: live } }, { spec }, POD);
  return (patched['spec'] as { containers: Item[] }).containers;
}

function isDry(request: RecordedStep['request']): boolean {
  return request.query?.['dryRun'] !== undefined;
}

function kindOf(object: JsonObject) {
  const { group, version } = splitApiVersion(object['apiVersion'] as string);
  const kind = findKind(group, version, object['kind'] as string);
  if (kind === undefined) throw new Error('the kind is not served');
  return kind;
}

/** The patched object as the server takes it: in its types, with defaults. */
function settled(patched: JsonObject): unknown {
  const kind = kindOf(patched);
  const object = normalize(schemaOf(kind.message), patched).object as unknown as KubeObject;
  kind.setDefaults(object);
  return decided(object as unknown as JsonObject);
}

/** Without what the registry changes after the patch. */
function decided(object: JsonObject): unknown {
  const { generation: _counted, ...metadata } = object['metadata'] as JsonObject;
  return comparable({ ...object, metadata });
}
