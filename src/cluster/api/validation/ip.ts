/** IP addresses and CIDR blocks in fields of objects, with the texts of Kubernetes. */
import { isIPv4, isIPv6 } from 'node:net';
import type { FieldError } from '../status.js';
import { fieldInvalid } from './field-error.js';

export type IpFamily = 'IPv4' | 'IPv6';

export interface IpAddress {
  readonly family: IpFamily;
  readonly bytes: Uint8Array;
  /** Within IPv6, as `::ffff:1.2.3.4`. `family` is IPv4 and `bytes` are its four. */
  readonly isMapped: boolean;
  /** A number of an IPv4 address begins with a zero, which others read as octal. */
  readonly hasLeadingZero: boolean;
}

export interface IpBlock {
  readonly address: IpAddress;
  readonly prefixBits: number;
  readonly hasLeadingZero: boolean;
}

/** An address in any notation, without a zone; undefined if it is none. */
export function parseIp(text: string): IpAddress | undefined {
  if (!text.includes(':')) return parseIpv4(text);
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const bytes = ipv6Bytes(text);
  const isMapped = bytes.subarray(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 0xff));
  return isMapped
    ? { family: 'IPv4', bytes: bytes.subarray(12), isMapped, hasLeadingZero: false }
    : { family: 'IPv6', bytes, isMapped, hasLeadingZero: false };
}

function parseIpv4(text: string): IpAddress | undefined {
  const plain = text.replace(/(^|\.)0+(?=\d)/g, '$1');
  if (!isIPv4(plain)) return undefined;
  const bytes = Uint8Array.from(plain.split('.').map(Number));
  return { family: 'IPv4', bytes, isMapped: false, hasLeadingZero: plain !== text };
}

function ipv6Bytes(text: string): Uint8Array {
  const [head = '', tail = ''] = text.split('::');
  const left = groups(head);
  const right = groups(tail);
  const bytes = new Uint8Array(16);
  bytes.set(left, 0);
  bytes.set(right, 16 - right.length);
  return bytes;
}

function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** `10.0.0.0/8`, of any notation; undefined if it is no block. */
export function parseIpBlock(text: string): IpBlock | undefined {
  const at = text.indexOf('/');
  const address = parseIp(at === -1 ? '' : text.slice(0, at));
  const bits = text.slice(at + 1);
  if (address === undefined || !/^\d+$/.test(bits)) return undefined;
  const max = text.includes(':') ? 128 : 32;
  if (Number(bits) > max) return undefined;
  return {
    address,
    prefixBits: Number(bits),
    hasLeadingZero: address.hasLeadingZero || String(Number(bits)) !== bits,
  };
}

/** The address with the bits beyond the prefix set to zero. */
function networkOf({ address, prefixBits }: IpBlock): Uint8Array {
  return address.bytes.map((byte, at) => {
    const kept = Math.min(8, Math.max(0, prefixBits - at * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
}

export function isInBlock(address: IpAddress, block: IpBlock): boolean {
  if (address.family !== block.address.family) return false;
  const network = networkOf({ ...block, address });
  return networkOf(block).every((byte, at) => byte === network[at]);
}

/** The notation that Kubernetes writes: RFC 5952 for IPv6. */
export function ipText({ family, bytes }: IpAddress): string {
  if (family === 'IPv4') return bytes.join('.');
  const hex = Array.from({ length: 8 }, (_, at) =>
    (((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${hex.join(':')}]`).hostname.slice(1, -1);
}

/**
 * A block as older fields take it. `accepted` are values that the stored object has already; they
 * stay valid.
 */
export function validateCidrLoosely(
  field: string,
  value: string,
  accepted: readonly string[] = [],
): FieldError[] {
  if (accepted.includes(value)) return [];
  const problem = cidrProblem(value);
  return problem === '' ? [] : [fieldInvalid(field, value, problem)];
}

function cidrProblem(value: string): string {
  const block = parseIpBlock(value);
  if (block === undefined) return 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
  if (block.hasLeadingZero) return 'must not have leading 0s in IP or prefix length';
  if (block.address.isMapped) return 'must not have an IPv4-mapped IPv6 address';
  if (networkOf(block).some((byte, at) => byte !== block.address.bytes[at]))
    return 'must not have bits set beyond the prefix length';
  return '';
}

/** An address that traffic can be sent to: not unspecified, loopback or link-local. */
export function validateEndpointIp(field: string, value: string): FieldError[] {
  const address = parseIp(value);
  if (address === undefined) return [fieldInvalid(field, value, 'must be a valid IP address')];
  const found = SPECIAL_RANGES.filter(({ includes }) => includes(address));
  return found.map(({ problem }) => fieldInvalid(field, value, problem(value)));
}

const SPECIAL_RANGES: readonly {
  readonly includes: (address: IpAddress) => boolean;
  readonly problem: (value: string) => string;
}[] = [
  {
    includes: ({ bytes }) => bytes.every((byte) => byte === 0),
    problem: (value) => `may not be unspecified (${value})`,
  },
  {
    includes: inRanges('127.0.0.0/8', '::1/128'),
    problem: () => 'may not be in the loopback range (127.0.0.0/8, ::1/128)',
  },
  {
    includes: inRanges('169.254.0.0/16', 'fe80::/10'),
    problem: () => 'may not be in the link-local range (169.254.0.0/16, fe80::/10)',
  },
  {
    includes: inRanges('224.0.0.0/24', 'ff02::/16'),
    // The text names ff02::/10, as Kubernetes does.
    problem: () => 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
  },
];

function inRanges(...texts: string[]): (address: IpAddress) => boolean {
  const blocks = texts.map(parseIpBlock).filter((block) => block !== undefined);
  return (address) => blocks.some((block) => isInBlock(address, block));
}

/** Warning about an IPv6 address that is valid but not in the canonical form; else empty. */
export function ipWarnings(field: string, value: string): string[] {
  const address = parseIp(value);
  if (address?.family !== 'IPv6' || ipText(address) === value) return [];
  const canonical = ipText(address);
  return [
    `${field}: IPv6 address "${value}" should be in RFC 5952 canonical format ("${canonical}")`,
  ];
}

export function cidrWarnings(field: string, value: string): string[] {
  const block = parseIpBlock(value);
  if (block?.address.family !== 'IPv6') return [];
  const canonical = `${ipText(block.address)}/${block.prefixBits}`;
  if (canonical === value) return [];
  return [
    `${field}: IPv6 CIDR value "${value}" should be in RFC 5952 canonical format ("${canonical}")`,
  ];
}
