/**
 * Differences between two JSON values, one line a field: `-path: old` and `+path: new`. For people;
 * Kubernetes' own text shows names of its source code.
 */
export function specDifference(old: unknown, next: unknown): string {
  return linesOf(old, next, '').join('\n');
}

function linesOf(old: unknown, next: unknown, path: string): string[] {
  if (isBranch(old) && isBranch(next)) {
    const names = [...new Set([...Object.keys(old), ...Object.keys(next)])];
    return names.flatMap((name) => {
      const step = Array.isArray(old) ? `[${name}]` : `${path === '' ? '' : '.'}${name}`;
      return linesOf(old[name], next[name], `${path}${step}`);
    });
  }
  const before = JSON.stringify(old);
  const after = JSON.stringify(next);
  if (before === after) return [];
  return [
    ...(old === undefined ? [] : [`-${path}: ${before}`]),
    ...(next === undefined ? [] : [`+${path}: ${after}`]),
  ];
}

function isBranch(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
