/**
 * Addresses of pods, taken from the node's range. Each address in use is a file that names its
 * owner and can be created only once, so that no crash gives an address twice.
 */
import { mkdirSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '../../runtime.js';
import { codeOf, namesIn, readText } from '../../state-files.js';

const IPV4_BITS = 32;
/** The network's own address and the first, which by custom is the node's. */
const RESERVED_FIRST = 2;
/** The broadcast address. */
const RESERVED_LAST = 1;

export class Addresses {
  private readonly dir: string;
  private readonly first: number;
  private readonly count: number;
  private next = 0;

  /** `cidr` is IPv4: `10.244.1.0/24`. Throws: RuntimeError InvalidArgument. */
  constructor(dir: string, cidr: string) {
    const { base, bits } = parseCidr(cidr);
    this.dir = dir;
    this.first = base + RESERVED_FIRST;
    this.count = 2 ** (IPV4_BITS - bits) - RESERVED_FIRST - RESERVED_LAST;
    if (this.count < 1) {
      throw new RuntimeError('InvalidArgument', `pod range ${cidr} has no room for pods`);
    }
    mkdirSync(dir, { recursive: true });
  }

  /** An address that nobody has. A freed one comes last, because others may remember it. */
  async take(owner: string): Promise<string> {
    for (let i = 0; i < this.count; i++) {
      const address = formatIpv4(this.first + this.next);
      this.next = (this.next + 1) % this.count;
      try {
        await writeFile(join(this.dir, address), owner, { flag: 'wx' });
        return address;
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
      }
    }
    throw new RuntimeError('Internal', 'no address left in the range of pods of this node');
  }

  /** Gives the address back if `owner` has it. */
  async release(address: string, owner: string): Promise<void> {
    if ((await readText(join(this.dir, address))) !== owner) return;
    await rm(join(this.dir, address), { force: true });
  }

  /** After a crash: frees what belongs to nobody. */
  async keepOnly(isOwner: (owner: string) => boolean): Promise<void> {
    for (const address of namesIn(this.dir)) {
      const owner = await readText(join(this.dir, address));
      if (owner === undefined || isOwner(owner)) continue;
      await rm(join(this.dir, address), { force: true });
    }
  }
}

/** Hardware address made of an address, as other container networks do: no two pods have the same. */
export function macOf(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return `0a:58:${bytes.join(':')}`;
}

function parseCidr(cidr: string): { base: number; bits: number } {
  const match = /^(\d{1,3})[.](\d{1,3})[.](\d{1,3})[.](\d{1,3})\/(\d{1,2})$/.exec(cidr);
  const numbers = match?.slice(1).map(Number) ?? [];
  const bits = numbers.pop() ?? IPV4_BITS + 1;
  const isValid = numbers.length === 4 && numbers.every((byte) => byte < 256) && bits <= IPV4_BITS;
  if (!isValid) {
    throw new RuntimeError('InvalidArgument', `pod range "${cidr}" is not an IPv4 network`);
  }
  const address = numbers.reduce((value, byte) => value * 256 + byte, 0);
  const size = 2 ** (IPV4_BITS - bits);
  return { base: address - (address % size), bits };
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}
