/** Rules of names: what they accept, against patterns of their own, and what they say. */
import { expect } from 'chai';
import {
  configKeyProblems,
  dnsLabel1035Problems,
  dnsLabelProblems,
  envVarNameProblems,
  headerNameProblems,
  labelValueProblems,
  pathSegmentPrefixProblems,
  pathSegmentProblems,
  percentProblems,
  portNameProblems,
  qualifiedNameProblems,
  searchDomainProblems,
  subdomainProblems,
  type TextRule,
} from '../../../../src/cluster/api/validation/names.js';

const long = (length: number): string => 'a'.repeat(length);

/** Rule, texts that it accepts, texts that it refuses. */
const RULES: readonly (readonly [string, TextRule, readonly string[], readonly string[]])[] = [
  ['label', dnsLabelProblems, ['a', '0-a', long(63)], ['', 'A', '-a', 'a-', 'a.b', long(64)]],
  ['1035 label', dnsLabel1035Problems, ['a', 'a-0'], ['', '0a', 'a.b', 'A', long(64)]],
  [
    'subdomain',
    subdomainProblems,
    ['a', 'a.b-c.0', long(253)],
    ['', 'a..b', '.a', 'a_', long(254)],
  ],
  ['search domain', searchDomainProblems, ['_a.b', 'a_b'], ['', 'a.', '-a']],
  [
    'qualified name',
    qualifiedNameProblems,
    ['a', 'A_b.c', 'example.com/a', `${long(253)}/${long(63)}`],
    ['', 'a/', '/a', 'a/b/c', 'A.com/a', '-a', long(64)],
  ],
  ['label value', labelValueProblems, ['', 'A_b.c', long(63)], ['-a', 'a b', 'é', long(64)]],
  [
    'config key',
    configKeyProblems,
    ['a', '.a', 'A_b-c', '-'],
    ['', '.', '..', '..a', 'a/b', long(254)],
  ],
  ['environment', envVarNameProblems, ['A', '1', 'a b', '-'], ['', 'a=b', 'é', 'a\n']],
  ['port name', portNameProblems, ['http', '8a'], ['', '80', 'a--b', '-a', 'A', long(16)]],
  ['percent', percentProblems, ['0%', '250%'], ['', '5', '-5%', '1.5%']],
  ['header', headerNameProblems, ['X-A'], ['', 'a b', 'a:']],
  ['path segment', pathSegmentProblems, ['a:b', 'A b'], ['.', '..', 'a/b', '50%']],
  ['path segment prefix', pathSegmentPrefixProblems, ['.', 'a'], ['a/', '%']],
];

describe('rules of names', () => {
  for (const [name, rule, accepted, refused] of RULES) {
    it(name, () => {
      for (const text of accepted) expect(rule(text), text).to.deep.equal([]);
      for (const text of refused) expect(rule(text), text).to.not.deep.equal([]);
    });
  }

  it('say all that is wrong', () => {
    expect(portNameProblems('-A--B-toolongname-')).to.deep.equal([
      'must be no more than 15 characters',
      'must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
      'must not contain consecutive hyphens',
      'must not begin or end with a hyphen',
    ]);
    expect(qualifiedNameProblems('/')).to.deep.equal([
      'prefix part must be non-empty',
      'name part must be non-empty',
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ]);
    expect(qualifiedNameProblems(`${long(254)}/${long(64)}`)).to.deep.equal([
      'prefix part must be no more than 253 bytes',
      'name part must be no more than 63 bytes',
    ]);
    expect(dnsLabelProblems('a.b')).to.deep.equal(['must not contain dots']);
  });

  it('answer for a long text at once', () => {
    const text = `${'a.'.repeat(500_000)}!`;
    for (const [, rule] of RULES) rule(text);
    expect(subdomainProblems(text)).to.have.lengthOf(2);
  });
});
