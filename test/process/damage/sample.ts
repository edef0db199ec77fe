import { cpSync } from 'node:fs';
import { createNodeEnv } from '../../../src/base/env/node.js';
import {
  encodeAlarmRequest,
  encodeCompactionRequest,
  encodeDeleteRangeRequest,
  encodeLeaseGrantRequest,
  encodeLeaseRevokeRequest,
  encodePutRequest,
} from '../../../src/gen/rpc.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import type { Member } from '../../../src/server/member/member.js';
import { Random } from '../../raft/support/random.js';
import { contentOf, historyHashOf, linearizable, LocalCluster, stop } from './members.js';

/** Data directories of members that stopped, and what they held. */
export interface Sample {
  readonly name: string;
  /** One directory a member. */
  readonly dirs: readonly string[];
  /** Content that every member holds. */
  readonly content: string;
  /** HashKV's result for it, see `historyHash`. */
  readonly historyHash: string;
}

const ENTRIES = 420;
const KEYS = 40;
const LEASE_TTL_SEC = 1_000_000;

/**
 * Makes a member, or several of which the last one received an image. Their data holds puts,
 * deletes, leases, an alarm and compactions. Stops them in order (`<name>/stopped`) and, as of the
 * moment before, as if they had been killed (`<name>/killed`).
 */
export async function makeSamples(dir: string, size: number, seed: number): Promise<Sample[]> {
  const dirOf = (i: number): string => `${dir}/stopped/m${i + 1}`;
  const env = createNodeEnv();
  const cluster = new LocalCluster({ size, dataDir: dirOf, env: () => env });
  const random = new Random(seed);
  // The last of several comes late and gets an image instead of the log.
  const early = Math.max(1, size - 1);
  const members = await Promise.all(Array.from({ length: early }, (_, i) => cluster.open(i)));
  await write(await leaderOf(members), random, 1, ENTRIES / 2);
  for (let i = early; i < size; i++) members.push(await cluster.open(i));
  await Promise.all(members.map((member) => linearizable(member)));
  await write(await leaderOf(members), random, ENTRIES / 2 + 1, ENTRIES);
  await Promise.all(members.map((member) => linearizable(member)));
  const contents = await Promise.all(members.map((member) => contentOf(member)));
  const [content = ''] = contents;
  if (contents.some((other) => other !== content)) throw new Error('the members differ');
  const historyHash = await historyHashOf(members[0] as Member);
  cpSync(`${dir}/stopped`, `${dir}/killed`, { recursive: true });
  await Promise.all(members.map(stop));
  return ['stopped', 'killed'].map((kind) => ({
    name: `${size === 1 ? 'single' : `one of ${size}`}, ${kind}`,
    dirs: members.map((_, i) => `${dir}/${kind}/m${i + 1}`),
    content,
    historyHash,
  }));
}

async function leaderOf(members: readonly Member[]): Promise<Member> {
  const first = members[0] as Member;
  await new Promise<void>((resolve) => first.leadership.onceLed(resolve));
  return members.find((member) => member.memberId === first.leadership.leaderId) as Member;
}

async function write(member: Member, random: Random, from: number, to: number): Promise<void> {
  const propose = (kind: CommandKind, request: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      member.roles.proposals.propose(kind, request, (error) =>
        error === null ? resolve() : reject(new Error(error.message)),
      );
    });
  const key = (): Uint8Array => Buffer.from(`key/${String(random.below(KEYS)).padStart(3, '0')}`);
  let lastLease = 0;
  for (let i = from; i <= to; i++) {
    const lease = lastLease === 0 || random.chance(700) ? 0n : BigInt(lastLease);
    if (i % 15 === 0) {
      lastLease = i;
      await propose(
        CommandKind.leaseGrant,
        encodeLeaseGrantRequest({ ID: BigInt(i), TTL: LEASE_TTL_SEC }),
      );
    } else if (i % 50 === 7 && lastLease > 60) {
      await propose(CommandKind.leaseRevoke, encodeLeaseRevokeRequest({ ID: BigInt(lastLease) }));
      lastLease = 0;
    } else if (i % 120 === 0) {
      await propose(
        CommandKind.compact,
        encodeCompactionRequest({ revision: member.store.currentRevision - 20 }),
      );
    } else if (i === 200) {
      await propose(CommandKind.alarm, encodeAlarmRequest({ action: 1, memberID: 1n, alarm: 2 }));
      await propose(CommandKind.alarm, encodeAlarmRequest({ action: 2, memberID: 1n, alarm: 2 }));
    } else if (random.chance(150)) {
      await propose(CommandKind.deleteRange, encodeDeleteRangeRequest({ key: key() }));
    } else {
      await propose(
        CommandKind.put,
        encodePutRequest({
          key: key(),
          value: Buffer.from(`${i} `.repeat(10 + random.below(60))),
          lease,
        }),
      );
    }
  }
}
