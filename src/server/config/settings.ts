import type { FlagSpec } from '../../base/flags/spec.js';
import type { SERVED_FLAGS } from './flags-served.js';
import { FLAGS } from './flags.js';
import { isGateName } from './feature-gates.js';
import type { GateName } from './feature-gates.js';
import { parseBool, parseDurationMs, parseInteger } from '../../base/flags/values.js';
import { StartupError } from '../../base/flags/startup-error.js';
import { parseUrlList } from '../../base/flags/url.js';
import type { ServerUrl } from '../../base/flags/url.js';

/** A flag's value in memory. Units: durations are milliseconds. */
export type FlagValue = string | boolean | number | readonly ServerUrl[] | readonly string[];

/** A value that some source gave to a flag. */
export interface Assignment {
  readonly spec: FlagSpec;
  readonly value: FlagValue;
  /** How the person wrote it: `--name`, `ETCD_NAME` or `key "name" of FILE`. */
  readonly source: string;
  readonly isAlias: boolean;
}

type ServedFlag = (typeof SERVED_FLAGS)[number];

type ValueOf<F extends FlagSpec> = F extends { type: 'choice'; choices: readonly (infer C)[] }
  ? C
  : F['type'] extends 'bool'
    ? boolean
    : F['type'] extends 'string'
      ? string
      : F['type'] extends 'urls'
        ? readonly ServerUrl[]
        : F['type'] extends 'list'
          ? readonly string[]
          : number;

/** One value for every served flag, typed by its row in the table. */
export type ServedValues = { readonly [F in ServedFlag as F['name']]: ValueOf<F> };

/** What all sources together say. */
export interface Settings {
  readonly values: ServedValues;
  /** Names of the flags that some source set. */
  readonly explicit: ReadonlySet<string>;
  /** Feature gates set through their older flags. */
  readonly gates: ReadonlyMap<GateName, boolean>;
  readonly warnings: readonly string[];
}

const INT_MIN = Number.MIN_SAFE_INTEGER;
const INT_MAX = Number.MAX_SAFE_INTEGER;

/**
 * Reads a flag's value from text.
 *
 * Throws: Error with the reason, in the words Go's flag package uses where it has any.
 */
export function parseFlagText(spec: FlagSpec, text: string): FlagValue {
  switch (spec.type) {
    case 'bool':
      return orParseError(parseBool(text));
    case 'int':
      return orParseError(parseInteger(text, INT_MIN, INT_MAX));
    case 'uint':
      return orParseError(parseInteger(text, 0, INT_MAX));
    case 'uint32':
      return orParseError(parseInteger(text, 0, 0xffffffff));
    case 'duration':
      return orParseError(parseDurationMs(text));
    case 'urls':
      return text === '' ? [] : parseUrlList(text);
    case 'list':
      return text === '' ? [] : text.split(',').map((item) => item.trim());
    case 'choice':
      return oneOf(spec, text);
    case 'string':
    case 'legacy':
      return text;
  }
}

/**
 * Merges what the sources gave with the defaults. Later assignments of one flag win.
 *
 * Throws: StartupError for a flag that this release refuses.
 */
export function assembleSettings(assignments: readonly Assignment[]): Settings {
  const values: Record<string, FlagValue> = {};
  const explicit = new Set<string>();
  const gates = new Map<GateName, boolean>();
  const warnings: string[] = [];
  for (const spec of FLAGS) {
    if (spec.effect === 'served') values[spec.name] = parseFlagText(spec, spec.default);
  }
  for (const { spec, value, source, isAlias } of assignments) {
    if (isAlias) warnings.push(`${source} is an older name of --${spec.name}: use that`);
    const isDefault = sameValue(value, parseFlagText(spec, spec.default));
    if (spec.effect === 'refused' && !isDefault) {
      throw new StartupError(
        `${source} ${spec.note ?? 'is not supported'}`,
        `leave out ${source} if the member may run without it`,
      );
    }
    if (spec.effect === 'ignored' && (!isDefault || spec.type === 'legacy')) {
      warnings.push(`${source} ${spec.note ?? 'has no effect'}`);
    }
    if (spec.gate !== undefined && isGateName(spec.gate) && typeof value === 'boolean') {
      gates.set(spec.gate, value);
      warnings.push(`${source} is an older form of --feature-gates=${spec.gate}=${String(value)}`);
    }
    values[spec.name] = value;
    explicit.add(spec.name);
  }
  // The loop above filled in every row of the table, each by the parser of its own type.
  return { values: values as unknown as ServedValues, explicit, gates, warnings };
}

function oneOf(spec: FlagSpec, text: string): string {
  if (spec.choices?.includes(text) === true) return text;
  throw new Error(`invalid value, must be one of ${(spec.choices ?? []).join(', ')}`);
}

function orParseError<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('parse error');
  return value;
}

function sameValue(a: FlagValue, b: FlagValue): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
