import type { ClusterVersionCommand, MemberAttributesCommand } from '../../gen/peer.js';
import {
  encodeAlarmMember,
  encodeLeaseGrantResponse,
  type AlarmRequest,
  type LeaseCheckpoint,
  type PutRequest,
} from '../../gen/rpc.js';
import { Bucket, type Backend } from '../../storage/backend.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import type { LeaseId } from '../../mvcc/types.js';
import { errorOf, errors } from '../contract/errors.js';
import { FieldWriter } from '../../base/bytes/field-writer.js';
import type { Headers } from '../contract/roles.js';
import { Alarms } from '../upkeep/alarms.js';
import { Members } from '../membership/members.js';
import { KvMachine, type KvCounts, type KvParts, type KvResult } from './kv.js';
import { hasPut, type TxnPath } from './txn.js';

/**
 * The replicated state machine: the only writer of the store, the lessor, the alarms and the member list.
 *
 * Each method is the effect of one kind of command (commands.ts): it runs to its end, synchronously, from replicated
 * state and the command alone: no clock, no randomness, no I/O. Every member that applies the same commands in the
 * same order holds the same state and would give the same replies. A refused command has changed nothing.
 */

const AlarmAction = { get: 0, activate: 1, deactivate: 2 } as const;
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

  put(r: PutRequest, wantReply: boolean): ApplyResult {
    return this.alarms.noSpace ? errors.noSpace : this.kv.applyPut(r, wantReply);
  }

  txn(path: TxnPath, wantReply: boolean): ApplyResult {
    if (this.alarms.noSpace && hasPut(path.txn)) return errors.noSpace;
    return this.kv.applyTxn(path, wantReply);
  }

  compact(revision: number): ApplyResult {
    const reason = this.store.compact(revision);
    return reason === null ? this.headerOnly() : errorOf(reason);
  }

  setMemberAttributes(c: MemberAttributesCommand): ApplyResult {
    this.members.setAttributes(this.backend, c.memberId, c.name, c.clientUrls);
    return this.headerOnly();
  }

  setClusterVersion({ version }: ClusterVersionCommand): ApplyResult {
    this.clusterVersion = version;
    this.backend.put(Bucket.cluster, CLUSTER_VERSION_KEY, Buffer.from(version, 'latin1'));
    return this.headerOnly();
  }

  private headerOnly(): Uint8Array {
    return this.headers.field(this.store.currentRevision);
  }

  // ---- leases ----

  grantLease(ID: LeaseId, ttlSeconds: number): ApplyResult {
    if (this.alarms.noSpace) return errors.noSpace;
    const granted = this.lessor.grant(ID, ttlSeconds);
    if (typeof granted === 'string') return errorOf(granted);
    this.onLeaseGranted?.(granted);
    this.saveLease(ID);
    return concat(this.headerOnly(), encodeLeaseGrantResponse({ ID, TTL: granted }));
  }

  private saveLease(id: LeaseId): void {
    this.backend.put(Bucket.lease, leaseKey(id), this.lessor.row(id));
  }

  revokeLease(id: LeaseId): ApplyResult {
    const keys = this.lessor.revoke(id);
    if (typeof keys === 'string') return errorOf(keys);
    this.kv.deleteKeys(keys);
    this.backend.delete(Bucket.lease, leaseKey(id));
    return this.headerOnly();
  }

  checkpointLeases(checkpoints: readonly LeaseCheckpoint[]): ApplyResult {
    for (const c of checkpoints) {
      if (!this.lessor.exists(c.ID)) continue;
      this.lessor.checkpoint(c.ID, c.remainingTTL);
      this.saveLease(c.ID);
    }
    return this.headerOnly();
  }

  // ---- alarms ----

  alarm(r: AlarmRequest): ApplyResult {
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
