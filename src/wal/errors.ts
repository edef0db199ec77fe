/** The refusals of a log, and what the operator can do about each. */
import type { NewerFormat } from './format.js';
import { FORMAT_VERSION, OLDEST_FORMAT_VERSION } from './format.js';

export interface DamageDetails {
  /** The finding, one sentence without a full stop. */
  readonly found: string;
  readonly path: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** First entry that the log can no longer vouch for. */
  readonly firstLostIndex: number;
}

/**
 * Acknowledged content of the log is missing or unreadable. The log was left as it is.
 * `found`, `path`, `offset` and `firstLostIndex` name the place; `damageAdvice` gives the next
 * step.
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

/** The log belongs to another member or cluster. It was left as it is. */
export class WalForeign extends Error {
  override name = 'WalForeign';
}

/** A newer mainstay wrote the log. It was left as it is. */
export class WalNewer extends Error {
  override name = 'WalNewer';
  readonly nextStep: string;

  constructor(path: string, found: NewerFormat) {
    super(
      `the write-ahead log ${path} has format ${found.version}: a newer mainstay wrote it, ` +
        `and this one reads formats ${OLDEST_FORMAT_VERSION} to ${FORMAT_VERSION}`,
    );
    this.nextStep = `start this member with mainstay ${found.readableSince} or newer`;
  }
}

/** Next steps of the operator of a damaged log, as lines of text. */
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
