/** The header block of a request, checked and interpreted; shared by all requests that send the same bytes. */
import { FieldKind, fieldSize } from './header-field.js';
import type { HeaderField } from './header-field.js';
import type { FieldSink } from './hpack-decoder.js';

/** SETTINGS_MAX_HEADER_LIST_SIZE of this server. */
export const MAX_HEADER_LIST_BYTES = 16 * 1024;

export const HeadFault = {
  none: 0,
  /** Breaks a rule of HTTP/2: the stream is reset. */
  malformed: 1,
  /** The list is longer than this server accepts: HTTP 431. */
  tooLarge: 2,
} as const;
export type HeadFault = (typeof HeadFault)[keyof typeof HeadFault];

/** A `timeoutMs` for a field that was there and could not be read. */
export const BAD_TIMEOUT = -1;

export interface RequestHead {
  readonly fault: HeadFault;
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly contentType: string;
  /** Infinity when absent, BAD_TIMEOUT when unreadable. */
  readonly timeoutMs: number;
  /** Compression of messages with the compressed flag. */
  readonly encoding: string;
  /** The client compresses with gzip and takes it in replies: then it gets it, as from grpc-go. */
  readonly gzipReplies: boolean;
  /** The block may end a request: no pseudo field and none that HTTP/2 forbids. */
  readonly fitsTrailers: boolean;
  /** -1 when absent. */
  readonly contentLength: number;
  readonly fields: readonly HeaderField[];
}

const NO_FIELDS: readonly HeaderField[] = [];
/** The one compression this server has, and the name of none. */
export const GZIP = 'gzip';
export const IDENTITY = 'identity';
const GRPC = 'application/grpc';
const PLUS = 0x2b;
const SEMICOLON = 0x3b;
/** Digits of a timeout; more are malformed by the protocol. */
const MAX_TIMEOUT_DIGITS = 8;
const MAX_LENGTH_DIGITS = 15;

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1000],
  ['m', 1],
  ['u', 1e-3],
  ['n', 1e-6],
]);

/** Gathers the fields of one block; `take` returns the head and makes ready for the next. */
export class HeadBuilder implements FieldSink {
  private fault: HeadFault = HeadFault.none;
  private listBytes = 0;
  private regularSeen = false;
  private pseudoSeen = false;
  private method = '';
  private scheme = '';
  private path = '';
  private authority: string | undefined;
  private contentType = '';
  private timeoutMs = Infinity;
  private encoding = '';
  private acceptEncoding: string | undefined;
  private contentLength = -1;
  private fields: HeaderField[] = [];

  add(field: HeaderField): void {
    this.listBytes += fieldSize(field);
    if (this.listBytes > MAX_HEADER_LIST_BYTES) {
      if (this.fault === HeadFault.none) this.fault = HeadFault.tooLarge;
      return;
    }
    const { kind, value } = field;
    if (kind >= FieldKind.method && kind <= FieldKind.path) {
      this.addPseudo(kind, value);
      return;
    }
    this.regularSeen = true;
    this.fields.push(field);
    switch (kind) {
      case FieldKind.contentType:
        this.contentType = value;
        break;
      case FieldKind.timeout:
        this.timeoutMs = parseTimeout(value);
        break;
      case FieldKind.encoding:
        this.encoding = value;
        break;
      case FieldKind.acceptEncoding:
        this.acceptEncoding =
          this.acceptEncoding === undefined ? value : `${this.acceptEncoding},${value}`;
        break;
      case FieldKind.contentLength:
        this.contentLength = parseLength(value);
        if (this.contentLength < 0) this.fault = HeadFault.malformed;
        break;
      case FieldKind.forbidden:
        this.fault = HeadFault.malformed;
        break;
      default:
    }
  }

  take(): RequestHead {
    const fitsTrailers = this.fault === HeadFault.none && !this.pseudoSeen;
    if (
      this.fault === HeadFault.none &&
      (this.method === '' || this.scheme === '' || this.path === '')
    ) {
      this.fault = HeadFault.malformed;
    }
    const head: RequestHead = {
      fault: this.fault,
      method: this.method,
      path: this.path,
      authority: this.authority ?? '',
      contentType: this.contentType,
      timeoutMs: this.timeoutMs,
      encoding: this.encoding,
      gzipReplies: this.encoding === GZIP && acceptsGzip(this.acceptEncoding),
      fitsTrailers,
      contentLength: this.contentLength,
      fields: this.fault === HeadFault.none ? this.fields : NO_FIELDS,
    };
    this.fault = HeadFault.none;
    this.listBytes = 0;
    this.regularSeen = false;
    this.pseudoSeen = false;
    this.method = '';
    this.scheme = '';
    this.path = '';
    this.authority = undefined;
    this.contentType = '';
    this.timeoutMs = Infinity;
    this.encoding = '';
    this.acceptEncoding = undefined;
    this.contentLength = -1;
    this.fields = [];
    return head;
  }

  private addPseudo(kind: FieldKind, value: string): void {
    let repeated = false;
    this.pseudoSeen = true;
    switch (kind) {
      case FieldKind.method:
        repeated = this.method !== '';
        this.method = value;
        break;
      case FieldKind.scheme:
        repeated = this.scheme !== '';
        this.scheme = value;
        break;
      case FieldKind.path:
        repeated = this.path !== '';
        this.path = value;
        break;
      default:
        repeated = this.authority !== undefined;
        this.authority = value;
    }
    if (repeated || this.regularSeen) this.fault = HeadFault.malformed;
  }
}

/** True for `application/grpc`, alone or followed by a message format or a parameter. */
export function isGrpcContentType(value: string): boolean {
  if (!value.startsWith(GRPC)) return false;
  if (value.length === GRPC.length) return true;
  const next = value.charCodeAt(GRPC.length);
  return next === PLUS || next === SEMICOLON;
}

/** A client that names nothing takes what it sends. */
function acceptsGzip(accepted: string | undefined): boolean {
  return accepted === undefined || accepted.split(',').some((name) => name.trim() === GZIP);
}

function parseTimeout(text: string): number {
  const digits = text.length - 1;
  if (digits < 1 || digits > MAX_TIMEOUT_DIGITS) return BAD_TIMEOUT;
  const unit = UNIT_MS.get(text.charAt(digits));
  const value = parseDigits(text, digits);
  return unit === undefined || value < 0 ? BAD_TIMEOUT : value * unit;
}

function parseLength(text: string): number {
  return text.length === 0 || text.length > MAX_LENGTH_DIGITS ? -1 : parseDigits(text, text.length);
}

function parseDigits(text: string, count: number): number {
  let value = 0;
  for (let at = 0; at < count; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
