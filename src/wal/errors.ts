/** What a log says about itself when it cannot be trusted, and what the operator can do about it. */

export interface DamageDetails {
  /** What was found, one sentence without a full stop. */
  readonly found: string;
  readonly path: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** First entry that the log can no longer vouch for. */
  readonly firstLostIndex: number;
}

/**
 * Acknowledged content of the log is missing or unreadable. The log was left as it is.
 * `found`, `path`, `offset` and `firstLostIndex` say where; `damageAdvice` says what to do.
 */
export class WalDamaged extends Error implements DamageDetails {
  override name = 'WalDamaged';
  readonly found: string;
  readonly path: string;
  readonly offset: number;
  readonly firstLostIndex: number;

  constructor(details: DamageDetails) {
    super(
      `the write-ahead log is damaged: ${details.found} (${details.path}, offset ${details.offset}); ` +
        `entries from index ${details.firstLostIndex} on cannot be vouched for`,
    );
    this.found = details.found;
    this.path = details.path;
    this.offset = details.offset;
    this.firstLostIndex = details.firstLostIndex;
  }
}

/** The log belongs to another member or cluster, or to another version of the program. It was left as it is. */
export class WalForeign extends Error {
  override name = 'WalForeign';
}

/** What the operator of a damaged log can do, as lines of text. */
export function damageAdvice(dataDir: string, membersInCluster: number): string[] {
  if (membersInCluster > 1) {
    return [
      'The other members of the cluster hold the data; this member must not vote from an incomplete log.',
      'Keep it stopped and its directory as it is: the cluster serves while a majority of its members runs.',
      'To replace it, remove the member and add it again with an empty data directory; this release cannot do that in a',
      'running cluster yet, so restore the data of this very member from a backup, or wait for a release that can.',
    ];
  }
  return [
    'This is the only member, so nothing can be fetched from another one. Check the disk, and prefer a recent backup.',
    `To go on with what precedes the damage, run: mainstay wal repair --data-dir ${dataDir}`,
    'It keeps a copy of the damaged files and prints exactly which entries are lost.',
  ];
}
