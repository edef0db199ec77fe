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
import type { HeaderEncoder } from '../contract/header.js';
import { decodeLeaseExpiry } from '../lease/expiry.js';
import { CommandKind } from '../contract/member-api.js';
import { Alarms } from '../upkeep/alarms.js';
import { intervalOf, keyOf } from '../contract/interval.js';
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
const CLUSTER_VERSION_KEY = Buffer.from('clusterVersion');

export interface StateMachineParts {
  readonly backend: Backend;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly header: HeaderEncoder;
}

export class StateMachine {
  readonly alarms = new Alarms();
  readonly members = new Members();
  clusterVersion = '';
  /** Operations since start, for metrics. Ranges outside of transactions are counted by who answers them. */
  readonly counts = { puts: 0, deletes: 0, ranges: 0, txns: 0, putBytes: 0 };
  /** Encoded response of the last successful `apply` that was asked for one. */
  reply: Uint8Array = new Uint8Array(0);

  private backend: Backend;
  private readonly store: Store;
  private readonly lessor: Lessor;
  private readonly hub: WatchHub;
  private readonly header: HeaderEncoder;
  /** Term written into reply headers: the answering member's own, kept current by its owner. */
  term = 0;

  constructor(parts: StateMachineParts) {
    this.backend = parts.backend;
    this.store = parts.store;
    this.lessor = parts.lessor;
    this.hub = parts.hub;
    this.header = parts.header;
  }

  /** Continues on another backend, after a snapshot replaced the first. */
  replaceBackend(backend: Backend): void {
    this.backend = backend;
  }

  loadClusterVersion(): void {
    const stored = this.backend.get(Bucket.cluster, CLUSTER_VERSION_KEY);
    this.clusterVersion = stored === undefined ? '' : Buffer.from(stored).toString('latin1');
  }

  /**
   * Executes a command. Returns the refusal the client must see, or null on success; with `wantReply` the
   * response is then in `reply`. A refused command has changed nothing.
   */
  apply(
    kind: CommandKind,
    body: Uint8Array,
    entryTerm: number,
    wantReply: boolean,
  ): RpcError | null {
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
        return this.replyHeaderOnly();
      }
      case CommandKind.clusterVersion:
        this.clusterVersion = decodeClusterVersionCommand(body).version;
        this.backend.put(
          Bucket.cluster,
          CLUSTER_VERSION_KEY,
          Buffer.from(this.clusterVersion, 'latin1'),
        );
        return this.replyHeaderOnly();
      default:
        return unreachable(kind);
    }
  }

  private headerField(revision: number): Uint8Array {
    return this.header.field(revision, this.term);
  }

  private replyHeaderOnly(): null {
    this.reply = this.headerField(this.store.currentRevision);
    return null;
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

  private applyPut(r: PutRequest, wantReply: boolean): RpcError | null {
    if (this.alarms.noSpace) return errors.noSpace;
    const problem = putProblem(this.store, this.leaseExists, r);
    if (problem !== null) return problem;
    const txn = this.store.begin();
    const prev = this.put(txn, r);
    this.commit(txn);
    if (!wantReply) return null;
    const header = this.headerField(this.store.currentRevision);
    if (prev === null) {
      this.reply = header;
    } else {
      const w = new FieldWriter(header.length + prev.length + 16);
      w.raw(header);
      w.bytes(2, prev);
      this.reply = w.finish();
    }
    return null;
  }

  /** Performs one put; returns the previous row when the request asks for it and there is one. */
  private put(txn: WriteTxn, r: PutRequest): Uint8Array | null {
    const key = keyOf(r.key);
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

  private applyDeleteRange(r: DeleteRangeRequest, wantReply: boolean): RpcError | null {
    const txn = this.store.begin();
    const w = new FieldWriter();
    const prev = new FieldWriter();
    const deleted = this.deleteRange(txn, r, wantReply ? prev : null);
    this.commit(txn);
    if (!wantReply) return null;
    w.raw(this.headerField(this.store.currentRevision));
    w.number(2, deleted);
    w.raw(prev.finish());
    this.reply = w.finish();
    return null;
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

  private applyTxn(r: TxnRequest, wantReply: boolean): RpcError | null {
    if (this.alarms.noSpace && hasPut(r)) return errors.noSpace;
    const path = choosePath(this.store, r);
    const problem = pathProblem(this.store, this.leaseExists, path);
    if (problem !== null) return problem;
    const txn = this.store.begin();
    const body = wantReply ? new FieldWriter(256) : null;
    this.executePath(txn, path, body);
    this.commit(txn);
    if (body === null) return null;
    this.reply = concat(this.headerField(this.store.currentRevision), body.finish());
    return null;
  }

  /**
   * A transaction that only reads, executed outside the log: the same choice and the same answers as through it.
   */
  readOnlyTxn(r: TxnRequest): RpcError | null {
    const path = choosePath(this.store, r);
    const problem = pathProblem(this.store, this.leaseExists, path);
    if (problem !== null) return problem;
    const body = new FieldWriter(256);
    const txn = this.store.begin();
    this.executePath(txn, path, body);
    txn.end();
    this.reply = concat(this.headerField(this.store.currentRevision), body.finish());
    return null;
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

  private applyCompact(body: Uint8Array): RpcError | null {
    const reason = this.store.compact(decodeCompactionRequest(body).revision);
    return reason === null ? this.replyHeaderOnly() : errorOf(reason);
  }

  // ---- leases ----

  private applyLeaseGrant(body: Uint8Array): RpcError | null {
    if (this.alarms.noSpace) return errors.noSpace;
    const r = decodeLeaseGrantRequest(body);
    const granted = this.lessor.grant(r.ID, r.TTL);
    if (typeof granted === 'string') return errorOf(granted);
    this.saveLease(r.ID);
    this.reply = concat(
      this.headerField(this.store.currentRevision),
      encodeLeaseGrantResponse({ ID: r.ID, TTL: granted }),
    );
    return null;
  }

  private saveLease(id: LeaseId): void {
    this.backend.put(Bucket.lease, leaseKey(id), this.lessor.row(id));
  }

  private applyLeaseRevoke(id: LeaseId): RpcError | null {
    const keys = this.lessor.revoke(id);
    if (typeof keys === 'string') return errorOf(keys);
    const txn = this.store.begin();
    for (const key of keys) txn.deleteKey(key);
    this.commit(txn);
    this.backend.delete(Bucket.lease, leaseKey(id));
    return this.replyHeaderOnly();
  }

  /** An expiry counts only in the term of the leader whose clock it rests on (F1). */
  private applyLeaseExpire(body: Uint8Array, entryTerm: number): RpcError | null {
    const { term, id } = decodeLeaseExpiry(body);
    return term === entryTerm ? this.applyLeaseRevoke(id) : errors.leaderChanged;
  }

  private applyLeaseCheckpoint(body: Uint8Array): RpcError | null {
    for (const c of decodeLeaseCheckpointRequest(body).checkpoints) {
      if (!this.lessor.exists(c.ID)) continue;
      this.lessor.checkpoint(c.ID, c.remainingTTL);
      this.saveLease(c.ID);
    }
    return this.replyHeaderOnly();
  }

  // ---- alarms ----

  private applyAlarm(body: Uint8Array): RpcError | null {
    const r = decodeAlarmRequest(body);
    const named = { memberID: r.memberID, alarm: r.alarm };
    let answer;
    if (r.action === AlarmAction.activate) answer = this.alarms.activate(this.backend, named);
    else if (r.action === AlarmAction.deactivate)
      answer = this.alarms.deactivate(this.backend, named);
    else answer = this.alarms.list(r.alarm);
    const w = new FieldWriter();
    w.raw(this.headerField(this.store.currentRevision));
    for (const alarm of answer) w.bytes(2, encodeAlarmMember(alarm));
    this.reply = w.finish();
    return null;
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
