/**
 * Requests of etcdserverpb.KV as text for log lines, in the compact text form of protobuf. Values are replaced by their
 * sizes, because they may be secret, as etcd does (api/etcdserverpb/raft_internal_stringer.go).
 */
import {
  decodeDeleteRangeRequest,
  decodePutRequest,
  decodeRangeRequest,
  decodeTxnRequest,
  type Compare,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../../gen/rpc.js';

/** Longer texts are cut: a transaction may have thousands of operations. */
const TEXT_MAX_CHARS = 2048;
/** Operations of one branch that are written out. */
const OPERATIONS_MAX = 32;
/** Bytes of one key that are written out. */
const KEY_MAX_BYTES = 256;

const SORT_ORDERS = ['NONE', 'ASCEND', 'DESCEND'] as const;
const SORT_TARGETS = ['KEY', 'VERSION', 'CREATE', 'MOD', 'VALUE'] as const;
const COMPARE_RESULTS = ['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL'] as const;
const COMPARE_TARGETS = ['VERSION', 'CREATE', 'MOD', 'VALUE', 'LEASE'] as const;

type Field = readonly [name: string, value: string | number | bigint | boolean | undefined];

export function rangeText(request: Uint8Array): string {
  return cut(range(decodeRangeRequest(request)));
}

export function putText(request: Uint8Array): string {
  return cut(put(decodePutRequest(request)));
}

export function deleteRangeText(request: Uint8Array): string {
  return cut(deleteRange(decodeDeleteRangeRequest(request)));
}

export function txnText(request: Uint8Array): string {
  return cut(txn(decodeTxnRequest(request)));
}

function range(r: RangeRequest): string {
  return fields(
    ['key', quoted(r.key)],
    ['range_end', quoted(r.rangeEnd)],
    ['limit', r.limit],
    ['revision', r.revision],
    ['sort_order', named(SORT_ORDERS, r.sortOrder)],
    ['sort_target', named(SORT_TARGETS, r.sortTarget)],
    ['serializable', r.serializable],
    ['keys_only', r.keysOnly],
    ['count_only', r.countOnly],
    ['min_mod_revision', r.minModRevision],
    ['max_mod_revision', r.maxModRevision],
    ['min_create_revision', r.minCreateRevision],
    ['max_create_revision', r.maxCreateRevision],
  );
}

function put(r: PutRequest): string {
  return fields(
    ['key', quoted(r.key)],
    ['value_size', r.value.length],
    ['lease', r.lease],
    ['prev_kv', r.prevKv],
    ['ignore_value', r.ignoreValue],
    ['ignore_lease', r.ignoreLease],
  );
}

function deleteRange(r: DeleteRangeRequest): string {
  return fields(['key', quoted(r.key)], ['range_end', quoted(r.rangeEnd)], ['prev_kv', r.prevKv]);
}

function txn(r: TxnRequest): string {
  const compare = list(r.compare, comparison);
  return `compare:<${compare}> success:<${list(r.success, operation)}> failure:<${list(r.failure, operation)}>`;
}

function comparison(c: Compare): string {
  return fields(
    ['result', named(COMPARE_RESULTS, c.result)],
    ['target', named(COMPARE_TARGETS, c.target)],
    ['key', quoted(c.key)],
    ['version', c.version],
    ['create_revision', c.createRevision],
    ['mod_revision', c.modRevision],
    ['value_size', c.value?.length],
    ['lease', c.lease],
    ['range_end', quoted(c.rangeEnd)],
  );
}

function operation(op: RequestOp): string {
  if (op.requestRange !== undefined) return `request_range:<${range(op.requestRange)}>`;
  if (op.requestPut !== undefined) return `request_put:<${put(op.requestPut)}>`;
  if (op.requestDeleteRange !== undefined)
    return `request_delete_range:<${deleteRange(op.requestDeleteRange)}>`;
  return op.requestTxn === undefined ? '' : `request_txn:<${txn(op.requestTxn)}>`;
}

function list<T>(items: readonly T[], text: (item: T) => string): string {
  const shown = items.slice(0, OPERATIONS_MAX).map(text);
  if (items.length > OPERATIONS_MAX) shown.push(`and ${items.length - OPERATIONS_MAX} more`);
  return shown.join(' ');
}

/** The fields that are set, as proto3 understands it. */
function fields(...all: readonly Field[]): string {
  return all
    .filter(([, value]) => value !== undefined && value !== '' && Boolean(value))
    .map(([name, value]) => `${name}:${String(value)}`)
    .join(' ');
}

/** The name of a value other than the first, which is the default. */
function named(names: readonly string[], value: number): string {
  return value === 0 ? '' : (names[value] ?? String(value));
}

const ESCAPES: Readonly<Record<number, string>> = {
  9: '\\t',
  10: '\\n',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};

/** Bytes in quotes, what is not printable as an octal escape; empty for no bytes. */
function quoted(bytes: Uint8Array): string {
  if (bytes.length === 0) return '';
  let text = '';
  for (const byte of bytes.subarray(0, KEY_MAX_BYTES)) {
    const isPrintable = byte >= 32 && byte < 127;
    text +=
      ESCAPES[byte] ??
      (isPrintable ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, '0')}`);
  }
  return bytes.length > KEY_MAX_BYTES ? `"${text}"...` : `"${text}"`;
}

function cut(text: string): string {
  return text.length <= TEXT_MAX_CHARS ? text : `${text.slice(0, TEXT_MAX_CHARS)}...`;
}
