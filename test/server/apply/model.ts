import {
  encodeAlarmResponse,
  encodeCompactionResponse,
  encodeDeleteRangeResponse,
  encodeLeaseGrantResponse,
  encodeLeaseRevokeResponse,
  encodePutResponse,
  encodeTxnResponse,
  type Compare,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RangeResponseInit,
  type RequestOp,
  type ResponseOpInit,
  type TxnRequest,
  type TxnResponseInit,
} from '../../../src/gen/rpc.js';
import type { KeyValueInit } from '../../../src/gen/kv.js';
import type { RpcError } from '../../../src/rpc/service.js';
import { errors } from '../../../src/server/contract/errors.js';
import { CLUSTER_ID, MEMBER_ID, TERM } from './machine-bench.js';

export interface Row {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly sub: number;
  readonly version: number;
  readonly lease: bigint;
}

type State = Map<string, Row>;
export type Answer = RpcError | Uint8Array;

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('latin1');
const bytes = (s: string): Buffer => Buffer.from(s, 'latin1');

function kvOf(row: Row, keysOnly = false): KeyValueInit {
  return {
    key: bytes(row.key),
    createRevision: row.create,
    modRevision: row.mod,
    version: row.version,
    value: bytes(keysOnly ? '' : row.value),
    lease: row.lease,
  };
}

function rowsIn(state: State, key: Uint8Array, rangeEnd: Uint8Array): Row[] {
  const start = text(key);
  const end = text(rangeEnd);
  const inside = (k: string): boolean =>
    end === '' ? k === start : k >= start && (end === '\0' || k < end);
  return [...state.values()]
    .filter((row) => inside(row.key))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The rules of a range, one after the other, without any economy. */
export function rangeOf(state: State, r: RangeRequest): RangeResponseInit {
  const all = rowsIn(state, r.key, r.rangeEnd);
  if (r.countOnly) return { count: all.length };
  const bounds = [r.minModRevision, r.maxModRevision, r.minCreateRevision, r.maxCreateRevision];
  let rows = all;
  if (r.sortOrder === 0 && r.limit > 0 && bounds.every((b) => b === 0)) {
    rows = rows.slice(0, r.limit + 1);
  }
  rows = rows.filter(
    (row) =>
      (r.minModRevision === 0 || row.mod >= r.minModRevision) &&
      (r.maxModRevision === 0 || row.mod <= r.maxModRevision) &&
      (r.minCreateRevision === 0 || row.create >= r.minCreateRevision) &&
      (r.maxCreateRevision === 0 || row.create <= r.maxCreateRevision),
  );
  const orders: ((a: Row, b: Row) => number)[] = [
    (a, b) => (a.key < b.key ? -1 : 1),
    (a, b) => a.version - b.version,
    (a, b) => a.create - b.create,
    (a, b) => (a.mod === b.mod ? a.sub - b.sub : a.mod - b.mod),
    (a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0),
  ];
  const order = orders[r.sortTarget];
  if (order !== undefined)
    rows = [...rows].sort((a, b) => (r.sortOrder === 2 ? -1 : 1) * order(a, b));
  const more = r.limit > 0 && rows.length > r.limit;
  if (more) rows = rows.slice(0, r.limit);
  return { kvs: rows.map((row) => kvOf(row, r.keysOnly)), more, count: all.length };
}

/** The state machine written down a second time, slowly: every revision is a whole map. */
export class Model {
  /** By revision. */
  readonly states: State[] = [new Map<string, Row>(), new Map<string, Row>()];
  readonly leases = new Map<bigint, number>();
  readonly alarms = new Set<number>();
  compacted = -1;

  get revision(): number {
    return this.states.length - 1;
  }

  get state(): State {
    return this.states[this.revision] ?? new Map<string, Row>();
  }

  private header(): { clusterId: bigint; memberId: bigint; revision: number; raftTerm: number } {
    return { clusterId: CLUSTER_ID, memberId: MEMBER_ID, revision: this.revision, raftTerm: TERM };
  }

  put(r: PutRequest): Answer {
    if (this.alarms.has(2)) return errors.corrupt;
    if (this.alarms.has(1)) return errors.noSpace;
    if (r.lease !== 0n && !this.leases.has(r.lease)) return errors.leaseNotFound;
    if ((r.ignoreLease || r.ignoreValue) && !this.state.has(text(r.key))) return errors.keyNotFound;
    const change = new Change(this);
    const prev = change.put(r);
    change.end();
    return encodePutResponse({
      header: this.header(),
      ...(prev === null ? {} : { prevKv: kvOf(prev) }),
    });
  }

  delete(r: DeleteRangeRequest): Answer {
    if (this.alarms.has(2)) return errors.corrupt;
    const change = new Change(this);
    const gone = change.delete(r);
    change.end();
    return encodeDeleteRangeResponse({
      header: this.header(),
      deleted: gone.length,
      prevKvs: r.prevKv ? gone.map((row) => kvOf(row)) : [],
    });
  }

  txn(r: TxnRequest): Answer {
    if (this.alarms.has(2)) return errors.corrupt;
    if (this.alarms.has(1) && [...r.success, ...r.failure].some(adds)) return errors.noSpace;
    const before = this.state;
    const problem = this.putsProblem(before, r) ?? this.rangesProblem(before, r);
    if (problem !== null) return problem;
    const change = new Change(this);
    const response = change.txn(before, r);
    change.end();
    return encodeTxnResponse({ ...response, header: this.header() });
  }

  private putsProblem(before: State, r: TxnRequest): RpcError | null {
    for (const { requestPut: p, requestTxn } of branchOf(before, r)) {
      if (p !== undefined) {
        if ((p.ignoreLease || p.ignoreValue) && !before.has(text(p.key))) return errors.keyNotFound;
        if (p.lease !== 0n && !this.leases.has(p.lease)) return errors.leaseNotFound;
      }
      const problem = requestTxn === undefined ? null : this.putsProblem(before, requestTxn);
      if (problem !== null) return problem;
    }
    return null;
  }

  private rangesProblem(before: State, r: TxnRequest): RpcError | null {
    for (const { requestRange, requestTxn } of branchOf(before, r)) {
      const at = requestRange?.revision ?? 0;
      if (at > this.revision) return errors.futureRevision;
      if (at !== 0 && at < this.compacted) return errors.compacted;
      const problem = requestTxn === undefined ? null : this.rangesProblem(before, requestTxn);
      if (problem !== null) return problem;
    }
    return null;
  }

  compact(revision: number): Answer {
    if (this.alarms.has(2)) return errors.corrupt;
    if (revision <= this.compacted) return errors.compacted;
    if (revision > this.revision) return errors.futureRevision;
    this.compacted = revision;
    return encodeCompactionResponse({ header: this.header() });
  }

  grant(ID: bigint, TTL: number): Answer {
    if (this.alarms.has(2)) return errors.corrupt;
    if (this.alarms.has(1)) return errors.noSpace;
    if (this.leases.has(ID)) return errors.leaseExists;
    this.leases.set(ID, TTL);
    return encodeLeaseGrantResponse({ header: this.header(), ID, TTL });
  }

  revoke(ID: bigint): Answer {
    if (this.alarms.has(2)) return errors.corrupt;
    if (!this.leases.delete(ID)) return errors.leaseNotFound;
    const change = new Change(this);
    for (const key of this.keysOf(ID))
      change.delete({ key: bytes(key), rangeEnd: bytes(''), prevKv: false });
    change.end();
    return encodeLeaseRevokeResponse({ header: this.header() });
  }

  keysOf(lease: bigint): string[] {
    const keys: string[] = [];
    for (const row of this.state.values()) if (row.lease === lease) keys.push(row.key);
    return keys.sort();
  }

  alarm(action: number, alarm: number): Answer {
    const named = { memberID: MEMBER_ID, alarm };
    let alarms: (typeof named)[] = [];
    if (action === 1) {
      this.alarms.add(alarm);
      alarms = [named];
    } else if (action === 2) {
      if (this.alarms.delete(alarm)) alarms = [named];
    } else {
      const wanted = [...this.alarms].sort().filter((a) => alarm === 0 || a === alarm);
      alarms = wanted.map((a) => ({ memberID: MEMBER_ID, alarm: a }));
    }
    return encodeAlarmResponse({ header: this.header(), alarms });
  }
}

function adds(op: RequestOp): boolean {
  if (op.requestPut !== undefined) return true;
  return (
    op.requestTxn !== undefined && [...op.requestTxn.success, ...op.requestTxn.failure].some(adds)
  );
}

function branchOf(before: State, r: TxnRequest): readonly RequestOp[] {
  return r.compare.every((c) => holds(before, c)) ? r.success : r.failure;
}

function holds(state: State, c: Compare): boolean {
  const rows = rowsIn(state, c.key, c.rangeEnd);
  if (rows.length === 0) {
    if (c.target === 3) return false;
    return judged(c, 0n, numberOf(c));
  }
  return rows.every((row) => {
    if (c.target === 3) return judged(c, row.value, text(c.value));
    const actual = [row.version, row.create, row.mod, 0, row.lease][c.target];
    return judged(c, BigInt(actual ?? 0), actual === undefined ? 0n : numberOf(c));
  });
}

function numberOf(c: Compare): bigint {
  const expected = [c.version, c.createRevision, c.modRevision, 0, c.lease][c.target];
  return BigInt(expected ?? 0);
}

function judged<T>(c: Compare, actual: T, expected: T): boolean {
  const truths = [actual === expected, actual > expected, actual < expected, actual !== expected];
  return truths[c.result] ?? true;
}

/** The changes of one command. */
class Change {
  private readonly model: Model;
  private readonly state: State;
  private readonly main: number;
  private readonly before: number;
  private sub = 0;

  constructor(model: Model) {
    this.model = model;
    this.state = new Map(model.state);
    this.before = model.revision;
    this.main = model.revision + 1;
  }

  private get visible(): number {
    return this.sub > 0 ? this.main : this.before;
  }

  put(r: PutRequest): Row | null {
    const key = text(r.key);
    const prev = this.state.get(key) ?? null;
    this.state.set(key, {
      key,
      value: r.ignoreValue && prev !== null ? prev.value : text(r.value),
      create: prev?.create ?? this.main,
      mod: this.main,
      sub: this.sub++,
      version: (prev?.version ?? 0) + 1,
      lease: r.ignoreLease && prev !== null ? prev.lease : r.lease,
    });
    return r.prevKv ? prev : null;
  }

  delete(r: DeleteRangeRequest): Row[] {
    const rows = rowsIn(this.state, r.key, r.rangeEnd);
    for (const row of rows) this.state.delete(row.key);
    this.sub += rows.length;
    return rows;
  }

  txn(before: State, r: TxnRequest): TxnResponseInit {
    const succeeded = r.compare.every((c) => holds(before, c));
    const responses = (succeeded ? r.success : r.failure).map((op) => this.op(before, op));
    return { succeeded, responses };
  }

  private op(before: State, op: RequestOp): ResponseOpInit {
    if (op.requestRange !== undefined) {
      const at = op.requestRange.revision;
      const state = at > 0 ? (this.model.states[at] ?? new Map<string, Row>()) : this.state;
      const header = { revision: this.visible };
      return { responseRange: { header, ...rangeOf(state, op.requestRange) } };
    }
    if (op.requestPut !== undefined) {
      const prev = this.put(op.requestPut);
      const header = { revision: this.main };
      return { responsePut: { header, ...(prev === null ? {} : { prevKv: kvOf(prev) }) } };
    }
    if (op.requestDeleteRange !== undefined) {
      const gone = this.delete(op.requestDeleteRange);
      return {
        responseDeleteRange: {
          header: { revision: this.visible },
          deleted: gone.length,
          prevKvs: op.requestDeleteRange.prevKv ? gone.map((row) => kvOf(row)) : [],
        },
      };
    }
    if (op.requestTxn === undefined) return {};
    return { responseTxn: { header: {}, ...this.txn(before, op.requestTxn) } };
  }

  end(): void {
    if (this.sub > 0) this.model.states.push(this.state);
  }
}
