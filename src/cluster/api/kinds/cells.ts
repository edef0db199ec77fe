/** Columns and cells that the tables of many kinds share. */
import type { Column } from './kind.js';

export const NAME_COLUMN: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name of the object.',
  priority: 0,
};

export const AGE_COLUMN: Column = textColumn('Age', 'Time since the object was created.');

export function textColumn(name: string, description: string, priority: 0 | 1 = 0): Column {
  return { name, type: 'string', format: '', description, priority };
}

export function numberColumn(name: string, description: string): Column {
  return { name, type: 'integer', format: '', description, priority: 0 };
}

const SECONDS = { y: 31_536_000, d: 86_400, h: 3_600, m: 60, s: 1 } as const;
type Unit = keyof typeof SECONDS;

/** Up to which age which units are told: the smaller one only while it matters. */
const PRECISIONS: readonly { readonly below: number; readonly units: readonly Unit[] }[] = [
  { below: 2 * SECONDS.m, units: ['s'] },
  { below: 10 * SECONDS.m, units: ['m', 's'] },
  { below: 3 * SECONDS.h, units: ['m'] },
  { below: 8 * SECONDS.h, units: ['h', 'm'] },
  { below: 48 * SECONDS.h, units: ['h'] },
  { below: 8 * SECONDS.d, units: ['d', 'h'] },
  { below: 2 * SECONDS.y, units: ['d'] },
  { below: 8 * SECONDS.y, units: ['y', 'd'] },
];

/** `45s`, `3m12s`, `5h2m`, `12d`: a duration as kubectl shows ages (k8s.io/apimachinery HumanDuration). */
export function durationText(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  // Clocks of two machines may differ by a second.
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  const units = PRECISIONS.find(({ below }) => seconds < below)?.units ?? ['y'];
  let rest = seconds;
  let text = '';
  for (const unit of units) {
    const count = Math.floor(rest / SECONDS[unit]);
    rest -= count * SECONDS[unit];
    if (text === '' || count > 0) text += `${count}${unit}`;
  }
  return text;
}

/** Age of an RFC 3339 time, `<unknown>` of a missing one. */
export function ageText(time: string | null | undefined, nowMs: number): string {
  if (time === undefined || time === null) return '<unknown>';
  return durationText(nowMs - Date.parse(time));
}

/** The first `max` of `items`, joined by commas, with a note of how many are left out. */
export function listText(items: readonly string[], max: number): string {
  const text = items.slice(0, max).join(',');
  return items.length > max ? `${text} + ${items.length - max} more...` : text;
}
