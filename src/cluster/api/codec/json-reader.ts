/**
 * Reads JSON as Kubernetes does: names that occur twice in an object are found, nesting is bounded,
 * and what is wrong with a text is said in the words of Go's encoding/json.
 *
 * `JSON.parse` does none of these, so the text is read here; 1 MiB takes some 10 ms.
 * Ref: RFC 8259.
 */
import { GO_ESCAPES } from '../go-escapes.js';
import type { JsonObject, JsonValue } from '../object.js';

/** The text is not JSON. The message is that of encoding/json. */
export class JsonSyntaxError extends Error {
  override name = 'JsonSyntaxError';
}

/** A name that an object holds already. The later value counts. */
export interface Duplicate {
  readonly name: string;
  /** So many different names stand before it. */
  readonly position: number;
}

/** A value with what its plain form cannot show. */
export interface Document {
  readonly value: JsonValue;
  readonly duplicates: ReadonlyMap<JsonObject, readonly Duplicate[]>;
}

/** Depth to which values may contain values. Kubernetes allows 10,000; no kind needs more than 100. */
export const MAX_NESTING = 1000;

/** Requires: text decoded from UTF-8. Throws: JsonSyntaxError. */
export function readJson(text: string): Document {
  return new JsonReader(text).document();
}

/** Sets a property whatever its name is; `__proto__` would otherwise change the prototype. */
export function setOwn(object: JsonObject, name: string, value: JsonValue): void {
  if (name !== '__proto__') object[name] = value;
  else Object.defineProperty(object, name, { value, ...PLAIN });
}

const PLAIN = { enumerable: true, configurable: true, writable: true };

const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

class JsonReader {
  private readonly text: string;
  private pos = 0;
  private depth = 0;
  private readonly duplicates = new Map<JsonObject, Duplicate[]>();

  constructor(text: string) {
    this.text = text;
  }

  document(): Document {
    const value = this.value(this.next());
    if (!Number.isNaN(this.next())) throw this.unexpected('after top-level value');
    return { value, duplicates: this.duplicates };
  }

  /** The next character that is no white space, without passing it; NaN at the end. */
  private next(): number {
    for (;;) {
      const c = this.text.charCodeAt(this.pos);
      if (c !== SPACE && c !== NEWLINE && c !== TAB && c !== RETURN) return c;
      this.pos++;
    }
  }

  private value(first: number): JsonValue {
    switch (first) {
      case QUOTE:
        return this.string();
      case OPEN_OBJECT:
        return this.object();
      case OPEN_LIST:
        return this.list();
      case 0x74:
        return this.word('true', true);
      case 0x66:
        return this.word('false', false);
      case 0x6e:
        return this.word('null', null);
      default:
        if (first === MINUS || isDigit(first)) return this.number();
        throw this.unexpected('looking for beginning of value');
    }
  }

  private object(): JsonObject {
    this.open();
    const object: JsonObject = {};
    let names = 0;
    let c = this.next();
    while (c !== CLOSE_OBJECT) {
      if (c !== QUOTE) throw this.unexpected('looking for beginning of object key string');
      const name = this.string();
      if (this.next() !== COLON) throw this.unexpected('after object key');
      this.pos++;
      if (object[name] !== undefined && Object.hasOwn(object, name)) {
        this.found(object, { name, position: names });
      } else {
        names++;
      }
      setOwn(object, name, this.value(this.next()));
      c = this.next();
      if (c === COMMA) {
        this.pos++;
        c = this.next();
        if (c === CLOSE_OBJECT) throw this.unexpected('looking for beginning of object key string');
      } else if (c !== CLOSE_OBJECT) {
        throw this.unexpected('after object key:value pair');
      }
    }
    this.close();
    return object;
  }

  private list(): JsonValue[] {
    this.open();
    const list: JsonValue[] = [];
    let c = this.next();
    while (c !== CLOSE_LIST) {
      list.push(this.value(c));
      c = this.next();
      if (c === COMMA) {
        this.pos++;
        c = this.next();
        if (c === CLOSE_LIST) throw this.unexpected('looking for beginning of value');
      } else if (c !== CLOSE_LIST) {
        throw this.unexpected('after array element');
      }
    }
    this.close();
    return list;
  }

  private open(): void {
    if (++this.depth > MAX_NESTING) throw this.unexpected('exceeded max depth');
    this.pos++;
  }

  private close(): void {
    this.depth--;
    this.pos++;
  }

  private found(object: JsonObject, duplicate: Duplicate): void {
    const list = this.duplicates.get(object);
    if (list === undefined) this.duplicates.set(object, [duplicate]);
    else list.push(duplicate);
  }

  private string(): string {
    const start = this.pos++;
    let isEscaped = false;
    for (;;) {
      const c = this.text.charCodeAt(this.pos);
      if (c === QUOTE) break;
      if (c === BACKSLASH) {
        isEscaped = true;
        this.escape();
      } else if (c >= SPACE) this.pos++;
      else throw this.unexpected('in string literal');
    }
    this.pos++;
    if (!isEscaped) return this.text.slice(start + 1, this.pos - 1);
    const unescaped = JSON.parse(this.text.slice(start, this.pos)) as string;
    // Half a surrogate pair has no form in UTF-8.
    return unescaped.replace(/\p{Surrogate}/gu, '\ufffd');
  }

  private escape(): void {
    this.pos++;
    const c = this.text[this.pos] ?? '';
    if (c === '' || !'"\\/bfnrtu'.includes(c)) throw this.unexpected('in string escape code');
    this.pos++;
    if (c !== 'u') return;
    for (let i = 0; i < 4; i++, this.pos++) {
      if (!/^[0-9a-fA-F]$/.test(this.text[this.pos] ?? ''))
        throw this.unexpected('in \\u hexadecimal character escape');
    }
  }

  private number(): number {
    const start = this.pos;
    if (this.text.charCodeAt(this.pos) === MINUS) this.pos++;
    if (this.text.charCodeAt(this.pos) === ZERO) this.pos++;
    else this.digits('in numeric literal');
    if (this.text.charCodeAt(this.pos) === DOT) {
      this.pos++;
      this.digits('after decimal point in numeric literal');
    }
    const c = this.text[this.pos];
    if (c === 'e' || c === 'E') {
      this.pos++;
      const sign = this.text[this.pos];
      if (sign === '+' || sign === '-') this.pos++;
      this.digits('in exponent of numeric literal');
    }
    return Number(this.text.slice(start, this.pos));
  }

  private digits(context: string): void {
    if (!isDigit(this.text.charCodeAt(this.pos))) throw this.unexpected(context);
    do this.pos++;
    while (isDigit(this.text.charCodeAt(this.pos)));
  }

  private word<T extends JsonValue>(word: string, value: T): T {
    for (const expected of word) {
      if (this.text[this.pos] !== expected)
        throw this.unexpected(`in literal ${word} (expecting '${expected}')`);
      this.pos++;
    }
    return value;
  }

  private unexpected(context: string): JsonSyntaxError {
    const code = this.text.codePointAt(this.pos);
    if (code === undefined) return new JsonSyntaxError('unexpected end of JSON input');
    return new JsonSyntaxError(`invalid character ${quoted(code)} ${context}`);
  }
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

const ESCAPES: Readonly<Record<string, string>> = { ...GO_ESCAPES, "'": "\\'" };

/** The first byte of a character in UTF-8. */
function quoted(code: number): string {
  return quotedByte(Buffer.from(String.fromCodePoint(code))[0] ?? 0);
}

/** As Go quotes a rune of that number. */
export function quotedByte(byte: number): string {
  const char = String.fromCharCode(byte);
  const hex = byte.toString(16).padStart(2, '0');
  if (ESCAPES[char] !== undefined) return `'${ESCAPES[char]}'`;
  if (byte < SPACE || byte === 0x7f) return `'\\x${hex}'`;
  const isUnprintable = (byte > 0x7f && byte <= 0xa0) || byte === 0xad;
  return isUnprintable ? `'\\u00${hex}'` : `'${char}'`;
}
