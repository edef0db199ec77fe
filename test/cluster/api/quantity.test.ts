import { expect } from 'chai';
import fc from 'fast-check';
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  milli,
  milliQuantityOf,
  parseQuantity,
  quantityOf,
  roundUpToMilli,
  subtractQuantities,
  value,
} from '../../../src/cluster/api/quantity.js';
import { stepsOf } from './recordings.js';

interface Quota {
  readonly spec?: { readonly hard?: Readonly<Record<string, string | number | null>> };
}

function amountOf(quota: unknown): string | number | null | undefined {
  return Object.values((quota as Quota).spec?.hard ?? {})[0];
}

describe('quantity: canonical form', () => {
  it('writes the amounts of recorded quotas as the real API server does', () => {
    const accepted = stepsOf('extra/quantities').filter(({ response }) => response.status === 201);
    expect(accepted.length).to.be.greaterThan(50);
    for (const { request, response } of accepted) {
      const given = amountOf(request.body);
      const text = given === null ? '0' : String(given).trim();
      const stored = roundUpToMilli(parseQuantity(text));
      expect(formatQuantity(stored), text).to.equal(amountOf(response.body));
    }
  });

  it('goes beyond the recorded ones', () => {
    const forms: readonly (readonly [string, string])[] = [
      ['0.9n', '1n'],
      ['-0.9n', '-1n'],
      ['1.500', '1.500'],
      ['1.5000', '1500m'],
      ['1000E', '1e21'],
      ['0.5Ki', '512'],
      ['1.1Ki', '1126400m'],
      ['-1.5Gi', '-1536Mi'],
      ['8Ei', '9223372036854775807'],
      ['16Gi', '16Gi'],
      ['1024Ki', '1Mi'],
      ['1e+3', '1e+3'],
      ['1.5e1', '1.5e1'],
      ['1.5e2', '150'],
      ['+', '0'],
    ];
    for (const [text, form] of forms) expect(canonicalQuantity(text), text).to.equal(form);
  });

  it('refuses exponents whose digits it would have to count out', () => {
    expect(() => parseQuantity('1e1001')).to.throw("unable to parse quantity's suffix");
    expect(value(parseQuantity('1e-1000'))).to.equal(1);
  });
});

describe('quantity: arithmetic', () => {
  const amount = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n });
  const quantity = amount.map((nanos) => ({ nanos, format: 'decimalSI' as const }));

  it('keeps the amount through text', () => {
    const formats = fc.constantFrom('decimalSI', 'binarySI', 'decimalExponent');
    fc.assert(
      fc.property(amount, formats, (nanos, format) => {
        const text = formatQuantity({ nanos, format });
        expect(parseQuantity(text).nanos, text).to.equal(nanos);
      }),
    );
  });

  it('adds, subtracts and compares exactly', () => {
    fc.assert(
      fc.property(quantity, quantity, (a, b) => {
        const sum = addQuantities(a, b);
        expect(subtractQuantities(sum, b).nanos).to.equal(a.nanos);
        expect(Math.sign(compareQuantities(a, b))).to.equal(
          Number(a.nanos > b.nanos) - Number(a.nanos < b.nanos),
        );
      }),
    );
  });

  it('writes a sum in the format of the first that is not zero', () => {
    const sum = (a: string, b: string): string =>
      formatQuantity(addQuantities(parseQuantity(a), parseQuantity(b)));
    expect(sum('1Gi', '512M')).to.equal('1548576Ki');
    expect(sum('0', '1Gi')).to.equal('1Gi');
    expect(sum('100m', '0.9')).to.equal('1');
    expect(formatQuantity(quantityOf(2048, 'binarySI'))).to.equal('2Ki');
    expect(formatQuantity(milliQuantityOf(1500))).to.equal('1500m');
  });

  it('rounds away from zero', () => {
    const both = (text: string): number[] => [value, milli].map((of) => of(parseQuantity(text)));
    expect(both('100m')).to.eql([1, 100]);
    expect(both('1.0001')).to.eql([2, 1001]);
    expect(both('-1.5')).to.eql([-2, -1500]);
    expect(both('2Gi')).to.eql([2147483648, 2147483648000]);
  });
});
