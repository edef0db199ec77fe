import { parseFlagText } from './settings.js';
import type { Assignment } from './settings.js';
import { StartupError } from './startup-error.js';
import type { FlagTable } from './table.js';

/** A process's environment. */
export type Variables = Readonly<Record<string, string | undefined>>;

export interface EnvSettings {
  readonly assignments: readonly Assignment[];
  readonly warnings: readonly string[];
}

/**
 * Reads the variables of the table's flags.
 *
 * Throws: StartupError when a value cannot be read, or when a variable and a flag of `commandLine`
 * set one thing. With two sources it is unclear which one holds.
 */
export function parseEnv(
  table: FlagTable,
  env: Variables,
  commandLine: readonly Assignment[],
): EnvSettings {
  const assignments: Assignment[] = [];
  const warnings: string[] = [];
  const byFlag = new Set(commandLine.map((assignment) => assignment.spec.name));
  for (const variable of Object.keys(env).sort()) {
    const text = env[variable];
    if (!variable.startsWith(table.spec.envPrefix) || text === undefined || text === '') continue;
    const match = table.findVariable(variable);
    if (match === undefined) {
      warnings.push(`unrecognized environment variable ${variable}`);
      continue;
    }
    if (byFlag.has(match.spec.name)) {
      throw new StartupError(
        `conflicting environment variable ${variable} is shadowed by the command-line flag --${match.spec.name}`,
        `unset ${variable}, or leave out --${match.spec.name}`,
      );
    }
    try {
      const value = parseFlagText(match.spec, text);
      assignments.push({ ...match, source: variable, value });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const fallback = match.spec.default === '' ? '(empty)' : match.spec.default;
      throw new StartupError(
        `invalid value ${JSON.stringify(text)} for ${variable}: ${reason}`,
        `correct ${variable}, or unset it to use the default ${fallback}`,
        { cause: error },
      );
    }
  }
  return { assignments, warnings };
}
