/**
 * Header blocks of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, 2.6.10): name-value pairs in one zlib
 * stream a direction, which begins with a preset dictionary and is flushed after each block.
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { invariant } from '../../base/invariant.js';
import { concatBytes, uint32 } from './bytes.js';

/** A block that unpacks to more than this is refused. */
export const MAX_HEADER_BYTES = 64 * 1024;

/** Distance that deflate looks back (RFC 1951). */
const WINDOW_BYTES = 32 * 1024;

/** Names of the dictionary that stand behind their length in four bytes. */
const DICTIONARY_NAMES =
  'options head post put delete trace accept accept-charset accept-encoding accept-language ' +
  'accept-ranges age allow authorization cache-control connection content-base content-encoding ' +
  'content-language content-length content-location content-md5 content-range content-type date ' +
  'etag expect expires from host if-match if-modified-since if-none-match if-range ' +
  'if-unmodified-since last-modified location max-forwards pragma proxy-authenticate ' +
  'proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade ' +
  'user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url ' +
  'public set-cookie keep-alive origin';

/** The rest of the dictionary: values, without lengths. */
const DICTIONARY_TEXT =
  '1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045052' +
  '03 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauth' +
  'orized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unav' +
  'ailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat' +
  ', Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml' +
  '+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=i' +
  'so-8859-1,utf-,*,enq=0.';

/** Adler-32 of the dictionary, as the head of a zlib stream names it. */
const DICTIONARY_ID = 0xe3c6a7c2;

function makeDictionary(): Buffer {
  const parts = DICTIONARY_NAMES.split(' ').flatMap((name) => {
    const text = Buffer.from(name.replace('_', ' '), 'latin1');
    return [uint32(text.length), text];
  });
  const dictionary = concatBytes([...parts, Buffer.from(DICTIONARY_TEXT, 'latin1')]);
  invariant(adler32(dictionary) === DICTIONARY_ID, 'the dictionary is that of SPDY/3');
  return dictionary;
}

function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

let dictionary: Buffer | undefined;

/** The preset dictionary of SPDY/3. */
export function presetDictionary(): Buffer {
  dictionary ??= makeDictionary();
  return dictionary;
}

/** Raised for a block that is not one. The connection is lost then: its zlib stream is. */
export class HeaderBlockError extends Error {
  override name = 'HeaderBlockError';
}

/**
 * Unpacks the blocks of one direction, in order. Each block ends at a byte boundary, so that it is
 * unpacked by itself with what came before as its dictionary; nothing waits for a thread.
 */
export class HeaderReader {
  private window: Buffer | undefined;

  /** Pairs in order; a name that comes twice keeps its last value. Throws: HeaderBlockError. */
  read(block: Uint8Array): Map<string, string> {
    const isFirst = this.window === undefined;
    const before = this.window ?? presetDictionary();
    const packed = isFirst ? withoutZlibHead(block) : block;
    let text: Buffer;
    try {
      text = inflateRawSync(packed, {
        dictionary: before,
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: MAX_HEADER_BYTES,
      });
    } catch (error) {
      throw new HeaderBlockError('the header block cannot be unpacked', { cause: error });
    }
    this.window = concatBytes([before, text]).subarray(-WINDOW_BYTES);
    return parsePairs(text);
  }
}

/** Two bytes of method and flags, and the id of the dictionary. */
function withoutZlibHead(block: Uint8Array): Uint8Array {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const isZlib =
    bytes.length >= 6 && (bytes.readUInt8(0) & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0;
  const usesDictionary = isZlib && (bytes.readUInt8(1) & 0x20) !== 0;
  if (!usesDictionary || bytes.readUInt32BE(2) !== DICTIONARY_ID)
    throw new HeaderBlockError('the first header block does not begin a zlib stream of SPDY/3');
  return bytes.subarray(6);
}

function parsePairs(text: Buffer): Map<string, string> {
  let at = 0;
  const number = (): number => {
    if (at + 4 > text.length) throw new HeaderBlockError('the header block is cut off');
    at += 4;
    return text.readUInt32BE(at - 4);
  };
  const string = (): string => {
    const length = number();
    if (at + length > text.length) throw new HeaderBlockError('the header block is cut off');
    at += length;
    return text.toString('utf8', at - length, at);
  };
  const pairs = new Map<string, string>();
  for (let left = number(); left > 0; left--) {
    const name = string();
    pairs.set(name.toLowerCase(), string());
  }
  return pairs;
}

/** Packs the blocks of one direction, in order. */
export class HeaderWriter {
  private isFirst = true;

  write(headers: ReadonlyMap<string, string>): Buffer {
    const parts: Buffer[] = [uint32(headers.size)];
    for (const pair of headers) {
      for (const text of pair) {
        const bytes = Buffer.from(text);
        parts.push(uint32(bytes.length), bytes);
      }
    }
    // A block that refers to none before it needs no dictionary either.
    const packed = deflateRawSync(concatBytes(parts), { finishFlush: constants.Z_SYNC_FLUSH });
    if (!this.isFirst) return packed;
    this.isFirst = false;
    return concatBytes([Buffer.from([0x78, 0xbb]), uint32(DICTIONARY_ID), packed]);
  }
}
