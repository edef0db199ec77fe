/** Differences of our answers to kubectl from recorded ones, and those that are known. */
import { readFileSync } from 'node:fs';
import type { Group, Result } from './transcript.js';

export interface Listed {
  readonly classes: Readonly<Record<string, Class>>;
  /** By group and number: why the command is not run, or not compared. */
  readonly notReplayable: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Lines of recorded outputs about objects that are not here; they are left out of comparisons. */
  readonly leftOut: readonly { readonly line: string; readonly reason: string }[];
  /**
   * By group and number of the command. A number with a release of kubectl behind it, as
   * `19 (1.35)`, holds for that one alone, and before the number without.
   */
  readonly differences: Readonly<Record<string, Readonly<Record<string, Difference>>>>;
}

interface Class {
  readonly reason: string;
  /** It is about something that is not served, or by intent, or of kubectl itself. */
  readonly isOfScope: boolean;
}

export interface Difference extends Partial<Found> {
  readonly class: string;
}

/** Differences; a part that is alike is absent. */
export interface Found {
  /** Ours. */
  readonly exit: number;
  readonly stdout: Lines;
  readonly stderr: Lines;
}

export interface Lines {
  /** Recorded, and not there; `all` of them if nothing was as recorded. */
  readonly missing: readonly string[] | 'all';
  /** There, and not recorded; `any` in lists, if chance decides about them. */
  readonly more: readonly string[] | 'any';
}

export function listedDifferences(): Listed {
  return JSON.parse(readFileSync('test/golden/kubectl-differences.json', 'utf8')) as Listed;
}

export function listedFor(
  { differences }: Listed,
  group: Group,
  number: number,
  release: string,
): Difference | undefined {
  const own = differences[group];
  return own?.[`${number} (${release})`] ?? own?.[String(number)];
}

/** Both masked. */
export function differenceOf(recorded: Result, ours: Result): Partial<Found> {
  const stdout = linesOf(recorded.stdout, ours.stdout);
  const stderr = linesOf(recorded.stderr, ours.stderr);
  return {
    ...(recorded.exit === ours.exit ? {} : { exit: ours.exit }),
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
  };
}

function linesOf(recorded: string, ours: string): Lines | undefined {
  if (recorded === ours) return undefined;
  const more = ours.split('\n').filter((line) => line !== '');
  const wanted = recorded.split('\n').filter((line) => line !== '');
  const missing = wanted.filter((line) => {
    const at = more.indexOf(line);
    if (at !== -1) more.splice(at, 1);
    return at === -1;
  });
  const areAll = missing.length > 0 && missing.length === wanted.length;
  return { missing: areAll ? 'all' : missing, more };
}

/** Differences that are not listed, and listed ones that do not occur: a sentence each. */
export function unexplained(found: Partial<Found>, listed: Partial<Found> = {}): string[] {
  const parts = ['exit', 'stdout', 'stderr'] as const;
  return parts.flatMap((part) => {
    const [is, known] = [found[part], forChance(listed[part], found[part])];
    if (JSON.stringify(is) === JSON.stringify(known)) return [];
    if (is === undefined) return [`${part} is listed, but does not differ any more`];
    const text = JSON.stringify(is, undefined, 1);
    return [known === undefined ? `${part} differs: ${text}` : `${part} differs anew: ${text}`];
  });
}

function forChance(listed: Lines | number | undefined, found: Lines | number | undefined): unknown {
  if (typeof listed !== 'object' || typeof found !== 'object') return listed;
  return listed.more === 'any' ? { missing: listed.missing, more: found.more } : listed;
}

/**
 * A recorded output without the lines that are listed to be left out: rows of tables, tables that
 * have no other row, and whole objects that are described beside others.
 */
export function withoutAbsent(text: string, leftOut: Listed['leftOut']): string {
  const isAbsent = (line: string): boolean =>
    leftOut.some((one) => new RegExp(one.line).test(line));
  if (!text.split('\n').some(isAbsent)) return text;
  const objects = text.split('\n\n\n').filter((object) => !isAbsent(object.split('\n')[0] ?? ''));
  const left = objects.map((object) => withoutRows(object, isAbsent)).join('\n\n\n');
  return left === '' || left.endsWith('\n') ? left : `${left}\n`;
}

/** Tables are parted by empty lines, and each begins with its titles, if it has any. */
function withoutRows(text: string, isAbsent: (line: string) => boolean): string {
  const tables = text.split('\n\n').flatMap((table) => {
    const lines = table.split('\n');
    const left = lines.filter((line) => !isAbsent(line));
    const rows = left.filter((line, at) => line !== '' && !(at === 0 && /^[A-Z -]+$/.test(line)));
    return left.length < lines.length && rows.length === 0 ? [] : [left.join('\n')];
  });
  return tables.join('\n\n');
}
