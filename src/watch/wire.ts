import {
  allocate,
  sizeBig,
  sizeBytes,
  sizeInt,
  sizeString,
  writeBig,
  writeBytes,
  writeInt,
  writeString,
} from '../base/protobuf/runtime.js';
import type { WatchEvent } from './event.js';

/**
 * Bytes of etcdserverpb.WatchResponse, put together from parts that already are bytes.
 *
 * The generated codec would encode each event again for each watcher. Here one encoding of the events serves
 * every watcher that gets them; only the header and the watch id in front differ.
 */

const TAG_WATCH_ID = 0x10;
const TAG_CREATED = 0x18;
const TAG_CANCELED = 0x20;
const TAG_COMPACT_REVISION = 0x28;
const TAG_CANCEL_REASON = 0x32;
const TAG_FRAGMENT = 0x38;
const TAG_EVENTS = 0x5a;
const TAG_EVENT_TYPE = 0x08;
const TAG_EVENT_KV = 0x12;
const TAG_EVENT_PREV_KV = 0x1a;

const TYPE_DELETE = 1;
/** Size of `fragment: true`. */
export const FRAGMENT_FIELD_BYTES = 2;

/** Content of a response without events, besides its header and watch id. */
export interface ControlFields {
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compactRevision?: number;
  readonly cancelReason?: string;
}

/** A response without events: created, canceled or progress. */
export function encodeControl(
  header: Uint8Array,
  watchId: bigint,
  fields: ControlFields,
): Uint8Array {
  const { created = false, canceled = false, compactRevision = 0, cancelReason = '' } = fields;
  let size = header.length + watchIdFieldSize(watchId);
  if (created) size += 2;
  if (canceled) size += 2;
  if (compactRevision !== 0) size += 1 + sizeInt(compactRevision);
  if (cancelReason !== '') size += 1 + sizeString(cancelReason);
  const out = allocate(size);
  out.set(header, 0);
  let pos = writeWatchIdField(out, header.length, watchId);
  if (created) {
    out[pos++] = TAG_CREATED;
    out[pos++] = 1;
  }
  if (canceled) {
    out[pos++] = TAG_CANCELED;
    out[pos++] = 1;
  }
  if (compactRevision !== 0) {
    out[pos++] = TAG_COMPACT_REVISION;
    pos = writeInt(out, pos, compactRevision);
  }
  if (cancelReason !== '') {
    out[pos++] = TAG_CANCEL_REASON;
    writeString(out, pos, cancelReason);
  }
  return out;
}

/** Size of the `watch_id` field; zero is not on the wire. */
export function watchIdFieldSize(watchId: bigint): number {
  return watchId === 0n ? 0 : 1 + sizeBig(watchId);
}

export function writeWatchIdField(out: Uint8Array, pos: number, watchId: bigint): number {
  if (watchId === 0n) return pos;
  out[pos] = TAG_WATCH_ID;
  return writeBig(out, pos + 1, watchId);
}

export function writeFragmentField(out: Uint8Array, pos: number): number {
  out[pos] = TAG_FRAGMENT;
  out[pos + 1] = 1;
  return pos + FRAGMENT_FIELD_BYTES;
}

/** Size of one `events` field: tag, length and the event. */
export function eventFieldSize(event: WatchEvent, withPrev: boolean): number {
  const content = eventSize(event, withPrev);
  return 1 + sizeInt(content) + content;
}

export function writeEventField(
  out: Uint8Array,
  at: number,
  event: WatchEvent,
  withPrev: boolean,
): number {
  let pos = at;
  out[pos++] = TAG_EVENTS;
  pos = writeInt(out, pos, eventSize(event, withPrev));
  if (event.change.type === 'delete') {
    out[pos++] = TAG_EVENT_TYPE;
    out[pos++] = TYPE_DELETE;
  }
  out[pos++] = TAG_EVENT_KV;
  pos = writeBytes(out, pos, event.change.kv);
  const prevKv = withPrev ? event.prevKv : undefined;
  if (prevKv !== undefined) {
    out[pos++] = TAG_EVENT_PREV_KV;
    pos = writeBytes(out, pos, prevKv);
  }
  return pos;
}

function eventSize(event: WatchEvent, withPrev: boolean): number {
  let size = 1 + sizeBytes(event.change.kv);
  if (event.change.type === 'delete') size += 2;
  const prevKv = withPrev ? event.prevKv : undefined;
  if (prevKv !== undefined) size += 1 + sizeBytes(prevKv);
  return size;
}
