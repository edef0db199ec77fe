/**
 * The format of an image, named by its meta row `format`:
 *
 *   format := number u32be, version        (oldest mainstay that reads it, ASCII)
 *
 * Format 1 is that of mainstay 0.1.0: no such row and no witness. It becomes format 2 at the first start.
 */

/** The format that this version writes. */
export const IMAGE_FORMAT = 2;
/** The oldest mainstay that can read it. */
const IMAGE_FORMAT_SINCE = '0.2.0';
const NUMBER_BYTES = 4;

export interface ImageFormat {
  readonly number: number;
  /** The oldest mainstay that can read the format. */
  readonly since: string;
}

/** The image was written by a newer version, in a format that this one cannot read. It was left as it is. */
export class ImageTooNew extends Error {
  override name = 'ImageTooNew';
  readonly format: ImageFormat;

  constructor(format: ImageFormat) {
    super(
      `the state on disk has format ${format.number}, and this version reads formats up to ${IMAGE_FORMAT}: ` +
        `mainstay ${format.since} or later can read it`,
    );
    this.format = format;
  }
}

export function encodeFormat(): Uint8Array {
  const bytes = Buffer.alloc(NUMBER_BYTES + IMAGE_FORMAT_SINCE.length);
  bytes.writeUInt32BE(IMAGE_FORMAT);
  bytes.write(IMAGE_FORMAT_SINCE, NUMBER_BYTES, 'latin1');
  return bytes;
}

/** The format a row names, or null when it names none. */
export function decodeFormat(bytes: Uint8Array): ImageFormat | null {
  if (bytes.length < NUMBER_BYTES) return null;
  const buffer = Buffer.from(bytes);
  return { number: buffer.readUInt32BE(), since: buffer.toString('latin1', NUMBER_BYTES) };
}
