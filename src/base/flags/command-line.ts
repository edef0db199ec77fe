import { parseFlagText } from './settings.js';
import type { Assignment } from './settings.js';
import { didYouMean } from './suggest.js';
import type { FlagTable } from './table.js';
import { UsageError } from './usage-error.js';

export interface CommandLine {
  readonly assignments: readonly Assignment[];
  /** Words after the last flag. */
  readonly rest: readonly string[];
  readonly help: boolean;
  readonly version: boolean;
}

/** Flags that every program has beside those of its table. */
const COMMON_FLAGS = ['help', 'version'] as const;

/**
 * Splits a command line as Go's flag package does: one or two dashes, `--x v` or `--x=v`, booleans
 * alone or with `=`. The first word that is no flag ends it.
 *
 * Throws: UsageError.
 */
export function parseCommandLine(table: FlagTable, argv: readonly string[]): CommandLine {
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
    const { name, inline } = splitWord(word);
    if (name === 'help' || name === 'h') {
      return { assignments, rest: [], help: true, version: false };
    }
    if (name === 'version') {
      version = inline !== 'false';
      continue;
    }
    const match = table.find(name);
    if (match === undefined) {
      const hint = didYouMean(name, [...table.names, ...COMMON_FLAGS], '--');
      throw new UsageError(`flag provided but not defined: -${name}${hint}`);
    }
    const { type } = match.spec;
    const takesNoWord = type === 'bool' || type === 'legacy';
    const text = inline ?? (takesNoWord ? 'true' : argv[++i]);
    if (text === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    try {
      const value = parseFlagText(match.spec, text);
      assignments.push({ ...match, source: `--${name}`, value });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const subject = type === 'bool' ? 'boolean value' : 'value';
      const object = type === 'bool' ? `-${name}` : `flag -${name}`;
      throw new UsageError(`invalid ${subject} ${JSON.stringify(text)} for ${object}: ${reason}`);
    }
  }
  return { assignments, rest: argv.slice(i), help: false, version };
}

/** Splits `--name=value` and its variants. Throws: UsageError. */
function splitWord(word: string): { name: string; inline: string | undefined } {
  const body = word.startsWith('--') ? word.slice(2) : word.slice(1);
  if (body.startsWith('-') || body.startsWith('=')) {
    throw new UsageError(`bad flag syntax: ${word}`);
  }
  const equals = body.indexOf('=');
  return equals < 0
    ? { name: body, inline: undefined }
    : { name: body.slice(0, equals), inline: body.slice(equals + 1) };
}
