import { BlockList, SocketAddress } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  cidrWarnings,
  ipText,
  ipWarnings,
  isInBlock,
  parseIp,
  parseIpBlock,
  validateCidrLoosely,
  validateEndpointIp,
} from '../../../../src/cluster/api/validation/ip.js';
import { validateIpLoosely } from '../../../../src/cluster/api/validation/values.js';

const anyAddress = fc.oneof(fc.ipV4(), fc.ipV6());

describe('IP addresses', () => {
  it('are written as Node writes them, whatever their notation', () => {
    fc.assert(
      fc.property(anyAddress, (text) => {
        const address = parseIp(text);
        if (address === undefined) throw new Error('an address was refused');
        const family = text.includes(':') ? 'ipv6' : 'ipv4';
        const theirs = new SocketAddress({ address: text, family }).address;
        const plain = theirs.startsWith('::ffff:') ? theirs.slice('::ffff:'.length) : theirs;
        // Node shows the deprecated IPv4-compatible addresses with dots.
        const isCompatible = family === 'ipv6' && plain.startsWith('::') && plain.includes('.');
        if (!isCompatible) expect(ipText(address)).to.equal(plain);
        expect(parseIp(ipText(address))?.bytes).to.deep.equal(address.bytes);
      }),
    );
  });

  it('are in a block exactly if the BlockList of Node says so', () => {
    fc.assert(
      fc.property(anyAddress, fc.nat(127), fc.nat(128), (network, flipped, bits) => {
        const family = network.includes(':') ? 'ipv6' : 'ipv4';
        const length = family === 'ipv6' ? 128 : 32;
        const block = parseIpBlock(`${network}/${bits % (length + 1)}`);
        if (block === undefined) throw new Error('a block was refused');
        // Of an IPv4 address within IPv6 the two have different views.
        fc.pre(!block.address.isMapped);
        const bytes = block.address.bytes.slice();
        const at = flipped % length;
        bytes[at >> 3] = (bytes[at >> 3] ?? 0) ^ (0x80 >> (at & 7));
        const other = { ...block.address, bytes };
        const list = new BlockList();
        list.addSubnet(network, block.prefixBits, family);
        expect(isInBlock(other, block)).to.equal(list.check(ipText(other), family));
        expect(isInBlock(block.address, block)).to.equal(true);
      }),
    );
  });

  it('are nothing else', () => {
    for (const text of ['', 'x', '1.2.3', '1.2.3.256', '1.2.3.4.5', ':', '1::2::3', 'fe80::1%eth0'])
      expect(parseIp(text), text).to.equal(undefined);
    for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '/8', 'fd00::/129', '1.2.3.4/x'])
      expect(parseIpBlock(text), text).to.equal(undefined);
  });

  it('may be written with leading zeros, which are noted', () => {
    expect(parseIp('010.0.0.1')).to.deep.include({ hasLeadingZero: true });
    expect(parseIp('10.0.0.1')).to.deep.include({ hasLeadingZero: false });
    expect(parseIp('::ffff:10.0.0.1')).to.deep.include({ family: 'IPv4', isMapped: true });
  });
});

describe('findings on addresses', () => {
  const messages = (found: readonly { message: string }[]): string[] =>
    found.map(({ message }) => message.replace('Invalid value: ', ''));

  it('refuse blocks that others would read differently', () => {
    const cases = {
      '10.0.0.0/8': [],
      '10.0.0.1/32': [],
      'fd00::/8': [],
      x: ['"x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'],
      '10.0.0.1/8': ['"10.0.0.1/8": must not have bits set beyond the prefix length'],
      '010.0.0.0/8': ['"010.0.0.0/8": must not have leading 0s in IP or prefix length'],
      '10.0.0.0/08': ['"10.0.0.0/08": must not have leading 0s in IP or prefix length'],
      '::ffff:10.0.0.0/104': ['"::ffff:10.0.0.0/104": must not have an IPv4-mapped IPv6 address'],
    };
    for (const [value, expected] of Object.entries(cases))
      expect(messages(validateCidrLoosely('f', value)), value).to.deep.equal(expected);
    expect(validateCidrLoosely('f', '10.0.0.1/8', ['10.0.0.1/8'])).to.deep.equal([]);
  });

  it('refuse addresses that others would read differently', () => {
    const cases = {
      '10.0.0.1': [],
      'FD00::1': [],
      'fe80::1%eth0': [
        '"fe80::1%eth0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      ],
      '010.0.0.1': ['"010.0.0.1": must not have leading 0s'],
      '::ffff:10.0.0.1': ['"::ffff:10.0.0.1": must not be an IPv4-mapped IPv6 address'],
    };
    for (const [value, expected] of Object.entries(cases))
      expect(messages(validateIpLoosely('f', value)), value).to.deep.equal(expected);
  });

  it('refuse addresses that lead nowhere', () => {
    const cases = {
      '10.0.0.1': '',
      '0.0.0.0': 'may not be unspecified (0.0.0.0)',
      '::': 'may not be unspecified (::)',
      '127.9.9.9': 'may not be in the loopback range (127.0.0.0/8, ::1/128)',
      '::1': 'may not be in the loopback range (127.0.0.0/8, ::1/128)',
      '169.254.1.1': 'may not be in the link-local range (169.254.0.0/16, fe80::/10)',
      'fe80::1': 'may not be in the link-local range (169.254.0.0/16, fe80::/10)',
      '224.0.0.9': 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
      '224.0.1.9': '',
      'ff02::1': 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
    };
    for (const [value, expected] of Object.entries(cases)) {
      const found = validateEndpointIp('f', value);
      const problem = found.map(({ message }) =>
        message.replace(`Invalid value: "${value}": `, ''),
      );
      expect(problem, value).to.deep.equal(expected === '' ? [] : [expected]);
    }
  });

  it('warn of IPv6 in an unusual notation', () => {
    expect(ipWarnings('f', 'fd00::1')).to.deep.equal([]);
    expect(ipWarnings('f', 'FD00:0::1')).to.deep.equal([
      'f: IPv6 address "FD00:0::1" should be in RFC 5952 canonical format ("fd00::1")',
    ]);
    expect(cidrWarnings('f', 'FD00::/8')).to.deep.equal([
      'f: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format ("fd00::/8")',
    ]);
    expect(cidrWarnings('f', '10.0.0.0/8')).to.deep.equal([]);
  });
});
