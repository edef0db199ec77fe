/** What an image says about itself when it cannot be trusted, and what the operator can do about it. */

/** The next step after damage of the image, for one member alone and for one of several. */
export const IMAGE_DAMAGE_ADVICE =
  'Keep this member stopped, leave its directory as it is and check the disk; then restore the whole data directory ' +
  'of this member from a backup. Other members of its cluster hold the data and serve while a majority of them runs.';

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
