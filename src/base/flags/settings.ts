import { parseDurationMs } from '../go-duration.js';
import { parseUrlList } from './url.js';
import type { ServerUrl } from './url.js';
import type { FlagSpec } from './spec.js';
import { StartupError } from './startup-error.js';
import type { FlagTable } from './table.js';
import { parseBool, parseInteger } from './values.js';

/** A flag's value in memory. Units: durations are milliseconds. */
export type FlagValue = string | boolean | number | readonly ServerUrl[] | readonly string[];

/** A value that some source gave to a flag. */
export interface Assignment {
  readonly spec: FlagSpec;
  readonly value: FlagValue;
  /** The name that was used; an older one when it differs from the row's. */
  readonly name: string;
  /** The setting as the person wrote it: `--name`, `ETCD_NAME` or `key "name" of FILE`. */
  readonly source: string;
}

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

/** One value for every row of `Rows`, typed by the row. */
export type ValuesOf<Rows extends readonly FlagSpec[]> = {
  readonly [F in Rows[number] as F['name']]: ValueOf<F>;
};

/** All sources together. */
export interface Settings<Values> {
  readonly values: Values;
  /** Names of the flags that some source set. */
  readonly explicit: ReadonlySet<string>;
  /** Feature gates set through their older flags. */
  readonly gates: ReadonlyMap<string, GateSetting>;
  readonly warnings: readonly string[];
}

export interface GateSetting {
  readonly value: boolean;
  /** The older flag, without dashes. */
  readonly flag: string;
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
      return parseList(spec, text);
    case 'choice':
      return oneOf(spec.choices ?? [], text);
    case 'string':
    case 'legacy':
      return text;
  }
}

/**
 * Merges what the sources gave with the defaults. Later assignments of one flag win.
 *
 * Throws: StartupError for a flag that the program refuses, and for two spellings of one flag.
 */
export function assembleSettings<Served extends readonly FlagSpec[]>(
  table: FlagTable<Served>,
  assignments: readonly Assignment[],
): Settings<ValuesOf<Served>> {
  refuseTwoSpellings(assignments);
  const values: Record<string, FlagValue> = {};
  const explicit = new Set<string>();
  const gates = new Map<string, GateSetting>();
  const warnings = new Set<string>();
  for (const spec of table.spec.served) values[spec.name] = parseFlagText(spec, spec.default);
  for (const assignment of assignments) {
    const { spec, value, name } = assignment;
    for (const warning of warningsFor(table, assignment)) warnings.add(warning);
    if (spec.gate !== undefined && typeof value === 'boolean') {
      gates.set(spec.gate, { value, flag: name });
    }
    values[spec.name] = value;
    explicit.add(spec.name);
  }
  // The first loop filled in every served row, each by the parser of its own type.
  return {
    values: values as unknown as ValuesOf<Served>,
    explicit,
    gates,
    warnings: [...warnings],
  };
}

/** With an older and the current name both given, it is unclear which of the values holds. */
function refuseTwoSpellings(assignments: readonly Assignment[]): void {
  const used = new Map<string, string>();
  for (const { spec, name } of assignments) {
    const earlier = used.get(spec.name) ?? name;
    if (earlier !== name) {
      const older = name === spec.name ? earlier : name;
      throw new StartupError(
        `cannot set --${older} and --${spec.name} at the same time, please use --${spec.name} only`,
        `leave out --${older}`,
      );
    }
    used.set(spec.name, name);
  }
}

/** Throws: StartupError for a flag that the program refuses. */
function warningsFor(table: FlagTable, { spec, name, value, source }: Assignment): string[] {
  const warnings: string[] = [];
  const isDefault = sameValue(value, parseFlagText(spec, spec.default));
  if (spec.effect === 'refused' && !isDefault) {
    throw new StartupError(
      `${source} ${spec.note ?? 'is not supported'}`,
      `leave out ${source} if the member may run without it`,
    );
  }
  const deprecation = table.spec.deprecations[name];
  if (deprecation !== undefined) warnings.push(deprecation);
  else if (name !== spec.name) {
    warnings.push(`${source} is an older name of --${spec.name}: use that`);
  } else if (spec.gate !== undefined) {
    const gate = `--feature-gates=${spec.gate}=${value === true}`;
    warnings.push(`${source} is an older form of ${gate}`);
  }
  if (spec.effect === 'ignored' && (!isDefault || spec.type === 'legacy')) {
    warnings.push(`${source} ${spec.note ?? 'has no effect'}`);
  }
  return warnings;
}

function parseList(spec: FlagSpec, text: string): string[] {
  if (spec.choices === undefined && text === '') return [];
  const items = text.split(',').map((item) => item.trim());
  if (spec.choices !== undefined) for (const item of items) oneOf(spec.choices, item);
  return items;
}

function oneOf(choices: readonly string[], text: string): string {
  if (choices.includes(text)) return text;
  throw new Error(`invalid value ${JSON.stringify(text)}, must be one of ${choices.join(', ')}`);
}

function orParseError<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('parse error');
  return value;
}

function sameValue(a: FlagValue, b: FlagValue): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
