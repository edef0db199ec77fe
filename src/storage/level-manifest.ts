import { ByteReader } from './byte-reader.js';

/**
 * The files that make up a LevelDB: the outcome of the version edits in its MANIFEST.
 *
 *   edit := { tag varint, content }
 *
 * Ref: leveldb doc/impl.md ("Manifest"), db/version_edit.cc.
 */

const Tag = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  prevLogNumber: 9,
} as const;
const LEVELS = 7;

export class LevelManifest {
  /** Size in bytes of each live table, by its number. */
  get tables(): Map<number, number> {
    const sizes = new Map<number, number>();
    for (const level of this.levels) for (const [number, size] of level) sizes.set(number, size);
    return sizes;
  }

  private readonly levels = Array.from({ length: LEVELS }, () => new Map<number, number>());
  /** Logs with this number or a higher one are not in tables yet; so is the previous one when it is not 0. */
  logNumber = 0;
  prevLogNumber = 0;
  private hasNext = false;
  private hasLog = false;
  private hasSequence = false;

  /** True when edits named everything that LevelDB needs for opening. */
  get isComplete(): boolean {
    return this.hasNext && this.hasLog && this.hasSequence;
  }

  /** Applies one edit. Throws: RangeError when it cannot be read. */
  apply(edit: Uint8Array): void {
    const reader = new ByteReader(edit);
    const added: [level: number, number: number, size: number][] = [];
    while (!reader.isAtEnd) {
      const tag = reader.varint();
      switch (tag) {
        case Tag.comparator:
          reader.skip(reader.varint());
          break;
        case Tag.logNumber:
          this.logNumber = reader.varint();
          this.hasLog = true;
          break;
        case Tag.prevLogNumber:
          this.prevLogNumber = reader.varint();
          break;
        case Tag.nextFileNumber:
          reader.varint();
          this.hasNext = true;
          break;
        case Tag.lastSequence:
          reader.varint();
          this.hasSequence = true;
          break;
        case Tag.compactPointer:
          this.levelAt(reader.varint());
          reader.skip(reader.varint());
          break;
        case Tag.deletedFile:
          this.levelAt(reader.varint()).delete(reader.varint());
          break;
        case Tag.newFile: {
          const level = reader.varint();
          this.levelAt(level);
          added.push([level, reader.varint(), reader.varint()]);
          reader.skip(reader.varint());
          reader.skip(reader.varint());
          break;
        }
        default:
          throw new RangeError(`an edit has the unknown tag ${tag}`);
      }
    }
    // A table that an edit moves is deleted from one level and added to another.
    for (const [level, number, size] of added) this.levelAt(level).set(number, size);
  }

  private levelAt(level: number): Map<number, number> {
    const files = this.levels[level];
    if (files === undefined) throw new RangeError(`an edit names level ${level}`);
    return files;
  }
}
