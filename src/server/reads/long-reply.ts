import { fieldSize, FieldWriter } from '../../base/bytes/field-writer.js';
import { invariant } from '../../base/invariant.js';
import type { SlicedWork } from '../../base/slices/sliced-work.js';
import type { PartSource, UnaryCall } from '../../rpc/service.js';
import type { DeferredReply } from '../contract/roles.js';
import { PART_BYTES, READ_BYTES, WHOLE_BYTES } from './limits.js';
import { ListRead } from './list-read.js';
import { ReadCall, type PinnedState } from './pinned-state.js';

/** Bytes, a list still to be read, or a length-delimited field around such parts. */
export type ReplyPart = Uint8Array | ListRead | ReplyField;

export interface ReplyField {
  readonly field: number;
  readonly parts: readonly ReplyPart[];
}

/**
 * A response that contains lists of rows, read at points of one pinned state. It is read in slices
 * that let other work through, and with bounded memory for lists of any length.
 *
 * A first pass over the index adds up the sizes of the rows, because gRPC wants the length first; a second one reads the
 * rows. A reply up to WHOLE_BYTES is built as a whole; a longer one is read while the transport
 * drains it. The transport refuses one above its longest message before any row is read.
 */
export class LongReply implements DeferredReply {
  private readonly parts: readonly ReplyPart[];
  private readonly state: PinnedState;
  private isTaken = false;

  constructor(state: PinnedState, parts: readonly ReplyPart[]) {
    this.state = state;
    this.parts = parts;
  }

  answer(slices: SlicedWork, call: UnaryCall): void {
    invariant(!this.isTaken, 'a reply is given twice');
    this.isTaken = true;
    const job = new ReadCall(call, this.state);
    const lists = listsOf(this.parts, []);
    let prepared = 0;
    const prepareNext = (): void => {
      const list = lists[prepared++];
      if (list === undefined) this.send(slices, job, call);
      else list.prepare(slices, job, prepareNext);
    };
    prepareNext();
  }

  private send(slices: SlicedWork, job: ReadCall, call: UnaryCall): void {
    const total = lengthOf(this.parts);
    const walk = new ReplyWalk(flatten(this.parts, []));
    if (total > WHOLE_BYTES) {
      call.replyParts(total, new StreamedReply(slices, walk, this.state));
      return;
    }
    // A writer makes room for the longest head of a field.
    const w = new FieldWriter(total + 16);
    slices.run(
      job,
      () => walk.write(w, READ_BYTES),
      () => {
        invariant(w.length === total, 'a reply of {} bytes, measured as {}', w.length, total);
        this.state.release();
        call.reply(w.finish());
      },
    );
  }
}

function listsOf(parts: readonly ReplyPart[], out: ListRead[]): ListRead[] {
  for (const part of parts) {
    if (part instanceof ListRead) out.push(part);
    else if (!(part instanceof Uint8Array)) listsOf(part.parts, out);
  }
  return out;
}

function lengthOf(parts: readonly ReplyPart[]): number {
  let length = 0;
  for (const part of parts) {
    if (part instanceof Uint8Array) length += part.length;
    else if (part instanceof ListRead) length += part.bytes;
    else length += fieldSize(lengthOf(part.parts));
  }
  return length;
}

/** The same parts one behind the other: each field is its head and then its content. */
function flatten(
  parts: readonly ReplyPart[],
  out: (Uint8Array | ListRead)[],
): (Uint8Array | ListRead)[] {
  for (const part of parts) {
    if (part instanceof Uint8Array || part instanceof ListRead) out.push(part);
    else {
      const head = new FieldWriter(16);
      head.head(part.field, lengthOf(part.parts));
      out.push(head.finish());
      flatten(part.parts, out);
    }
  }
  return out;
}

/** Walks over a reply from its first byte to its last, a few rows at a time. */
class ReplyWalk {
  private readonly parts: readonly (Uint8Array | ListRead)[];
  private at = 0;

  constructor(parts: readonly (Uint8Array | ListRead)[]) {
    this.parts = parts;
  }

  /** Writes some of what comes next; true at the end. */
  write(w: FieldWriter, maxBytes: number): boolean {
    const part = this.parts[this.at];
    if (part instanceof ListRead) {
      if (part.write(w, maxBytes)) this.at++;
    } else if (part !== undefined) {
      w.raw(part);
      this.at++;
    }
    return this.at >= this.parts.length;
  }
}

/** A long reply, read a part at a time, as the transport asks for it. */
class StreamedReply implements PartSource {
  private readonly slices: SlicedWork;
  private readonly walk: ReplyWalk;
  private readonly state: PinnedState;
  /** Read and not handed out yet. */
  private part: Uint8Array | undefined;
  private isReading = false;
  private isComplete = false;
  private isAborted = false;

  constructor(slices: SlicedWork, walk: ReplyWalk, state: PinnedState) {
    this.slices = slices;
    this.walk = walk;
    this.state = state;
  }

  next(resume: () => void): Uint8Array | null | undefined {
    // Too late for an error: a reply that ends too early is one the client does not take for whole.
    if (!this.state.isGone) {
      if (this.part === undefined && !this.isReading && !this.isComplete) this.read(resume);
      if (this.isReading) return null;
      const { part } = this;
      this.part = undefined;
      if (part !== undefined) return part;
    }
    this.state.release();
    return undefined;
  }

  abort(): void {
    this.isAborted = true;
    this.state.release();
  }

  /** Reads the next part: within the call if the turn has time for it, else `resume` runs once it is there. */
  private read(resume: () => void): void {
    const { walk, state } = this;
    const w = new FieldWriter(PART_BYTES + 1024);
    const isAborted = (): boolean => this.isAborted;
    let isAwaited = false;
    this.isReading = true;
    const step = (): boolean => {
      if (state.isGone) return true;
      this.isComplete = walk.write(w, PART_BYTES - w.length);
      return this.isComplete || w.length >= PART_BYTES;
    };
    const done = (): void => {
      if (w.length > 0) this.part = w.finish();
      this.isReading = false;
      if (isAwaited) resume();
    };
    const job = {
      get isOver() {
        return isAborted();
      },
      onOver: () => undefined,
    };
    this.slices.run(job, step, done);
    isAwaited = true;
  }
}
