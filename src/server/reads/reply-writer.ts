import { FieldWriter } from '../../base/bytes/field-writer.js';
import type { ListRead } from './list-read.js';
import { LongReply, type ReplyPart } from './long-reply.js';
import type { PinnedState } from './pinned-state.js';

/** Writes a response, or a message within one, that may contain lists still to be read. */
export class ReplyWriter {
  private w = new FieldWriter();
  private readonly parts: ReplyPart[] = [];

  /** Bytes that are whole fields already. */
  raw(bytes: Uint8Array): void {
    this.w.raw(bytes);
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.w.bytes(field, bytes);
  }

  number(field: number, value: number): void {
    this.w.number(field, value);
  }

  bool(field: number, value: boolean): void {
    this.w.bool(field, value);
  }

  list(list: ListRead): void {
    this.cut();
    this.parts.push(list);
  }

  /** A message; written even when empty. */
  message(field: number, content: ReplyWriter): void {
    if (content.parts.length === 0) {
      this.w.bytes(field, content.w.finish());
      return;
    }
    content.cut();
    this.cut();
    this.parts.push({ field, parts: content.parts });
  }

  /** The fields of `content`, behind those written so far. */
  append(content: ReplyWriter): void {
    if (content.parts.length > 0) {
      this.cut();
      this.parts.push(...content.parts);
    }
    this.w.raw(content.w.finish());
  }

  /** The whole response; `pin` is called when there is something left to read. */
  finish(pin: () => PinnedState): Uint8Array | LongReply {
    if (this.parts.length === 0) return this.w.finish();
    this.cut();
    return new LongReply(pin(), this.parts);
  }

  private cut(): void {
    if (this.w.length === 0) return;
    this.parts.push(this.w.finish());
    this.w = new FieldWriter();
  }
}
