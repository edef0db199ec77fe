/** Header blocks of responses, as literals that enter no table, so that they are the same bytes on every connection. */
import { FRAME_HEADER_BYTES, Flag, FrameType, writeFrameHeader } from './frames.js';

/** Length prefix of a gRPC message: a flag byte and a 32-bit length. */
export const MESSAGE_PREFIX_BYTES = 5;
const STATUS_200 = 0x88;
const LITERAL_NEVER_INDEXED = 0x10;
const STRING_PREFIX_MAX = 0x7f;
/** grpc-message longer than this is cut: clients refuse header lists of more than 8 to 16 KiB. */
const MAX_MESSAGE_CHARS = 4096;

/** The prefix of a message of `bytes`, compressed or not. */
export function messagePrefix(bytes: number, compressed: boolean): Buffer {
  const prefix = Buffer.alloc(MESSAGE_PREFIX_BYTES);
  prefix[0] = compressed ? 1 : 0;
  prefix.writeUInt32BE(bytes, 1);
  return prefix;
}

/** Encodes fields as literals without table entries and without Huffman. Names must be lower case. */
export function encodeFields(fields: readonly (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    parts.push(Buffer.of(LITERAL_NEVER_INDEXED), encodeText(name), encodeText(value));
  }
  return Buffer.concat(parts);
}

/** Initial headers of a gRPC response. */
export const RESPONSE_HEADERS = Buffer.concat([
  Buffer.of(STATUS_200),
  encodeFields([['content-type', 'application/grpc']]),
]);

/** The same where messages may be compressed. */
export const GZIP_RESPONSE_HEADERS = Buffer.concat([
  RESPONSE_HEADERS,
  encodeFields([['grpc-encoding', 'gzip']]),
]);

/** Trailers of every call that succeeds. */
export const OK_TRAILERS = encodeFields([['grpc-status', '0']]);

/** Trailers of a call that is refused after its headers were sent. */
export function errorTrailers(code: number, message: string): Buffer {
  return encodeFields([
    ['grpc-status', String(code)],
    ['grpc-message', percentEncode(message)],
  ]);
}

/** The only header block of a call that is refused before anything was sent. */
export function trailersOnly(httpStatus: number, code: number, message: string): Buffer {
  const start =
    httpStatus === 200
      ? RESPONSE_HEADERS
      : encodeFields([
          [':status', String(httpStatus)],
          ['content-type', 'application/grpc'],
        ]);
  return Buffer.concat([start, errorTrailers(code, message)]);
}

/** Headers of a refusal whose text is in its body too. */
export function plainErrorHeaders(code: number, message: string): [string, string][] {
  return [
    ['content-type', 'text/plain; charset=utf-8'],
    ['grpc-status', String(code)],
    ['grpc-message', percentEncode(message)],
  ];
}

/** HEADERS frame of a reply, followed by the header of a DATA frame and of the message in it; ids and lengths zero. */
export const REPLY_START = buildReplyStart();
/** Offset in `REPLY_START` at which the DATA frame begins. */
export const REPLY_DATA_AT = FRAME_HEADER_BYTES + RESPONSE_HEADERS.length;
/** HEADERS frame with the trailers of a call that succeeds; id zero. */
export const REPLY_END = buildReplyEnd();

function buildReplyStart(): Buffer {
  const dataAt = FRAME_HEADER_BYTES + RESPONSE_HEADERS.length;
  const start = Buffer.alloc(dataAt + FRAME_HEADER_BYTES + MESSAGE_PREFIX_BYTES);
  writeFrameHeader(start, 0, RESPONSE_HEADERS.length, FrameType.headers, Flag.endHeaders, 0);
  RESPONSE_HEADERS.copy(start, FRAME_HEADER_BYTES);
  writeFrameHeader(start, dataAt, 0, FrameType.data, 0, 0);
  return start;
}

function buildReplyEnd(): Buffer {
  const end = Buffer.alloc(FRAME_HEADER_BYTES + OK_TRAILERS.length);
  const flags = Flag.endHeaders | Flag.endStream;
  writeFrameHeader(end, 0, OK_TRAILERS.length, FrameType.headers, flags, 0);
  OK_TRAILERS.copy(end, FRAME_HEADER_BYTES);
  return end;
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < STRING_PREFIX_MAX) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const prefix = [STRING_PREFIX_MAX];
  let rest = bytes.length - STRING_PREFIX_MAX;
  while (rest >= 0x80) {
    prefix.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  prefix.push(rest);
  return Buffer.concat([Buffer.from(prefix), bytes]);
}

/** Percent-encodes everything but printable ASCII, and the percent sign, as gRPC over HTTP/2 prescribes for grpc-message. */
export function percentEncode(message: string): string {
  const bytes = Buffer.from(message.slice(0, MAX_MESSAGE_CHARS), 'utf8');
  let encoded = '';
  for (const byte of bytes) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}
