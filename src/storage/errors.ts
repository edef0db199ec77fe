/** Errors of an image that cannot be trusted, with the operator's next step. */

/** The next step after damage of the image, where the size of the cluster is unknown. */
export const IMAGE_DAMAGE_ADVICE =
  'Keep this member stopped, leave its directory as it is and check the disk; then restore the whole data directory ' +
  'of this member from a backup. Other members of its cluster hold the data and serve while a majority of them runs.';

/** The next step after damage of the image, as lines of text. */
export function imageDamageAdvice(membersInCluster: number): string[] {
  if (membersInCluster > 1) {
    return [
      'Keep this member stopped, leave its directory as it is and check the disk.',
      'The other members of the cluster hold the data and serve while a majority of them runs.',
      'This release cannot replace a member of a running cluster: restore the whole data directory of this very member',
      'from a backup, or wait for a release that can.',
    ];
  }
  return [
    'Keep this member stopped, leave its directory as it is and check the disk.',
    'It is the only member, so nothing can be fetched from another one: restore its whole data directory, state and log',
    'of one moment, from a backup.',
  ];
}

/** A file of the image is missing or not what was written. Everything was left as it is. */
export class ImageDamaged extends Error {
  override name = 'ImageDamaged';
  /** One sentence without a full stop. */
  readonly found: string;
  readonly path: string;
  /** Bytes from the start of the file, or null when the finding concerns all of it. */
  readonly offset: number | null;

  constructor(found: string, path: string, offset: number | null) {
    super(
      `the state on disk is damaged: ${found} (${path}${offset === null ? '' : `, offset ${offset}`})`,
    );
    this.found = found;
    this.path = path;
    this.offset = offset;
  }
}
