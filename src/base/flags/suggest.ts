/** Longest distance at which two names are taken for one that was mistyped. */
const MAX_EDITS = 3;

/**
 * The candidate closest to `word`, or undefined when none is close: at most a third of its letters differ.
 *
 * A swap of two neighbouring letters counts as one edit (the restricted Damerau-Levenshtein distance).
 */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestEdits = Math.min(MAX_EDITS, Math.max(1, Math.floor(word.length / 3))) + 1;
  for (const candidate of candidates) {
    const edits = editDistance(word, candidate, bestEdits);
    if (edits < bestEdits) [best, bestEdits] = [candidate, edits];
  }
  return best;
}

/** `; did you mean "x"?`, or an empty text. */
export function didYouMean(word: string, candidates: Iterable<string>, before = ''): string {
  const found = closest(word, candidates);
  return found === undefined ? '' : `; did you mean "${before}${found}"?`;
}

/** The number of edits between two words, or `limit` when there are at least so many. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let edits = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (same ? 0 : 1),
      );
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) edits = Math.min(edits, (beforeLast[j - 2] ?? 0) + 1);
      row.push(edits);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length] ?? limit;
}
