/** One prefix byte per bucket. */
export const Bucket = {
  key: 0x6b,
  lease: 0x6c,
  meta: 0x6d,
  members: 0x6e,
  membersRemoved: 0x6f,
  alarm: 0x70,
  cluster: 0x71,
  auth: 0x72,
  authUsers: 0x73,
  authRoles: 0x74,
} as const;
export type Bucket = (typeof Bucket)[keyof typeof Bucket];
/** Buckets whose rows are read and written one by one; the key bucket belongs to the row log. */
export type PlainBucket = Exclude<Bucket, typeof Bucket.key>;

export const FIRST_BUCKET = Bucket.key;
export const LAST_BUCKET = Bucket.authRoles;

export const MetaKey = {
  consistentIndex: 'consistent_index',
  term: 'term',
  confState: 'confState',
  scheduledCompact: 'scheduledCompactRev',
  finishedCompact: 'finishedCompactRev',
  /** Format of the image (format.ts). */
  format: 'format',
  /** Rows that the image must hold (witness.ts). */
  witness: 'witness',
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Bucket).map(([name, byte]) => [byte, name]),
);

/** The bucket's name for messages, or undefined when no bucket has this prefix. */
export function bucketName(prefix: number): string | undefined {
  return NAMES.get(prefix);
}

/** The engine key of a row: its bucket's prefix, then its key. */
export function fullKey(bucket: Bucket, key: Uint8Array): Uint8Array {
  const full = new Uint8Array(key.length + 1);
  full[0] = bucket;
  full.set(key, 1);
  return full;
}

/** The engine key of a meta row. */
export function metaKey(name: string): Uint8Array {
  return fullKey(Bucket.meta, Buffer.from(name, 'latin1'));
}
