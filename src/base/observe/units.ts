/** Durations and sizes as etcd's log lines spell them. */

/** As Go's time.Duration prints it, to three digits behind the point: `1.5s`, `324.25ms`, `87µs`, `2m3.5s`. */
export function durationText(ms: number): string {
  if (ms < 1) return `${round(ms * 1000)}µs`;
  if (ms < 1000) return `${round(ms)}ms`;
  const seconds = ms / 1000;
  const minutes = Math.floor(seconds / 60);
  const rest = `${round(seconds - minutes * 60)}s`;
  if (minutes === 0) return rest;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${rest}` : `${hours}h${minutes - hours * 60}m${rest}`;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

const SIZE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `20 kB`, `1.5 MB`: powers of 1000, one digit behind the point below ten. */
export function sizeText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit + 1 < SIZE_UNITS.length) {
    value /= 1000;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${SIZE_UNITS[unit] ?? ''}`;
}
