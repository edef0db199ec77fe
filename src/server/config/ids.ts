import { createHash } from 'node:crypto';

/**
 * The id of a member that is part of a bootstrap, equal to etcd's for the same flags. It is the
 * first eight bytes of SHA-1 over its peer URLs, sorted and joined, and the cluster token.
 */
export function bootstrapMemberId(peerUrls: readonly string[], clusterToken: string): bigint {
  const hash = createHash('sha1');
  for (const url of [...peerUrls].sort()) hash.update(url);
  return hash.update(clusterToken).digest().readBigUInt64BE(0);
}

/** The id of a cluster: the first eight bytes of SHA-1 over its bootstrap members' ids, ascending, 8 bytes each. */
export function bootstrapClusterId(memberIds: readonly bigint[]): bigint {
  const sorted = [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const bytes = Buffer.alloc(8 * sorted.length);
  sorted.forEach((id, i) => bytes.writeBigUInt64BE(id, 8 * i));
  return createHash('sha1').update(bytes).digest().readBigUInt64BE(0);
}
