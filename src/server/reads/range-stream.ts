import type { RangeRequest } from '../../gen/rpc.js';
import type { Backend } from '../../storage/backend.js';
import type { StreamCall } from '../../rpc/service.js';
import { intervalOf } from '../contract/interval.js';
import { KVS_FIELD, writeTrailingFields } from './selection.js';
import { errorOf } from '../contract/errors.js';
import { FieldWriter } from '../../base/bytes/field-writer.js';
import { encodedRow, stopIfOver, type ReadRoles } from './range-read.js';
import { IndexSource, ListSource, READ_ROWS, RowCursor } from './row-cursor.js';

const FIRST_CHUNK_KEYS = 10;
/** However small they are: a chunk is held in memory as a whole. */
const MAX_CHUNK_KEYS = 1024;

/**
 * Answers a RangeStream: chunks of rows whose number adapts to their size; header, more and count travel in the last
 * message only.
 *
 * Ref: etcd contract 2.3.
 */
export function answerRangeStream(
  roles: ReadRoles,
  r: RangeRequest,
  targetBytes: number,
  call: StreamCall,
): void {
  const { store } = roles.reads;
  if (r.revision > 0) {
    const reason = store.checkRevision(r.revision);
    if (reason !== null) return call.fail(errorOf(reason));
  }
  new ChunkStream(roles, r, targetBytes, call).start();
}

/** One RangeStream under way: owns the pin that keeps its revision readable. */
class ChunkStream {
  private readonly roles: ReadRoles;
  private readonly r: RangeRequest;
  private readonly targetBytes: number;
  private readonly call: StreamCall;
  private readonly revision: number;
  private readonly header: Uint8Array;
  private readonly count: number;
  private readonly unpin: () => void;
  private readonly state: Backend;
  private readonly cursor: RowCursor;
  private body = new FieldWriter();
  private bodyKeys = 0;
  private chunkKeys = FIRST_CHUNK_KEYS;
  /** Reads on as soon as there is time; otherwise it waits for the client to take what was sent. */
  private isGoing = false;
  private isComplete = false;

  constructor(roles: ReadRoles, r: RangeRequest, targetBytes: number, call: StreamCall) {
    const { store } = roles.reads;
    const interval = intervalOf(r.key, r.rangeEnd);
    const current = store.currentRevision;
    this.roles = roles;
    this.r = r;
    this.targetBytes = targetBytes;
    this.call = call;
    this.revision = r.revision > 0 ? r.revision : current;
    this.header = roles.headers.field(current);
    this.count = store.count(interval, this.revision);
    this.unpin = store.pin(this.revision);
    this.state = store.backend;
    this.cursor = new RowCursor(
      r.countOnly
        ? new ListSource([], false)
        : new IndexSource(roles.reads, interval, this.revision, r.limit),
    );
  }

  start(): void {
    this.call.onDrain(() => this.go());
    this.call.onCancel(this.unpin);
    this.go();
  }

  private go(): void {
    if (this.isGoing || this.isComplete) return;
    this.isGoing = true;
    this.roles.reads.slices.run(
      () => this.stopIfOver(),
      () => this.step(),
      () => (this.isGoing = false),
    );
  }

  private stopIfOver(): boolean {
    return stopIfOver(this.call, this.roles.reads.store.backend !== this.state, this.unpin);
  }

  /** Reads some rows; true at the end, or when the client has to take a chunk first. */
  private step(): boolean {
    const { cursor } = this;
    cursor.look(Math.min(READ_ROWS, this.chunkKeys - this.bodyKeys));
    for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
      this.body.bytes(KVS_FIELD, encodedRow(this.roles, this.r, row, this.revision));
      this.bodyKeys++;
    }
    if (cursor.isAtEnd) {
      this.sendLast();
      return true;
    }
    return this.bodyKeys === this.chunkKeys && !this.sendChunk();
  }

  private sendChunk(): boolean {
    const { body, targetBytes } = this;
    if (body.length < targetBytes / 2) {
      this.chunkKeys = Math.min(2 * this.chunkKeys, MAX_CHUNK_KEYS);
    } else if (body.length > targetBytes * 2) {
      this.chunkKeys = Math.max(1, Math.floor(this.chunkKeys / 2));
    }
    this.body = new FieldWriter(1024);
    this.bodyKeys = 0;
    return this.call.write(wrapped(body.finish()));
  }

  private sendLast(): void {
    const { header, body, count } = this;
    this.isComplete = true;
    const w = new FieldWriter(header.length + body.length + 32);
    w.raw(header);
    w.raw(body.finish());
    writeTrailingFields(w, { more: this.cursor.more, count });
    this.call.write(wrapped(w.finish()));
    this.unpin();
    this.call.end();
  }
}

/** `RangeStreamResponse { range_response = 1 }`. */
function wrapped(rangeResponse: Uint8Array): Uint8Array {
  const w = new FieldWriter(rangeResponse.length + 12);
  w.bytes(1, rangeResponse);
  return w.finish();
}
