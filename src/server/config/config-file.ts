import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import type { FlagSpec } from '../../base/flags/spec.js';
import { FLAGS } from './flags.js';
import { parseFlagText } from './settings.js';
import type { Assignment, FlagValue } from './settings.js';
import { StartupError } from '../../base/flags/startup-error.js';

/** A config file's settings; keys it has that mean nothing are in `warnings`. */
export interface FileSettings {
  readonly assignments: readonly Assignment[];
  readonly warnings: readonly string[];
}

const NS_PER_MS = 1e6;

/**
 * Reads a YAML or JSON file with etcd's keys: flag names, except in the sections client-transport-security,
 * peer-transport-security, discovery-config and socket-options; durations are whole nanoseconds.
 *
 * Throws: StartupError.
 */
export function readConfigFile(path: string): FileSettings {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    const reason = code === 'ENOENT' ? 'no such file or directory' : code;
    throw new StartupError(`open ${path}: ${reason}`, 'check the path given with --config-file', {
      cause,
    });
  }
  return parseConfigText(text, path);
}

/** The settings in `text`; `path` is only named in messages. */
function parseConfigText(text: string, path: string): FileSettings {
  const document = parseDocument(text);
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new StartupError(
      `config file ${path} is neither YAML nor JSON: ${problem.message.split('\n')[0] ?? ''}`,
      'correct the file',
      { cause: problem },
    );
  }
  const root: unknown = document.toJS();
  const assignments: Assignment[] = [];
  const warnings: string[] = [];
  if (root !== null && root !== undefined) {
    if (!isMapping(root)) {
      throw new StartupError(
        `config file ${path} holds no settings`,
        'write lines such as "name: node1"',
      );
    }
    collect(root, '', path, assignments, warnings);
  }
  return { assignments, warnings };
}

interface FileKey {
  readonly spec: FlagSpec;
  readonly isAlias: boolean;
}

const byKey = new Map<string, FileKey>();
const sections = new Set<string>();
for (const spec of FLAGS) {
  if (spec.fileKey !== null) {
    const key = spec.fileKey ?? spec.name;
    byKey.set(key, { spec, isAlias: false });
    for (let at = key.indexOf('.'); at > 0; at = key.indexOf('.', at + 1))
      sections.add(key.slice(0, at));
  }
  for (const alias of spec.aliases ?? []) byKey.set(alias, { spec, isAlias: true });
}

function collect(
  mapping: Readonly<Record<string, unknown>>,
  prefix: string,
  path: string,
  assignments: Assignment[],
  warnings: string[],
): void {
  for (const [name, raw] of Object.entries(mapping)) {
    const key = prefix + name;
    if (raw === null || raw === undefined) continue;
    if (sections.has(key) && isMapping(raw)) {
      collect(raw, `${key}.`, path, assignments, warnings);
      continue;
    }
    const source = `key "${key}" of ${path}`;
    const match = byKey.get(key);
    if (match === undefined) {
      warnings.push(`${source} is unknown and ignored`);
      continue;
    }
    try {
      assignments.push({ ...match, source, value: valueOf(match.spec, raw) });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StartupError(`${source} cannot be used: ${reason}`, 'correct the file', { cause });
    }
  }
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
      if (Array.isArray(raw)) return raw.map((item) => scalarText(item));
      return parseFlagText(spec, scalarText(raw));
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
