/**
 * Reads one file out of a ZIP archive (PKWARE APPNOTE 6.3.10): stored or deflated, without
 * encryption, smaller than 4 GiB.
 */
import { crc32, inflateRawSync } from 'node:zlib';

export class ZipError extends Error {
  override name = 'ZipError';
}

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const ENCRYPTED = 1;
const STORED = 0;
const DEFLATED = 8;

interface Entry {
  readonly method: number;
  readonly crc: number;
  readonly packedBytes: number;
  readonly bytes: number;
  readonly at: number;
}

/** The content of the file `name`. Throws: ZipError when there is none, or the archive is damaged. */
export function readZipEntry(archive: Buffer, name: string): Buffer {
  const { method, crc, packedBytes, bytes, at } = findEntry(archive, name);
  check(at + LOCAL_BYTES <= archive.length, 'a file lies outside of it');
  check(archive.readUInt32LE(at) === LOCAL_SIGNATURE, 'a file has no header');
  const dataAt = at + LOCAL_BYTES + archive.readUInt16LE(at + 26) + archive.readUInt16LE(at + 28);
  check(dataAt + packedBytes <= archive.length, 'a file is cut off');
  const content = unpack(method, archive.subarray(dataAt, dataAt + packedBytes), bytes);
  check(content.length === bytes && crc32(content) === crc, `${name} is damaged`);
  return content;
}

function findEntry(archive: Buffer, name: string): Entry {
  const end = findEnd(archive);
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left--) {
    check(at + ENTRY_BYTES <= archive.length, 'its directory is cut off');
    check(archive.readUInt32LE(at) === ENTRY_SIGNATURE, 'its directory is damaged');
    const nameBytes = archive.readUInt16LE(at + 28);
    const nameAt = at + ENTRY_BYTES;
    if (archive.toString('utf8', nameAt, nameAt + nameBytes) === name) return entryAt(archive, at);
    at = nameAt + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  throw new ZipError(`the archive has no file ${name}`);
}

function entryAt(archive: Buffer, at: number): Entry {
  check((archive.readUInt16LE(at + 8) & ENCRYPTED) === 0, 'its files are encrypted');
  return {
    method: archive.readUInt16LE(at + 10),
    crc: archive.readUInt32LE(at + 16),
    packedBytes: archive.readUInt32LE(at + 20),
    bytes: archive.readUInt32LE(at + 24),
    at: archive.readUInt32LE(at + 42),
  };
}

/** The end record is the last thing but for a comment of any text, which may look like one. */
function findEnd(archive: Buffer): number {
  const last = archive.length - END_BYTES;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT_BYTES); at--) {
    const isEnd =
      archive.readUInt32LE(at) === END_SIGNATURE &&
      at + END_BYTES + archive.readUInt16LE(at + 20) === archive.length;
    if (isEnd) return at;
  }
  throw new ZipError('this is no ZIP archive, or it is cut off');
}

function unpack(method: number, packed: Buffer, bytes: number): Buffer {
  if (method === STORED) return packed;
  check(method === DEFLATED, `it uses compression method ${method}, which is not supported`);
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, bytes) });
  } catch (cause) {
    throw new ZipError('the archive is damaged: its content cannot be unpacked', { cause });
  }
}

function check(condition: boolean, what: string): void {
  if (!condition) throw new ZipError(`the archive cannot be read: ${what}`);
}
