/** One flag: the row type of a table of flags. */
export interface FlagSpec<Group extends string = string> {
  readonly name: string;
  readonly type: FlagType;
  /** As it would be written on a command line. */
  readonly default: string;
  readonly group: Group;
  /** One sentence or two for `--help` and the documentation. */
  readonly doc: string;
  /** The accepted values of a `choice`, or of the items of a `list`. */
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
