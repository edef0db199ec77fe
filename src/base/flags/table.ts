import type { FlagSpec } from './spec.js';

/** The flags of one program, and how its command line, variables and file are called. */
export interface FlagTableSpec<Served extends readonly FlagSpec[]> {
  /** As a person types it, for instance `mainstay server`. */
  readonly command: string;
  /** Purpose of the program: the first paragraph of `--help`. */
  readonly summary: string;
  /** Prefix of its environment variables, such as `ETCD_`. */
  readonly envPrefix: string;
  /** Headings of `--help`, in its order. */
  readonly groups: readonly string[];
  /** Rows whose values the program uses. The type of every value follows from its row. */
  readonly served: Served;
  /** Rows that are accepted or refused without an effect. */
  readonly others: readonly FlagSpec[];
  /** Complete warnings for names that should not be used any more. */
  readonly deprecations: Readonly<Record<string, string>>;
  /** Keys that config files of older releases hold: accepted, with a warning. */
  readonly formerKeys: readonly string[];
}

/** The flag that a name on a command line, in a variable or in a file stands for. */
export interface FlagMatch {
  readonly spec: FlagSpec;
  /** The name that was used. */
  readonly name: string;
}

/**
 * The one table of a program's flags. It drives the command line, the variables, the config file, `--help` and the
 * reference in the documentation; a flag exists nowhere else.
 */
export class FlagTable<Served extends readonly FlagSpec[] = readonly FlagSpec[]> {
  readonly spec: FlagTableSpec<Served>;
  readonly rows: readonly FlagSpec[];
  /** Keys of a config file that hold further keys. */
  readonly sections: ReadonlySet<string>;
  private readonly byName = new Map<string, FlagMatch>();
  private readonly byKey = new Map<string, FlagMatch>();
  private readonly byVariable = new Map<string, FlagMatch>();

  constructor(spec: FlagTableSpec<Served>) {
    this.spec = spec;
    this.rows = [...spec.served, ...spec.others];
    const sections = new Set<string>();
    for (const row of this.rows) {
      for (const name of [row.name, ...(row.aliases ?? [])]) {
        const match = { spec: row, name };
        this.byName.set(name, match);
        this.byVariable.set(this.variable(name), match);
        if (row.fileKey !== null || name !== row.name) {
          this.byKey.set(name === row.name ? (row.fileKey ?? name) : name, match);
        }
      }
      const key = row.fileKey ?? '';
      for (let at = key.indexOf('.'); at > 0; at = key.indexOf('.', at + 1)) {
        sections.add(key.slice(0, at));
      }
    }
    this.sections = sections;
  }

  /** Finds a flag by its name or an older name. */
  find(name: string): FlagMatch | undefined {
    return this.byName.get(name);
  }

  /** Finds a flag by its dotted key in a config file. */
  findKey(key: string): FlagMatch | undefined {
    return this.byKey.get(key);
  }

  /** Finds a flag by its environment variable. */
  findVariable(variable: string): FlagMatch | undefined {
    return this.byVariable.get(variable);
  }

  /** Every accepted name, older ones included. */
  get names(): readonly string[] {
    return [...this.byName.keys()];
  }

  /** Every dotted key of a config file. */
  get keys(): readonly string[] {
    return [...this.byKey.keys()];
  }

  /** The variable that sets the flag `name`. */
  variable(name: string): string {
    return `${this.spec.envPrefix}${name.toUpperCase().replaceAll('-', '_')}`;
  }
}
