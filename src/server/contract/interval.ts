import { keyFromBytes, type Interval } from '../../base/collections/interval.js';

/** True for the range_end that means "every key from `key` on". */
function isOpenEnd(rangeEnd: Uint8Array): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0;
}

/**
 * The interval a (key, range_end) pair of a request names; a range_end at or below key gives an empty one.
 *
 * Ref: message RangeRequest of etcd api/etcdserverpb/rpc.proto.
 */
export function intervalOf(key: Uint8Array, rangeEnd: Uint8Array): Interval {
  const start = keyFromBytes(key);
  if (rangeEnd.length === 0) return { start, end: start + '\0' };
  return { start, end: isOpenEnd(rangeEnd) ? null : keyFromBytes(rangeEnd) };
}
