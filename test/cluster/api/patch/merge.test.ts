import { expect } from 'chai';
import fc from 'fast-check';
import { deepFreeze, type JsonObject, type JsonValue } from '../../../../src/cluster/api/object.js';
import { applyMergePatch } from '../../../../src/cluster/api/patch/merge.js';
import { ApiError } from '../../../../src/cluster/api/status.js';
import { recordedSteps } from '../kinds/recorded-writes.js';

/** Examples of RFC 7386, appendix A, whose target and patch are objects. */
const EXAMPLES: readonly [JsonObject, JsonObject, JsonObject][] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

describe('JSON merge patch', () => {
  for (const [target, patch, expected] of EXAMPLES)
    it(`makes ${JSON.stringify(expected)} of ${JSON.stringify(target)} by ${JSON.stringify(patch)}`, () => {
      expect(applyMergePatch(deepFreeze(target), deepFreeze(patch))).to.deep.equal(expected);
    });

  it('shares what the patch does not name', () => {
    const target = { spec: { a: [1] }, status: { b: 1 } };
    const patched = applyMergePatch(target, { status: { b: 2 } });
    expect(patched['spec']).to.equal(target.spec);
    expect(patched).to.deep.equal({ spec: { a: [1] }, status: { b: 2 } });
  });

  it('does as the procedure of the RFC', () => {
    const values = fc.letrec<{ value: JsonValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom<JsonValue>(null, 1, 'x'),
        fc.array(tie('value'), { maxLength: 2 }),
        fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { noNullPrototype: true }),
      ),
    })).value;
    const objects = fc.dictionary(fc.constantFrom('a', 'b', 'c'), values, {
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(objects, objects, (target, patch) => {
        const expected = mergePatch(structuredClone(target), patch);
        expect(applyMergePatch(deepFreeze(target), patch)).to.deep.equal(expected);
      }),
      { numRuns: 500 },
    );
  });

  describe('as recorded', () => {
    // Each step patches what the one before it answered. Refused later are: other names and
    // versions, and whatever the kind does not allow.
    let live: JsonObject | undefined;
    for (const { request, response } of recordedSteps('patch/merge-patch.json')) {
      const text = JSON.stringify(request.body);
      const body: JsonValue = request.body === 'null' ? null : (request.body as JsonObject);
      const { status, body: answer } = response;
      if (status === 400 && !JSON.stringify(answer).includes('the name of the object')) {
        it(`refuses ${text}`, () => {
          expect(() => applyMergePatch({}, body))
            .to.throw(ApiError)
            .with.property('status')
            .that.deep.equals(answer);
        });
      } else if (status === 200 && live !== undefined) {
        const before = live;
        it(`applies ${text}`, () => {
          expect(dataOf(applyMergePatch(deepFreeze(before), body))).to.deep.equal(dataOf(answer));
        });
      }
      if (status === 200) live = answer;
    }
  });
});

/** Fields that the patches of the recording change. */
function dataOf(object: JsonObject): unknown {
  const { labels, annotations } = (object['metadata'] ?? {}) as JsonObject;
  return { data: object['data'], immutable: object['immutable'], labels, annotations };
}

/** The pseudo-code of RFC 7386, section 2. */
function mergePatch(target: JsonValue, patch: JsonValue): JsonValue {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, JsonValue | undefined> =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, name);
    else result[name] = mergePatch(result[name] ?? null, value ?? null);
  }
  return result;
}
