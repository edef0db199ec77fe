import type { Contradiction } from '../../raft/types.js';
import { idText } from '../../base/bytes/id-text.js';

/** A fatal report: finding with consequence, and next step. */
export interface Finding {
  readonly what: string;
  readonly next: string;
}

/** The report about two facts that no correct history of a cluster contains together. */
export function contradictionFinding(found: Contradiction): Finding {
  return {
    what:
      `this member's log contradicts its cluster: ${factsOf(found)}. ` +
      'This member or the cluster was restored from an older copy of its data, or two processes run with one ' +
      "member's identity; writes that were acknowledged may be lost. This member stops and has acknowledged none of it",
    next:
      'Keep this member stopped and keep a copy of its data directory: it may be the only one with those writes. ' +
      "Find the member whose data is older than it was. If the cluster is to go on, replace this member's data: " +
      'remove the member, add it again, and start it with an empty data directory',
  };
}

function factsOf(found: Contradiction): string {
  if (found.kind === 'two-leaders') {
    const { leader, other, term } = found;
    return `members ${idText(leader)} and ${idText(other)} both lead term ${term}`;
  }
  const { own, theirs, leader, term } = found;
  return (
    `entry ${own.index} is committed here with term ${own.term}, but the log of ${idText(leader)}, the leader of ` +
    `term ${term}, has term ${theirs.term} at entry ${theirs.index}`
  );
}
