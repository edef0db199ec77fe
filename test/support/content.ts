import type { EtcdClient } from '../../src/client/client.js';

import type { KeyValue } from '../../src/gen/kv.js';

/** Everything clients can see of a member's data, as JSON holds it. */
export interface Content {
  readonly revision: number;
  readonly compactRevision: number;
  readonly hash: number;
  readonly kvs: readonly string[];
  /** The same as of half-way between the compaction and the head. */
  readonly olderKvs: readonly string[];
  readonly leases: readonly string[];
  readonly members: readonly string[];
}

const ALL = { key: Buffer.of(0), rangeEnd: Buffer.of(0) };
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

export async function contentOf(client: EtcdClient): Promise<Content> {
  const head = await client.kv.range(ALL);
  const revision = head.header?.revision ?? 0;
  const { hash, compactRevision } = await client.maintenance.hashKv(revision);
  const older = await client.kv.range({ ...ALL, revision: (revision + compactRevision) >> 1 });
  return {
    revision,
    compactRevision,
    hash,
    kvs: head.kvs.map(rowText),
    olderKvs: older.kvs.map(rowText),
    leases: await leasesOf(client),
    members: await membersOf(client),
  };
}

function rowText(kv: KeyValue): string {
  const { createRevision, modRevision, version, lease } = kv;
  return `${text(kv.key)} ${createRevision} ${modRevision} ${version} ${lease} ${text(kv.value)}`;
}

async function leasesOf(client: EtcdClient): Promise<string[]> {
  const found: string[] = [];
  for (const { ID } of (await client.lease.leases()).leases) {
    const one = await client.lease.timeToLive({ ID, keys: true });
    found.push(`${ID} ${one.grantedTTL} ${one.keys.map(text).sort().join()}`);
  }
  return found.sort();
}

async function membersOf(client: EtcdClient): Promise<string[]> {
  const { members } = await client.cluster.memberList({ linearizable: true });
  return members.map(({ ID, name, peerURLs }) => `${ID} ${name} ${peerURLs.join()}`);
}
