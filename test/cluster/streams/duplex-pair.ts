import { Duplex } from 'node:stream';

/** Two ends of a connection within the process: what one writes the other reads, end for end. */
export function duplexPair(): [Duplex, Duplex] {
  const ends: Half[] = [];
  const left = new Half(() => ends[1]);
  const right = new Half(() => ends[0]);
  ends.push(left, right);
  return [left, right];
}

class Half extends Duplex {
  private readonly other: () => Half | undefined;
  private whenRead: (() => void) | undefined;

  constructor(other: () => Half | undefined) {
    super();
    this.other = other;
  }

  override _read(): void {
    const done = this.whenRead;
    this.whenRead = undefined;
    done?.();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const other = this.other();
    if (other === undefined || other.destroyed || other.push(Buffer.from(chunk))) done();
    else other.whenRead = done;
  }

  override _final(done: () => void): void {
    this.other()?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const other = this.other();
    if (other !== undefined && !other.destroyed) setImmediate(() => other.destroy());
    done(error);
  }
}
