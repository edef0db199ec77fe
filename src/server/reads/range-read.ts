import type { RangeRequest } from '../../gen/rpc.js';
import type { Interval } from '../../base/collections/interval.js';
import { FieldWriter } from '../../base/bytes/field-writer.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { ALL_SUBS, type ReadPoint } from '../../mvcc/types.js';
import type { UnaryCall } from '../../rpc/service.js';
import { errorOf } from '../contract/errors.js';
import type { Roles } from '../contract/roles.js';
import { ListRead } from './list-read.js';
import { LongReply } from './long-reply.js';
import { PinnedState } from './pinned-state.js';
import { COUNT_FIELD, encodedRow, isPointRead, KVS_FIELD, type RowSpace } from './selection.js';

/** Reads for clients: each at one fixed revision. */

/** Parts of a member that reads need. */
export type ReadRoles = Pick<Roles, 'headers' | 'lessor' | 'reads'>;

export function spaceOf({ reads, lessor }: ReadRoles): RowSpace {
  return { store: reads.store, lessor };
}

/** Answers a Range whose consistency requirement has been met. */
export function answerRange(
  roles: ReadRoles,
  r: RangeRequest,
  interval: Interval,
  call: UnaryCall,
): void {
  const { store, slices } = roles.reads;
  if (r.revision > 0) {
    const reason = store.checkRevision(r.revision);
    if (reason !== null) return call.fail(errorOf(reason));
  }
  const current = store.currentRevision;
  const point = { revision: r.revision > 0 ? r.revision : current, subs: ALL_SUBS };
  const header = roles.headers.field(current);
  if (isPointRead(r)) {
    call.reply(pointReply(roles, r, interval.start, point, header));
    return;
  }
  const list = new ListRead({
    space: spaceOf(roles),
    request: r,
    interval,
    point,
    field: KVS_FIELD,
    hasTrailer: true,
  });
  new LongReply(new PinnedState(store, point), [header, list]).answer(slices, call);
}

function pointReply(
  roles: ReadRoles,
  r: RangeRequest,
  key: string,
  point: ReadPoint,
  header: Uint8Array,
): Uint8Array {
  const row = emptyRow();
  if (!roles.reads.store.lookup(key, point.revision, row)) return header;
  const bytes = encodedRow(spaceOf(roles), r, row, point);
  const w = new FieldWriter(header.length + bytes.length + 16);
  w.raw(header);
  w.bytes(KVS_FIELD, bytes);
  w.number(COUNT_FIELD, 1);
  return w.finish();
}
