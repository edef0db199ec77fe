import { invariant } from '../base/invariant.js';

/** The smallest number of `n` members that is more than half of them. */
export function majority(n: number): number {
  return (n >> 1) + 1;
}

/**
 * Returns the largest v such that a majority of the first `n` values are >= v; 0 when n is 0.
 * The commit index is this over the members' match indexes, a confirmed read round over acknowledged rounds.
 *
 * Shape: reorders `values` (ascending).
 * Cost:  insertion sort; n is a handful.
 */
export function quorumValue(values: number[], n: number): number {
  if (n === 0) return 0;
  invariant(n > 0 && n <= values.length, 'quorum of {} among {} values', n, values.length);
  for (let i = 1; i < n; i++) {
    const v = values[i] ?? 0;
    let j = i - 1;
    for (; j >= 0 && (values[j] ?? 0) > v; j--) values[j + 1] = values[j] ?? 0;
    values[j + 1] = v;
  }
  return values[n - majority(n)] ?? 0;
}

export type VoteOutcome = 'won' | 'lost' | 'pending';

/** The state of an election among `voters` members of whom some have answered. */
export function voteOutcome(voters: number, granted: number, rejected: number): VoteOutcome {
  invariant(granted + rejected <= voters, '{} answers of {} voters', granted + rejected, voters);
  const needed = majority(voters);
  if (granted >= needed) return 'won';
  return voters - rejected < needed ? 'lost' : 'pending';
}
