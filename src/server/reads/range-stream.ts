import type { RangeRequest } from '../../gen/rpc.js';
import { FieldWriter } from '../../base/bytes/field-writer.js';
import { ALL_SUBS, type ReadPoint } from '../../mvcc/types.js';
import type { StreamCall } from '../../rpc/service.js';
import { errorOf } from '../contract/errors.js';
import { intervalOf } from '../contract/interval.js';
import { countInSlices } from './count.js';
import { FIRST_CHUNK_KEYS, MAX_CHUNK_KEYS, READ_ROWS } from './limits.js';
import { PinnedState, ReadCall } from './pinned-state.js';
import { spaceOf, type ReadRoles } from './range-read.js';
import { IndexSource, ListSource, RowCursor } from './row-cursor.js';
import { encodedRow, KVS_FIELD, writeTrailingFields, type RowSpace } from './selection.js';

/**
 * Answers a RangeStream: chunks of rows whose number adapts to their size; header, more and count travel in the last
 * message only.
 *
 * Ref: rpc RangeStream of etcd's api/etcdserverpb/rpc.proto.
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
  private readonly space: RowSpace;
  private readonly r: RangeRequest;
  private readonly targetBytes: number;
  private readonly call: StreamCall;
  private readonly point: ReadPoint;
  private readonly header: Uint8Array;
  private readonly state: PinnedState;
  private readonly job: ReadCall;
  private readonly cursor: RowCursor;
  private count = 0;
  private body = new FieldWriter();
  private bodyKeys = 0;
  private chunkKeys = FIRST_CHUNK_KEYS;
  /** Reads on as soon as there is time; otherwise it waits for the client to take what was sent. */
  private isGoing = false;
  private isComplete = false;

  constructor(roles: ReadRoles, r: RangeRequest, targetBytes: number, call: StreamCall) {
    const { store } = roles.reads;
    const current = store.currentRevision;
    this.roles = roles;
    this.space = spaceOf(roles);
    this.r = r;
    this.targetBytes = targetBytes;
    this.call = call;
    this.point = { revision: r.revision > 0 ? r.revision : current, subs: ALL_SUBS };
    this.header = roles.headers.field(current);
    this.state = new PinnedState(store, this.point);
    this.job = new ReadCall(call, this.state);
    this.cursor = new RowCursor(
      r.countOnly
        ? new ListSource([], false)
        : new IndexSource(store, intervalOf(r.key, r.rangeEnd), this.point, r.limit),
    );
  }

  start(): void {
    const { roles, r, job, call, state } = this;
    call.onDrain(() => this.go());
    call.onCancel(state.release);
    this.isGoing = true;
    const { slices, store } = roles.reads;
    countInSlices(slices, job, store, intervalOf(r.key, r.rangeEnd), this.point, (count) => {
      this.count = count;
      this.isGoing = false;
      this.go();
    });
  }

  private go(): void {
    if (this.isGoing || this.isComplete) return;
    this.isGoing = true;
    this.roles.reads.slices.run(
      this.job,
      () => this.step(),
      () => (this.isGoing = false),
    );
  }

  /** Reads some rows; true at the end, or when the client has to take a chunk first. */
  private step(): boolean {
    const { cursor } = this;
    cursor.look(Math.min(READ_ROWS, this.chunkKeys - this.bodyKeys));
    for (let row = cursor.next(); row !== undefined; row = cursor.next()) {
      this.body.bytes(KVS_FIELD, encodedRow(this.space, this.r, row, this.point));
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
    this.state.release();
    this.call.end();
  }
}

/** `RangeStreamResponse { range_response = 1 }`. */
function wrapped(rangeResponse: Uint8Array): Uint8Array {
  const w = new FieldWriter(rangeResponse.length + 12);
  w.bytes(1, rangeResponse);
  return w.finish();
}
