import type { FlagSpec } from '../../base/flags/spec.js';

/** Headings of the server's `--help`, in its order. */
export const FLAG_GROUPS = [
  'Member',
  'Clustering',
  'Limits',
  'Compaction',
  'Logging and monitoring',
  'Security',
  'Auth',
  'Discovery',
  'Only in mainstay',
  'Unsafe',
  'Accepted for compatibility',
] as const;

/** A row of the server's table. */
export type ServerFlag = FlagSpec<(typeof FLAG_GROUPS)[number]>;
