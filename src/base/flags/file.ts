import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { FlagSpec } from './spec.js';
import { parseFlagText } from './settings.js';
import type { Assignment, FlagValue } from './settings.js';
import { StartupError } from './startup-error.js';
import { didYouMean } from './suggest.js';
import type { FlagTable } from './table.js';

/** A config file's settings; keys it has that mean nothing any more are in `warnings`. */
export interface FileSettings {
  readonly assignments: readonly Assignment[];
  readonly warnings: readonly string[];
}

const NS_PER_MS = 1e6;

/**
 * Reads a YAML or JSON file whose keys are flag names, except where the table gives a flag a key of
 * its own. Durations are whole nanoseconds. A key without a value is as if it were not there.
 *
 * Throws: StartupError, also for a key that nothing reads: a mistyped one would silently leave its flag at the default.
 */
export function readConfigFile(table: FlagTable, path: string): FileSettings {
  const root = parseYaml(readText(path), path);
  const file: FileReader = { table, path, assignments: [], warnings: [] };
  if (root !== null && root !== undefined) {
    if (!isMapping(root)) {
      throw new StartupError(
        `config file ${path} holds no settings`,
        'write lines such as "name: node1"',
      );
    }
    collect(file, root, '');
  }
  return file;
}

interface FileReader {
  readonly table: FlagTable;
  readonly path: string;
  readonly assignments: Assignment[];
  readonly warnings: string[];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    const reason = code === 'ENOENT' ? 'no such file or directory' : code;
    throw new StartupError(`open ${path}: ${reason}`, 'check the path given with --config-file', {
      cause,
    });
  }
}

function parseYaml(text: string, path: string): unknown {
  // Loaded only here: most starts have no file, and the parser is a fifth of a start's loading time.
  const load = createRequire(import.meta.url);
  const { parseDocument } = load('yaml') as typeof import('yaml');
  const document = parseDocument(text);
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new StartupError(
      `config file ${path} is neither YAML nor JSON: ${problem.message.split('\n')[0] ?? ''}`,
      'correct the file',
      { cause: problem },
    );
  }
  return document.toJS();
}

function collect(
  file: FileReader,
  mapping: Readonly<Record<string, unknown>>,
  prefix: string,
): void {
  const { table, path } = file;
  for (const [name, raw] of Object.entries(mapping)) {
    const key = prefix + name;
    const source = `key "${key}" of ${path}`;
    const match = table.findKey(key);
    if (match === undefined) {
      if (table.sections.has(key)) {
        if (isMapping(raw)) collect(file, raw, `${key}.`);
        else if (raw !== null) throw unusable(source, new Error('it must hold further keys'));
        continue;
      }
      if (table.spec.formerKeys.includes(key)) {
        file.warnings.push(`${source} belongs to older releases and has no effect`);
        continue;
      }
      throw unknownKey(table, key, source);
    }
    if (raw === null || raw === undefined) continue;
    try {
      file.assignments.push({ ...match, source, value: valueOf(match.spec, raw) });
    } catch (cause) {
      throw unusable(source, cause);
    }
  }
}

function unknownKey(table: FlagTable, key: string, source: string): StartupError {
  const hint = didYouMean(key, [...table.keys, ...table.sections]);
  return new StartupError(
    `${source} is unknown${hint}`,
    `correct or remove it; ${table.spec.command} --help lists all settings`,
  );
}

function unusable(source: string, cause: unknown): StartupError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StartupError(`${source} cannot be used: ${reason}`, 'correct the file', { cause });
}

function valueOf(spec: FlagSpec, raw: unknown): FlagValue {
  switch (spec.type) {
    case 'bool':
      if (typeof raw === 'boolean') return raw;
      throw new Error('it must be true or false');
    case 'int':
    case 'uint':
    case 'uint32':
      if (typeof raw === 'number') return parseFlagText(spec, String(raw));
      throw new Error('it must be a whole number');
    case 'duration':
      if (typeof raw === 'number' && Number.isInteger(raw)) return raw / NS_PER_MS;
      throw new Error('in a file a duration is a whole number of nanoseconds (5s is 5000000000)');
    case 'list':
      return parseFlagText(
        spec,
        Array.isArray(raw) ? raw.map(scalarText).join(',') : scalarText(raw),
      );
    case 'urls':
    case 'string':
    case 'choice':
    case 'legacy':
      return parseFlagText(spec, scalarText(raw));
  }
}

function scalarText(raw: unknown): string {
  if (typeof raw === 'string') return raw;
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw);
  throw new Error('it must be text');
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
