/** What is wrong with a JSON text, in the words of Go's encoding/json, which clients see. */

/** Finding of a text that should hold a JSON object (or null); undefined when it does. */
export function jsonObjectProblem(text: string): string | undefined {
  const problem = new Scan(text).problem();
  if (problem !== undefined) return problem;
  const value: unknown = JSON.parse(text);
  const type = Array.isArray(value) ? 'array' : GO_TYPES[typeof value];
  if (value === null || type === undefined) return undefined;
  return `json: cannot unmarshal ${type} into Go value of type map[string]interface {}`;
}

const GO_TYPES: Readonly<Record<string, string>> = {
  boolean: 'bool',
  number: 'number',
  string: 'string',
};

class Refused extends Error {}

/** Reads a text up to the first character that JSON does not allow there. */
class Scan {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  problem(): string | undefined {
    try {
      this.value();
      this.space();
      if (this.at < this.text.length) this.refuse('after top-level value');
      return undefined;
    } catch (error) {
      if (error instanceof Refused) return error.message;
      throw error;
    }
  }

  private value(): void {
    this.space();
    const char = this.text[this.at] ?? '';
    if (char === '{') this.object();
    else if (char === '[') this.array();
    else if (char === '"') this.string();
    else if (/[-0-9]/.test(char)) this.number();
    else this.literal(char);
  }

  private object(): void {
    this.at++;
    if (this.takes('}')) return;
    do {
      this.space();
      if (this.text[this.at] !== '"') this.refuse('looking for beginning of object key string');
      this.string();
      if (!this.takes(':')) this.refuse('after object key');
      this.value();
    } while (this.takes(','));
    if (!this.takes('}')) this.refuse('after object key:value pair');
  }

  private array(): void {
    this.at++;
    if (this.takes(']')) return;
    do this.value();
    while (this.takes(','));
    if (!this.takes(']')) this.refuse('after array element');
  }

  private string(): void {
    this.at++;
    for (;;) {
      this.skip(/[^"\\\u0000-\u001f]*/y);
      if (this.text[this.at] === '"') break;
      if (this.text[this.at] !== '\\') this.refuse('in string literal');
      this.at++;
      if (!/["\\/bfnrtu]/.test(this.text[this.at] ?? '')) this.refuse('in string escape code');
      if (this.text[this.at++] === 'u') this.hexadecimal();
    }
    this.at++;
  }

  private hexadecimal(): void {
    for (const end = this.at + 4; this.at < end; this.at++)
      if (!/[0-9a-fA-F]/.test(this.text[this.at] ?? ''))
        this.refuse('in \\u hexadecimal character escape');
  }

  private number(): void {
    this.skip(/-?/y);
    if (!this.skip(/0|[1-9][0-9]*/y)) this.refuse('in numeric literal');
    if (this.skip(/\./y) && !this.skip(/[0-9]+/y))
      this.refuse('after decimal point in numeric literal');
    if (this.skip(/[eE][-+]?/y) && !this.skip(/[0-9]+/y))
      this.refuse('in exponent of numeric literal');
  }

  private literal(first: string): void {
    const word = ['true', 'false', 'null'].find((name) => name[0] === first);
    if (word === undefined) this.refuse('looking for beginning of value');
    for (const char of word) {
      if (this.text[this.at] !== char) this.refuse(`in literal ${word} (expecting '${char}')`);
      this.at++;
    }
  }

  private space(): void {
    this.skip(/[ \t\r\n]*/y);
  }

  private takes(char: string): boolean {
    this.space();
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  /** False when the pattern matches nothing here. */
  private skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    const length = pattern.exec(this.text)?.[0].length ?? 0;
    this.at += length;
    return length > 0;
  }

  private refuse(where: string): never {
    const code = this.text.codePointAt(this.at);
    if (code === undefined) throw new Refused('unexpected end of JSON input');
    throw new Refused(`invalid character ${shown(String.fromCodePoint(code))} ${where}`);
  }
}

/** A character as Go quotes it. */
function shown(char: string): string {
  if (char === "'") return String.raw`'\''`;
  const escaped = JSON.stringify(char).slice(1, -1);
  return `'${char === '"' ? char : escaped.replace(/^\\u00/, '\\x')}'`;
}
