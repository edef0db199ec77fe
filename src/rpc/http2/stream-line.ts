import type { Http2Stream } from './stream.js';

/** Streams taken out of the front of the array at once. */
const COMPACT_AT = 64;

/** Streams in line, first come first served. */
export class StreamLine {
  private readonly streams: Http2Stream[] = [];
  private first = 0;

  get isEmpty(): boolean {
    return this.first === this.streams.length;
  }

  push(stream: Http2Stream): void {
    this.streams.push(stream);
  }

  shift(): Http2Stream | undefined {
    const stream = this.streams[this.first];
    if (stream === undefined) return undefined;
    this.first++;
    if (this.isEmpty) {
      this.streams.length = 0;
      this.first = 0;
    } else if (this.first >= COMPACT_AT && this.first * 2 >= this.streams.length) {
      this.streams.splice(0, this.first);
      this.first = 0;
    }
    return stream;
  }
}
