const NEWLINE = 0x0a;

/** Splits a stream of bytes into lines of text, however it is cut. */
export class JsonLines {
  /** Of a line whose end has not come; joined once, when it has. */
  #pending: Buffer[] = [];

  /** The lines that `chunk` completes; empty ones are left out. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#pending.push(chunk.subarray(from, end));
      const line = Buffer.concat(this.#pending).toString('utf8');
      if (line.trim() !== '') lines.push(line);
      this.#pending = [];
      from = end + 1;
    }
    if (from < chunk.length) this.#pending.push(chunk.subarray(from));
    return lines;
  }

  /** True when no line has begun whose end is missing. */
  get isAtEnd(): boolean {
    return this.#pending.length === 0;
  }
}
