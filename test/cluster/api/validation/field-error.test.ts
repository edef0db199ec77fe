/** Texts of findings, word for word as clients match them. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  goQuote,
  isSameValue,
  validateAlternatives,
  validateImmutable,
  validateUnique,
} from '../../../../src/cluster/api/validation/field-error.js';

describe('findings', () => {
  it('texts', () => {
    expect(fieldRequired('a')).to.deep.equal({
      reason: 'FieldValueRequired',
      field: 'a',
      message: 'Required value',
    });
    expect(fieldRequired('a', 'why').message).to.equal('Required value: why');
    expect(fieldInvalid('a', 'x', 'why').message).to.equal('Invalid value: "x": why');
    expect(fieldInvalid('a', 5, 'why').message).to.equal('Invalid value: 5: why');
    expect(fieldInvalid('a', true, 'why').message).to.equal('Invalid value: true: why');
    expect(fieldInvalid('a', undefined, 'why').message).to.equal('Invalid value: null: why');
    expect(fieldInvalid('a', ['<x>'], 'why').message).to.equal(
      'Invalid value: ["\\u003cx\\u003e"]: why',
    );
    expect(fieldNotSupported('a', 'x', ['B', 'A']).message).to.equal(
      'Unsupported value: "x": supported values: "B", "A"',
    );
    expect(fieldNotSupported('a', 'x', []).message).to.equal('Unsupported value: "x"');
    expect(fieldDuplicate('a', 'x').message).to.equal('Duplicate value: "x"');
    expect(fieldForbidden('a', 'why').message).to.equal('Forbidden: why');
    expect(fieldNotFound('a', 'x').message).to.equal('Not found: "x"');
    expect(fieldTooLong('a', 5).message).to.equal('Too long: may not be more than 5 bytes');
    expect(fieldTooMany('a', 3, 1).message).to.equal('Too many: 3: must have at most 1 item');
    expect(fieldTooMany('a', 3, 2).message).to.equal('Too many: 3: must have at most 2 items');
  });

  it('text is quoted as Go does', () => {
    expect(goQuote('a"b\\c\n\t\x00\x7f\u00e9\u200b\u{1f600}\u{10ffff}')).to.equal(
      '"a\\"b\\\\c\\n\\t\\x00\\x7f\u00e9\\u200b\u{1f600}\\U0010ffff"',
    );
  });

  it('the first alternative counts, the others are forbidden', () => {
    const of = (
      path: string,
      isGiven: boolean,
    ): Parameters<typeof validateAlternatives>[0][number] => ({
      path,
      isGiven,
      validate: () => [fieldRequired(path)],
    });
    expect(
      validateAlternatives([of('a', false), of('b', true), of('c', true)], 'handler'),
    ).to.deep.equal([
      fieldRequired('b'),
      fieldForbidden('c', 'may not specify more than 1 handler type'),
    ]);
  });

  it('repeated values', () => {
    expect(validateUnique(['x', 'y', 'x'], (index) => `a[${index}]`)).to.deep.equal([
      fieldDuplicate('a[2]', 'x'),
    ]);
  });

  it('a value that must stay', () => {
    expect(validateImmutable('a', { x: 1 }, { x: 1 })).to.deep.equal([]);
    expect(validateImmutable('a', 'new', 'old')).to.deep.equal([
      fieldInvalid('a', 'new', 'field is immutable'),
    ]);
  });
});

describe('equality of values', () => {
  it('missing, null and an empty list are the same; an empty object says something', () => {
    expect(isSameValue({ a: 1, b: null, c: [] }, { a: 1 })).to.equal(true);
    expect(isSameValue({ a: {} }, {})).to.equal(false);
    expect(isSameValue({ a: 0 }, {})).to.equal(false);
    expect(isSameValue([1, 2], [2, 1])).to.equal(false);
    expect(isSameValue(['a'], { 0: 'a' })).to.equal(false);
  });

  it('a copy is equal, a changed copy is not', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (value, key) => {
        expect(isSameValue(value, structuredClone(value))).to.equal(true);
        const holder = { value, other: 1 };
        expect(isSameValue(holder, { ...holder, [`new ${key}`]: 1 })).to.equal(false);
      }),
    );
  });
});
