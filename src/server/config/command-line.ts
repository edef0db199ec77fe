import { FLAGS, envName, findFlag, flagNames } from './flags.js';
import { parseFlagText } from './settings.js';
import type { Assignment } from './settings.js';
import { StartupError } from '../../base/flags/startup-error.js';

/** A command line that cannot be understood: the process prints the text and the usage, and exits with 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export interface CommandLine {
  readonly assignments: readonly Assignment[];
  /** What follows the last flag. */
  readonly rest: readonly string[];
  readonly help: boolean;
  readonly version: boolean;
}

/**
 * Splits a command line the way Go's flag package does: one or two dashes, `--x v` or `--x=v`, booleans alone
 * or with `=`; the first word that is no flag ends it.
 *
 * Throws: UsageError.
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const assignments: Assignment[] = [];
  let version = false;
  let i = 0;
  for (; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word.length < 2 || !word.startsWith('-')) break;
    if (word === '--') {
      i++;
      break;
    }
    const body = word.startsWith('--') ? word.slice(2) : word.slice(1);
    if (body.startsWith('-') || body.startsWith('='))
      throw new UsageError(`bad flag syntax: ${word}`);
    const equals = body.indexOf('=');
    const name = equals < 0 ? body : body.slice(0, equals);
    const inline = equals < 0 ? undefined : body.slice(equals + 1);
    if (name === 'help' || name === 'h') {
      return { assignments, rest: [], help: true, version: false };
    }
    if (name === 'version') {
      version = inline !== 'false';
      continue;
    }
    const match = findFlag(name);
    if (match === undefined) throw new UsageError(`flag provided but not defined: -${name}`);
    const { spec, isAlias } = match;
    const takesNoWord = spec.type === 'bool' || spec.type === 'legacy';
    let text = inline ?? (takesNoWord ? 'true' : undefined);
    if (text === undefined) {
      i++;
      text = argv[i];
      if (text === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    }
    try {
      assignments.push({ spec, isAlias, source: `--${name}`, value: parseFlagText(spec, text) });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const kind = spec.type === 'bool' ? 'boolean value' : 'value';
      const preposition = spec.type === 'bool' ? 'for' : 'for flag';
      throw new UsageError(
        `invalid ${kind} ${JSON.stringify(text)} ${preposition} -${name}: ${reason}`,
      );
    }
  }
  return { assignments, rest: argv.slice(i), help: false, version };
}

export interface EnvSettings {
  readonly assignments: readonly Assignment[];
  readonly warnings: readonly string[];
}

/**
 * Reads the ETCD_* variables.
 *
 * Throws: StartupError when a value cannot be read, or when a variable and a flag of `commandLine` both set
 * one thing: with two sources an operator cannot know which one holds.
 */
export function parseEnv(
  env: Readonly<Record<string, string | undefined>>,
  commandLine: readonly Assignment[],
): EnvSettings {
  const assignments: Assignment[] = [];
  const warnings: string[] = [];
  const known = new Map<string, string>();
  for (const name of flagNames()) known.set(envName(name), name);
  const byFlag = new Set(commandLine.map((assignment) => assignment.spec.name));
  for (const variable of Object.keys(env).sort()) {
    const text = env[variable];
    if (!variable.startsWith('ETCD_') || text === undefined || text === '') continue;
    const match = findFlag(known.get(variable) ?? '');
    if (match === undefined) {
      warnings.push(`unrecognized environment variable ${variable}`);
      continue;
    }
    const { spec, isAlias } = match;
    if (byFlag.has(spec.name)) {
      throw new StartupError(
        `conflicting environment variable ${variable} is shadowed by the command-line flag --${spec.name}`,
        `unset ${variable}, or leave out --${spec.name}`,
      );
    }
    try {
      assignments.push({ spec, isAlias, source: variable, value: parseFlagText(spec, text) });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StartupError(
        `invalid value ${JSON.stringify(text)} for ${variable}: ${reason}`,
        `correct ${variable}, or unset it to use the default ${describeDefault(spec.default)}`,
        { cause: error },
      );
    }
  }
  return { assignments, warnings };
}

function describeDefault(text: string): string {
  return text === '' ? '(empty)' : text;
}

/** The usage lines shown when a command line is refused; the whole reference is one `--help` away. */
export function usageText(): string {
  return (
    'Usage:\n\n' +
    '  mainstay server [flags]\n    Start a member.\n\n' +
    '  mainstay server --config-file FILE\n    Start a member with the settings of a file; all other flags and variables are then ignored.\n\n' +
    '  mainstay server --version\n    Show versions.\n\n' +
    `  mainstay server --help\n    Explain all ${FLAGS.length} flags.\n`
  );
}
