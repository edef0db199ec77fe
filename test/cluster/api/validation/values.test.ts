/** Checks of single values. */
import { expect } from 'chai';
import type { FieldError } from '../../../../src/cluster/api/status.js';
import {
  percentOf,
  validateIpLoosely,
  validateNonNegative,
  validateNonNegativeIntOrPercent,
  validateOneOf,
  validatePort,
  validatePortReference,
  validateRange,
  validateUserId,
} from '../../../../src/cluster/api/validation/values.js';

const messages = (errors: readonly FieldError[]): string[] => errors.map(({ message }) => message);

describe('checks of values', () => {
  it('numbers', () => {
    expect(messages(validateNonNegative('a', -1))).to.deep.equal([
      'Invalid value: -1: must be greater than or equal to 0',
    ]);
    expect([validateNonNegative('a', 0), validateNonNegative('a', undefined)].flat()).to.deep.equal(
      [],
    );
    expect(messages(validateRange('a', 5, 1, 4))).to.deep.equal([
      'Invalid value: 5: must be between 1 and 4, inclusive',
    ]);
    expect([validateRange('a', 1, 1, 4), validateRange('a', 4, 1, 4)].flat()).to.deep.equal([]);
    expect(validateUserId('a', 2 ** 31)).to.have.lengthOf(1);
    expect(validatePort('a', 0)).to.have.lengthOf(1);
    expect(validatePort('a', 65_535)).to.deep.equal([]);
  });

  it('a port by number or name', () => {
    expect(validatePortReference('a', 'http')).to.deep.equal([]);
    expect(validatePortReference('a', 70_000)).to.have.lengthOf(1);
    expect(validatePortReference('a', '80')).to.have.lengthOf(1);
  });

  it('a number or a percentage', () => {
    expect([percentOf('25%'), percentOf('x'), percentOf(3)]).to.deep.equal([
      25,
      undefined,
      undefined,
    ]);
    expect(validateNonNegativeIntOrPercent('a', '25%')).to.deep.equal([]);
    expect(validateNonNegativeIntOrPercent('a', -1)).to.have.lengthOf(1);
    expect(validateNonNegativeIntOrPercent('a', '25')).to.have.lengthOf(1);
  });

  it('one of a few texts', () => {
    expect(validateOneOf('a', 'B', ['A', 'B'])).to.deep.equal([]);
    expect(messages(validateOneOf('a', undefined, ['A']))).to.deep.equal([
      'Unsupported value: "": supported values: "A"',
    ]);
    expect(messages(validateOneOf('a', undefined, ['A'], true))).to.deep.equal(['Required value']);
  });

  it('addresses', () => {
    for (const ip of ['10.0.0.1', '::1', 'FE80:0:0:0:0:0:0:1'])
      expect(validateIpLoosely('a', ip)).to.deep.equal([]);
    expect(messages(validateIpLoosely('a', '10.0.0.01'))).to.deep.equal([
      'Invalid value: "10.0.0.01": must not have leading 0s',
    ]);
    expect(messages(validateIpLoosely('a', '::ffff:10.0.0.1'))).to.deep.equal([
      'Invalid value: "::ffff:10.0.0.1": must not be an IPv4-mapped IPv6 address',
    ]);
    expect(messages(validateIpLoosely('a', '10.0.0'))).to.deep.equal([
      'Invalid value: "10.0.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ]);
  });
});
