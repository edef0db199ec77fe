import { expect } from 'chai';
import fc from 'fast-check';
import {
  everything,
  formatSelector,
  labelSelectorMatcher,
  matcherOf,
  nothing,
  parseFieldSelector,
  parseLabelSelector,
  parseRequirements,
  requirementsOf,
} from '../../../src/cluster/api/selector.js';
import type { JsonObject } from '../../../src/cluster/api/object.js';
import { stepsOf, type Step } from './recordings.js';

interface Item {
  readonly metadata: { readonly name: string; readonly labels?: Record<string, string> };
}

function itemsOf(body: JsonObject | undefined): readonly Item[] {
  return (body?.['items'] ?? []) as unknown as Item[];
}

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
}

/** Recorded lists with this query parameter, and what the server answered. */
function recorded(parameter: string, file: string): readonly (readonly [string, Step])[] {
  return stepsOf(file).flatMap((step) => {
    const text = step.request.query?.[parameter];
    return text === undefined ? [] : [[text, step] as const];
  });
}

describe('selector: labels, against recorded lists', () => {
  const lists = recorded('labelSelector', 'list/selectors');
  const all = itemsOf(lists.find(([text]) => text === 'l')?.[1].response.body);

  it('selects the objects that the real API server selected', () => {
    expect(all.length).to.be.greaterThan(3);
    for (const [text, { response }] of lists.filter(([, step]) => step.response.status === 200)) {
      const selects = parseLabelSelector(text);
      const names = all.filter(({ metadata }) => selects(metadata.labels ?? {}));
      const wanted = itemsOf(response.body).filter(({ metadata }) => metadata.labels !== undefined);
      expect(
        names.map(({ metadata }) => metadata.name),
        text,
      ).to.eql(wanted.map(({ metadata }) => metadata.name));
    }
  });

  it('refuses what it refused, in its words', () => {
    const malformed = recorded('labelSelector', 'validation/malformed');
    const refused = [...lists, ...malformed].filter(([, step]) => step.response.status === 400);
    expect(refused.length).to.be.greaterThan(10);
    for (const [text, { response }] of refused) {
      expect(messageOf(() => parseLabelSelector(text))).to.equal(response.body?.['message']);
    }
  });
});

describe('selector: labels', () => {
  const key = fc.constantFrom('a', 'b/c', 'd.e_f');
  const value = fc.constantFrom('', 'x', 'y-1', '7', '12');
  const number = fc.integer().map(String);
  const term = fc.oneof(
    fc.tuple(key, fc.constantFrom('=', '==', '!='), value).map((parts) => parts.join('')),
    fc
      .tuple(key, fc.constantFrom('in', 'notin'), fc.array(value, { minLength: 1 }))
      .map(([name, operator, values]) => `${name} ${operator} (${values.join(',')})`),
    fc.tuple(key, fc.constantFrom('>', '<'), fc.nat()).map((parts) => parts.join('')),
    key,
    key.map((name) => `!${name}`),
  );

  it('writes a selector that is read as the same', () => {
    fc.assert(
      fc.property(fc.array(term), (terms) => {
        const requirements = parseRequirements(terms.join(' , '));
        expect(parseRequirements(formatSelector(requirements))).to.eql(requirements);
      }),
    );
  });

  it('selects what every one of its terms selects', () => {
    const labels = fc.dictionary(key, fc.oneof(value, number));
    fc.assert(
      fc.property(fc.array(term), labels, (terms, object) => {
        const each = terms.every((text) => parseLabelSelector(text)(object));
        expect(parseLabelSelector(terms.join(','))(object)).to.equal(each);
      }),
    );
  });

  it('compares numbers, of which a label that is none is neither more nor less', () => {
    const more = parseLabelSelector('n>9');
    expect([{ n: '10' }, { n: '9' }, { n: 'x' }, {}].map(more)).to.eql([true, false, false, false]);
    expect(parseLabelSelector('n<9')({ n: '-10' })).to.equal(true);
  });

  it('tells an absent label from an empty one', () => {
    const selects = (text: string): boolean[] => [{}, { x: '' }].map(parseLabelSelector(text));
    expect(selects('x=')).to.eql([false, true]);
    expect(selects('x!=')).to.eql([true, false]);
    expect(selects('x notin ()')).to.eql([true, false]);
  });

  it('takes a selector of an object', () => {
    const selector = {
      matchLabels: { b: '1', a: '2' },
      matchExpressions: [
        { key: 'c', operator: 'NotIn', values: ['y', 'x'] },
        { key: 'd', operator: 'DoesNotExist' },
        { key: 'e', operator: 'Exists' },
      ],
    };
    expect(formatSelector(requirementsOf(selector))).to.equal('a=2,b=1,c notin (x,y),!d,e');
    const selects = labelSelectorMatcher(selector);
    expect(selects({ a: '2', b: '1', c: 'z', e: '' })).to.equal(true);
    expect(selects({ a: '2', b: '1', c: 'x', e: '' })).to.equal(false);
  });

  it('selects nothing without a selector and everything with an empty one', () => {
    expect(labelSelectorMatcher(undefined)).to.equal(nothing);
    expect(labelSelectorMatcher({})).to.equal(everything);
    expect(matcherOf([])({ a: 'b' })).to.equal(true);
    expect(nothing({ a: 'b' })).to.equal(false);
  });

  it('refuses operators and values of objects that cannot be', () => {
    const of = (operator: string, values: string[]): string =>
      messageOf(() => requirementsOf({ matchExpressions: [{ key: 'k', operator, values }] }));
    expect(of('Foo', [])).to.equal('"Foo" is not a valid label selector operator');
    expect(of('In', [])).to.match(/for 'in', 'notin' operators, values set can't be empty$/);
    expect(of('Exists', ['x'])).to.match(/values set must be empty for exists and does not exist$/);
    expect(of('In', ['-'])).to.match(
      /^values\[0\]\[k\]: Invalid value: "-": a valid label must be/,
    );
  });

  it('is not fooled by names of Object.prototype', () => {
    expect(parseLabelSelector('constructor')({})).to.equal(false);
  });
});

describe('selector: fields', () => {
  it('reads terms, sorted, with escaped values', () => {
    expect(parseFieldSelector('spec.nodeName=n,,metadata.name!=a\\,b\\=c\\\\,x==')).to.eql([
      { field: 'metadata.name', value: 'a,b=c\\', isEqual: false },
      { field: 'spec.nodeName', value: 'n', isEqual: true },
      { field: 'x', value: '', isEqual: true },
    ]);
    expect(parseFieldSelector('')).to.eql([]);
  });

  it('refuses what is no term', () => {
    const [[text, step] = ['', undefined]] = recorded('fieldSelector', 'list/selectors').filter(
      ([field]) => field === 'metadata.name',
    );
    expect(messageOf(() => parseFieldSelector(text))).to.equal(step?.response.body?.['message']);
    expect(messageOf(() => parseFieldSelector('a=b=c'))).to.equal(
      'invalid field selector: unescaped character in value: 61',
    );
    expect(messageOf(() => parseFieldSelector('a=\\x'))).to.equal(
      'invalid field selector: invalid escape sequence: \\x',
    );
    expect(messageOf(() => parseFieldSelector('a=b\\'))).to.equal(
      'invalid field selector: invalid escape sequence: \\',
    );
  });
});
