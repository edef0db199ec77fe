/** The open streams of one connection, and what is remembered of those that were ended from this side. */
import { DEFAULT_WINDOW } from './frames.js';
import type { Http2Stream } from './stream.js';

const REMEMBERED_MAX = 1024;

export class StreamTable {
  /** Highest stream id the client has used. */
  lastId = 0;
  /** Window the client grants each new stream. */
  initialSendWindow = DEFAULT_WINDOW;
  private readonly open = new Map<number, Http2Stream>();
  /** The stream of the latest HEADERS frame: its DATA mostly follows at once. */
  private recent: Http2Stream | undefined;
  private readonly endedHere = new Set<number>();

  get size(): number {
    return this.open.size;
  }

  get(streamId: number): Http2Stream | undefined {
    const { recent } = this;
    return recent !== undefined && recent.id === streamId ? recent : this.open.get(streamId);
  }

  add(stream: Http2Stream): void {
    this.open.set(stream.id, stream);
    this.recent = stream;
  }

  delete(stream: Http2Stream): void {
    this.open.delete(stream.id);
    if (this.recent === stream) this.recent = undefined;
  }

  has(stream: Http2Stream): boolean {
    return this.get(stream.id) === stream;
  }

  values(): IterableIterator<Http2Stream> {
    return this.open.values();
  }

  /** Frames for this stream may still be under way and are no fault of the client. */
  rememberEnded(streamId: number): void {
    if (this.endedHere.size >= REMEMBERED_MAX) this.endedHere.clear();
    this.endedHere.add(streamId);
  }

  wasEndedHere(streamId: number): boolean {
    return this.endedHere.has(streamId);
  }
}
