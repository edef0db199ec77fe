/** What one flag is: the row type of the table in flags.ts. */
export interface FlagSpec {
  readonly name: string;
  readonly type: FlagType;
  /** As it would be written on a command line. */
  readonly default: string;
  readonly group: FlagGroup;
  /** One line for `--help` and the documentation. */
  readonly doc: string;
  /** Only for type `choice`. */
  readonly choices?: readonly string[];
  readonly effect: 'served' | 'ignored' | 'refused';
  /** Completes "--name ..." in the warning or refusal of a flag that is not served. */
  readonly note?: string;
  /** Older names that are accepted with a warning. */
  readonly aliases?: readonly string[];
  /** Dotted key in a config file when it is not the flag's name; null when a file cannot set it. */
  readonly fileKey?: string | null;
  /** The feature gate that this boolean flag is an older spelling of. */
  readonly gate?: string;
}

export type FlagType =
  | 'bool'
  | 'string'
  | 'choice'
  | 'int'
  | 'uint'
  | 'uint32'
  | 'duration'
  | 'urls'
  | 'list'
  /** Accepts and forgets any value. */
  | 'legacy';

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
export type FlagGroup = (typeof FLAG_GROUPS)[number];
