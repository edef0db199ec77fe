import { readFileSync, existsSync } from 'node:fs';
import { SourceMap, findSourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * Places in the source, from places in what runs: the built bundle, or TypeScript that was compiled when it was loaded.
 */
export interface Place {
  /** An absolute path or file URL. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/**
 * Per bundle, the source of the lines that may log: `{"412": "server/run.ts:98"}`. The build writes
 * it beside the bundle: reading a whole source map for the first message costs more than the rest
 * of a start.
 */
type CallerTable = Readonly<Record<string, string>>;

const tables = new Map<string, CallerTable | null>();

/** `folder/file.ts:line` of the function `depth` calls above the caller of this one; undefined when unknown. */
export function callerOf(depth: number): string | undefined {
  const place = placeOf(depth + 1);
  if (place === undefined) return undefined;
  const table = tableOf(place.file);
  if (table !== null) return table[place.line];
  const { file, line } = original(place);
  return `${file.split('/').slice(-2).join('/')}:${line}`;
}

function tableOf(file: string): CallerTable | null {
  let table = tables.get(file);
  if (table === undefined) {
    const path = `${pathOf(file)}.callers.json`;
    table = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as CallerTable) : null;
    tables.set(file, table);
  }
  return table;
}

/** The place `depth` calls above the caller, in what runs. */
function placeOf(depth: number): Place | undefined {
  const { stackTraceLimit } = Error;
  const before = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  const holder: { stack?: unknown } = {};
  Error.stackTraceLimit = depth + 2;
  Error.prepareStackTrace = (_error, sites) => sites;
  Error.captureStackTrace(holder);
  const sites = holder.stack;
  if (before === undefined) Reflect.deleteProperty(Error, 'prepareStackTrace');
  else Object.defineProperty(Error, 'prepareStackTrace', before);
  Error.stackTraceLimit = stackTraceLimit;
  const site = Array.isArray(sites) ? (sites[depth + 1] as NodeJS.CallSite | undefined) : undefined;
  const file = site?.getFileName() ?? undefined;
  if (site === undefined || file === undefined) return undefined;
  return { file, line: site.getLineNumber() ?? 0, column: site.getColumnNumber() ?? 0 };
}

/** The place in the source, where Node.js has loaded a map. */
function original(place: Place): Place {
  const map = findSourceMap(place.file);
  return (map === undefined ? undefined : lookUp(map, place)) ?? place;
}

/**
 * An error's stack with places in the source instead of the bundle. Reads the bundle's whole source map: only for a
 * process that is about to end.
 */
export function readableStack(stack: string): string {
  const maps = new Map<string, SourceMap | null>();
  return stack.replace(/(\/[^\s():]+):(\d+):(\d+)/g, (text, file: string, line, column) => {
    let map = maps.get(file);
    if (map === undefined) maps.set(file, (map = readMap(`${file}.map`)));
    if (map === null) return text;
    const place = lookUp(map, { file, line: Number(line), column: Number(column) });
    return place === undefined ? text : `${place.file}:${place.line}:${place.column}`;
  });
}

function readMap(path: string): SourceMap | null {
  try {
    return new SourceMap(
      JSON.parse(readFileSync(path, 'utf8')) as ConstructorParameters<typeof SourceMap>[0],
    );
  } catch {
    // Without a map the places in the bundle are still better than none.
    return null;
  }
}

function lookUp(map: SourceMap, place: Place): Place | undefined {
  const entry = map.findEntry(place.line - 1, place.column - 1);
  if (!('originalSource' in entry)) return undefined;
  return {
    file: entry.originalSource,
    line: entry.originalLine + 1,
    column: entry.originalColumn + 1,
  };
}

function pathOf(file: string): string {
  return file.startsWith('file:') ? fileURLToPath(file) : file;
}
