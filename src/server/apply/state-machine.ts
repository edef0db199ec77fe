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
} from '../../gen/rpc.js';
import { Bucket, type Backend } from '../../storage/backend.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import type { LeaseId } from '../../mvcc/types.js';
import { unreachable } from '../../base/invariant.js';
import { errorOf, errors } from '../contract/errors.js';
import { FieldWriter } from '../../base/bytes/field-writer.js';
import { CommandKind } from '../contract/command.js';
import { decodeLeaseExpiry } from '../contract/lease-expiry.js';
import type { Headers } from '../contract/roles.js';
import { Alarms } from '../upkeep/alarms.js';
import { Members } from '../membership/members.js';
import { KvMachine, type KvCounts, type KvParts, type KvResult } from './kv.js';
import { hasPut } from './txn.js';

/**
 * The replicated state machine: the only writer of the store, the lessor, the alarms and the member list.
 *
 * `apply` runs one committed command to its end, synchronously, from replicated state and the command's
 * bytes alone: no clock, no randomness, no I/O. Every member that applies the same commands in the same
 * order holds the same state and would give the same replies.
 */

const AlarmAction = { get: 0, activate: 1, deactivate: 2 } as const;
/** Commands that a member whose data may be damaged refuses. */
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

export type ApplyResult = KvResult;

export interface StateMachineParts extends KvParts {
  /** For metrics. */
  readonly onLeaseGranted?: (ttlSeconds: number) => void;
}

export class StateMachine {
  readonly alarms = new Alarms();
  readonly members = new Members();
  readonly kv: KvMachine;
  clusterVersion = '';

  private readonly store: Store;
  private readonly lessor: Lessor;
  private readonly headers: Headers;
  private readonly onLeaseGranted: StateMachineParts['onLeaseGranted'];

  constructor(parts: StateMachineParts) {
    this.store = parts.store;
    this.lessor = parts.lessor;
    this.headers = parts.headers;
    this.onLeaseGranted = parts.onLeaseGranted;
    this.kv = new KvMachine(parts);
  }

  get counts(): KvCounts {
    return this.kv.counts;
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
   * Executes a command whose envelope and body were checked. A refused command has changed nothing. The response is made
   * only with `wantReply`; an empty one takes its place otherwise.
   */
  apply(kind: CommandKind, body: Uint8Array, entryTerm: number, wantReply: boolean): ApplyResult {
    if (this.alarms.corrupt && REFUSED_WHEN_CORRUPT.has(kind)) {
      return errors.corrupt;
    }
    switch (kind) {
      case CommandKind.put: {
        const r = decodePutRequest(body);
        return this.alarms.noSpace ? errors.noSpace : this.kv.applyPut(r, wantReply);
      }
      case CommandKind.deleteRange:
        return this.kv.applyDeleteRange(decodeDeleteRangeRequest(body), wantReply);
      case CommandKind.txn: {
        const r = decodeTxnRequest(body);
        return this.alarms.noSpace && hasPut(r) ? errors.noSpace : this.kv.applyTxn(r, wantReply);
      }
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
    this.kv.deleteKeys(keys);
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

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.concat([a, b]);
}

function leaseKey(id: LeaseId): Uint8Array {
  const key = Buffer.alloc(8);
  key.writeBigInt64BE(BigInt.asIntN(64, id));
  return key;
}
