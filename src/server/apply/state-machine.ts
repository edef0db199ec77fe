import { decodeClusterVersionCommand, decodeMemberAttributesCommand } from '../../gen/peer.js';
import {
  decodeAlarmRequest,
  decodeCompactionRequest,
  decodeDeleteRangeRequest,
  decodeLeaseCheckpointRequest,
  decodeLeaseGrantRequest,
  decodeLeaseRevokeRequest,
  decodePutRequest,
  decodeTxnRequest,
  encodeAlarmMember,
  encodeLeaseGrantResponse,
  type DeleteRangeRequest,
  type PutRequest,
  type TxnRequest,
} from '../../gen/rpc.js';
import { Bucket, type Backend } from '../../storage/backend.js';
import { emptyRow } from '../../mvcc/key-index.js';
import { leaseOf, valueOf } from '../../mvcc/key-value.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import { NO_LEASE, type LeaseId } from '../../mvcc/types.js';
import type { WatchHub } from '../../watch/hub.js';
import type { WriteTxn } from '../../mvcc/write-txn.js';
import type { RpcError } from '../../rpc/service.js';
import { unreachable } from '../../base/invariant.js';
import { errorOf, errors } from '../contract/errors.js';
import { FieldWriter } from '../../base/bytes/field-writer.js';
import { CommandKind } from '../contract/command.js';
import { decodeLeaseExpiry } from '../contract/lease-expiry.js';
import type { Headers } from '../contract/roles.js';
import { Alarms } from '../upkeep/alarms.js';
import { keyFromBytes } from '../../base/collections/interval.js';
import { intervalOf } from '../contract/interval.js';
import { Members } from '../membership/members.js';
import { selectNow, writeSelection } from '../reads/selection.js';
import { choosePath, hasPut, pathProblem, putProblem, type TxnPath } from './txn.js';

/**
 * The replicated state machine: the only writer of the store, the lessor, the alarms and the member list.
 *
 * `apply` runs one committed command to its end, synchronously, from replicated state and the command's
 * bytes alone: no clock, no randomness, no I/O. Every member that applies the same commands in the same
 * order holds the same state and would give the same replies.
 */

const AlarmAction = { get: 0, activate: 1, deactivate: 2 } as const;
const RESPONSE_OP = { range: 1, put: 2, deleteRange: 3, txn: 4 } as const;
/** What a member whose data may be damaged must not do. */
const REFUSED_WHEN_CORRUPT: ReadonlySet<CommandKind> = new Set([
  CommandKind.put,
  CommandKind.deleteRange,
  CommandKind.txn,
  CommandKind.compact,
  CommandKind.leaseGrant,
  CommandKind.leaseRevoke,
  CommandKind.leaseExpire,
]);
const NO_REPLY = new Uint8Array(0);
const CLUSTER_VERSION_KEY = Buffer.from('clusterVersion');

/** The refusal the client must see, or the encoded response; empty when none was wanted. */
export type ApplyResult = RpcError | Uint8Array;

export interface StateMachineParts {
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly headers: Headers;
  /** For metrics. */
  readonly onLeaseGranted?: (ttlSeconds: number) => void;
}

export class StateMachine {
  readonly alarms = new Alarms();
  readonly members = new Members();
  clusterVersion = '';
  /** Operations since start, for metrics. Ranges outside of transactions are counted by who answers them. */
  readonly counts = { puts: 0, deletes: 0, ranges: 0, txns: 0, putBytes: 0 };

  private readonly store: Store;
  private readonly lessor: Lessor;
  private readonly hub: WatchHub;
  private readonly headers: Headers;
  private readonly onLeaseGranted: StateMachineParts['onLeaseGranted'];

  constructor(parts: StateMachineParts) {
    this.store = parts.store;
    this.lessor = parts.lessor;
    this.hub = parts.hub;
    this.headers = parts.headers;
    this.onLeaseGranted = parts.onLeaseGranted;
  }

  /** The image in use: the store changes it when a received one replaces it. */
  private get backend(): Backend {
    return this.store.backend;
  }

  loadClusterVersion(): void {
    const stored = this.backend.get(Bucket.cluster, CLUSTER_VERSION_KEY);
    this.clusterVersion = stored === undefined ? '' : Buffer.from(stored).toString('latin1');
  }

  /**
   * Executes a command whose envelope and body were checked. A refused command has changed nothing. The response is
   * encoded only with `wantReply`.
   */
  apply(kind: CommandKind, body: Uint8Array, entryTerm: number, wantReply: boolean): ApplyResult {
    if (this.alarms.corrupt && REFUSED_WHEN_CORRUPT.has(kind)) {
      return errors.corrupt;
    }
    switch (kind) {
      case CommandKind.put:
        return this.applyPut(decodePutRequest(body), wantReply);
      case CommandKind.deleteRange:
        return this.applyDeleteRange(decodeDeleteRangeRequest(body), wantReply);
      case CommandKind.txn:
        return this.applyTxn(decodeTxnRequest(body), wantReply);
      case CommandKind.compact:
        return this.applyCompact(body);
      case CommandKind.leaseGrant:
        return this.applyLeaseGrant(body);
      case CommandKind.leaseRevoke:
        return this.applyLeaseRevoke(decodeLeaseRevokeRequest(body).ID);
      case CommandKind.leaseExpire:
        return this.applyLeaseExpire(body, entryTerm);
      case CommandKind.leaseCheckpoint:
        return this.applyLeaseCheckpoint(body);
      case CommandKind.alarm:
        return this.applyAlarm(body);
      case CommandKind.memberAttributes: {
        const c = decodeMemberAttributesCommand(body);
        this.members.setAttributes(this.backend, c.memberId, c.name, c.clientUrls);
        return this.headerOnly();
      }
      case CommandKind.clusterVersion:
        this.clusterVersion = decodeClusterVersionCommand(body).version;
        this.backend.put(
          Bucket.cluster,
          CLUSTER_VERSION_KEY,
          Buffer.from(this.clusterVersion, 'latin1'),
        );
        return this.headerOnly();
      default:
        return unreachable(kind);
    }
  }

  private headerOnly(): Uint8Array {
    return this.headers.field(this.store.currentRevision);
  }

  private readonly leaseExists = (id: LeaseId): boolean => this.lessor.exists(id);

  /** Ends a write transaction: its events go to the watchers. */
  private commit(txn: WriteTxn): void {
    const events = txn.end();
    if (events.length > 0) this.hub.notify(this.store.currentRevision, events);
  }

  /** The revision at which a read inside `txn` sees the changes made so far. */
  private visible(txn: WriteTxn): number {
    return txn.changed ? txn.revision : this.store.currentRevision;
  }

  // ---- KV ----

  private applyPut(r: PutRequest, wantReply: boolean): ApplyResult {
    if (this.alarms.noSpace) return errors.noSpace;
    const problem = putProblem(this.store, this.leaseExists, r);
    if (problem !== null) return problem;
    const txn = this.store.begin();
    const prev = this.put(txn, r);
    this.commit(txn);
    if (!wantReply) return NO_REPLY;
    const header = this.headerOnly();
    if (prev === null) return header;
    const w = new FieldWriter(header.length + prev.length + 16);
    w.raw(header);
    w.bytes(2, prev);
    return w.finish();
  }

  /** Performs one put; returns the previous row when the request asks for it and there is one. */
  private put(txn: WriteTxn, r: PutRequest): Uint8Array | null {
    const key = keyFromBytes(r.key);
    let prev: Uint8Array | null = null;
    if (r.prevKv || r.ignoreValue || r.ignoreLease) {
      const row = emptyRow();
      if (this.store.lookup(key, this.visible(txn), row)) {
        prev = this.store.row(row.modRevision, row.sub);
      }
    }
    this.counts.puts++;
    this.counts.putBytes += r.key.length + r.value.length;
    const value = r.ignoreValue && prev !== null ? valueOf(prev) : r.value;
    const lease = r.ignoreLease && prev !== null ? leaseOf(prev) : r.lease;
    txn.put(key, r.key, value, lease);
    if (lease === NO_LEASE) this.lessor.detach(key);
    else this.lessor.attach(key, lease);
    return r.prevKv ? prev : null;
  }

  private applyDeleteRange(r: DeleteRangeRequest, wantReply: boolean): ApplyResult {
    const txn = this.store.begin();
    const w = new FieldWriter();
    const prev = new FieldWriter();
    const deleted = this.deleteRange(txn, r, wantReply ? prev : null);
    this.commit(txn);
    if (!wantReply) return NO_REPLY;
    w.raw(this.headerOnly());
    w.number(2, deleted);
    w.raw(prev.finish());
    return w.finish();
  }

  /** Deletes the interval; writes `prev_kvs` fields into `prevOut` when the request asks for them. */
  private deleteRange(txn: WriteTxn, r: DeleteRangeRequest, prevOut: FieldWriter | null): number {
    this.counts.deletes++;
    const interval = intervalOf(r.key, r.rangeEnd);
    const wantPrev = r.prevKv && prevOut !== null;
    if (wantPrev || this.lessor.size > 0) {
      for (const row of this.store.list(interval, this.visible(txn), 0)) {
        if (wantPrev) prevOut.bytes(3, this.store.row(row.modRevision, row.sub));
        this.lessor.detach(row.key);
      }
    }
    return txn.deleteRange(interval);
  }

  private applyTxn(r: TxnRequest, wantReply: boolean): ApplyResult {
    if (this.alarms.noSpace && hasPut(r)) return errors.noSpace;
    const path = choosePath(this.store, r);
    const problem = pathProblem(this.store, this.leaseExists, path);
    if (problem !== null) return problem;
    const txn = this.store.begin();
    const body = wantReply ? new FieldWriter(256) : null;
    this.executePath(txn, path, body);
    this.commit(txn);
    if (body === null) return NO_REPLY;
    return concat(this.headerOnly(), body.finish());
  }

  /**
   * A transaction that only reads, executed outside the log: the same choice and the same answers as through it.
   */
  readOnlyTxn(r: TxnRequest): ApplyResult {
    const path = choosePath(this.store, r);
    const problem = pathProblem(this.store, this.leaseExists, path);
    if (problem !== null) return problem;
    const body = new FieldWriter(256);
    const txn = this.store.begin();
    this.executePath(txn, path, body);
    txn.end();
    return concat(this.headerOnly(), body.finish());
  }

  /** Executes the chosen ops in order; `out` receives `succeeded` and one `responses` field an op. */
  private executePath(txn: WriteTxn, path: TxnPath, out: FieldWriter | null): void {
    if (path.ops.length > 1) this.counts.txns++;
    out?.bool(2, path.succeeded);
    path.ops.forEach((_op, i) => {
      const response = out === null ? null : new FieldWriter();
      const tag = this.executeOp(txn, path, i, response);
      if (out === null || response === null) return;
      const responseOp = new FieldWriter();
      if (tag !== 0) responseOp.bytes(tag, response.finish());
      out.bytes(3, responseOp.finish());
    });
  }

  /** Runs op `i` of the path, writes the content of its response, returns the field of ResponseOp it belongs to. */
  private executeOp(txn: WriteTxn, path: TxnPath, i: number, out: FieldWriter | null): number {
    const op = path.ops[i];
    if (op?.requestRange !== undefined) {
      this.counts.ranges++;
      if (out !== null) {
        const visible = this.visible(txn);
        const at = op.requestRange.revision > 0 ? op.requestRange.revision : visible;
        writeRevisionHeader(out, visible);
        writeSelection(
          out,
          this.store,
          op.requestRange,
          selectNow(this.store, op.requestRange, at),
        );
      }
      return RESPONSE_OP.range;
    }
    if (op?.requestPut !== undefined) {
      const prev = this.put(txn, op.requestPut);
      if (out !== null) {
        writeRevisionHeader(out, txn.revision);
        if (prev !== null) out.bytes(2, prev);
      }
      return RESPONSE_OP.put;
    }
    if (op?.requestDeleteRange !== undefined) {
      const prev = out === null ? null : new FieldWriter();
      const deleted = this.deleteRange(txn, op.requestDeleteRange, prev);
      if (out !== null && prev !== null) {
        writeRevisionHeader(out, this.visible(txn));
        out.number(2, deleted);
        out.raw(prev.finish());
      }
      return RESPONSE_OP.deleteRange;
    }
    const nested = path.nested.get(i);
    if (nested !== undefined) {
      // A nested response carries a header that is present but empty.
      out?.bytes(1, new Uint8Array(0));
      this.executePath(txn, nested, out);
      return RESPONSE_OP.txn;
    }
    return 0;
  }

  private applyCompact(body: Uint8Array): ApplyResult {
    const reason = this.store.compact(decodeCompactionRequest(body).revision);
    return reason === null ? this.headerOnly() : errorOf(reason);
  }

  // ---- leases ----

  private applyLeaseGrant(body: Uint8Array): ApplyResult {
    if (this.alarms.noSpace) return errors.noSpace;
    const r = decodeLeaseGrantRequest(body);
    const granted = this.lessor.grant(r.ID, r.TTL);
    if (typeof granted === 'string') return errorOf(granted);
    this.onLeaseGranted?.(granted);
    this.saveLease(r.ID);
    return concat(this.headerOnly(), encodeLeaseGrantResponse({ ID: r.ID, TTL: granted }));
  }

  private saveLease(id: LeaseId): void {
    this.backend.put(Bucket.lease, leaseKey(id), this.lessor.row(id));
  }

  private applyLeaseRevoke(id: LeaseId): ApplyResult {
    const keys = this.lessor.revoke(id);
    if (typeof keys === 'string') return errorOf(keys);
    const txn = this.store.begin();
    for (const key of keys) txn.deleteKey(key);
    this.commit(txn);
    this.backend.delete(Bucket.lease, leaseKey(id));
    return this.headerOnly();
  }

  /** An expiry counts only in the term of the leader whose clock it rests on. */
  private applyLeaseExpire(body: Uint8Array, entryTerm: number): ApplyResult {
    const { term, id } = decodeLeaseExpiry(body);
    return term === entryTerm ? this.applyLeaseRevoke(id) : errors.leaderChanged;
  }

  private applyLeaseCheckpoint(body: Uint8Array): ApplyResult {
    for (const c of decodeLeaseCheckpointRequest(body).checkpoints) {
      if (!this.lessor.exists(c.ID)) continue;
      this.lessor.checkpoint(c.ID, c.remainingTTL);
      this.saveLease(c.ID);
    }
    return this.headerOnly();
  }

  // ---- alarms ----

  private applyAlarm(body: Uint8Array): ApplyResult {
    const r = decodeAlarmRequest(body);
    const named = { memberID: r.memberID, alarm: r.alarm };
    let answer;
    if (r.action === AlarmAction.activate) answer = this.alarms.activate(this.backend, named);
    else if (r.action === AlarmAction.deactivate)
      answer = this.alarms.deactivate(this.backend, named);
    else answer = this.alarms.list(r.alarm);
    const w = new FieldWriter();
    w.raw(this.headerOnly());
    for (const alarm of answer) w.bytes(2, encodeAlarmMember(alarm));
    return w.finish();
  }
}

/** The header inside a transaction's op responses carries the revision only. */
function writeRevisionHeader(out: FieldWriter, revision: number): void {
  const content = new FieldWriter(12);
  content.number(3, revision);
  out.bytes(1, content.finish());
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.concat([a, b]);
}

function leaseKey(id: LeaseId): Uint8Array {
  const key = Buffer.alloc(8);
  key.writeBigInt64BE(BigInt.asIntN(64, id));
  return key;
}
