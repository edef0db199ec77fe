import type { Key } from '../base/collections/interval.js';

/**
 * Shared vocabulary of the multi-version store.
 *
 * A value is never decoded: one put encodes one mvccpb.KeyValue, and those bytes serve the
 * backend, the cache, every range reply and every watcher.
 */

export type LeaseId = bigint;
export const NO_LEASE: LeaseId = 0n;

/** Reasons a store operation is refused; the server maps each to one client-visible error. */
export type MvccReason =
  | 'compacted'
  | 'future-revision'
  | 'state-replaced'
  | 'lease-not-found'
  | 'lease-exists'
  | 'lease-ttl-too-large';

/** One key at one revision as the key index holds it, without its value. */
export interface RowRef {
  key: Key;
  createRevision: number;
  /** main and sub of the revision that wrote the row: the backend's key. */
  modRevision: number;
  sub: number;
  version: number;
  /** Bytes of the row, the encoded KeyValue. */
  size: number;
}

/**
 * A moment to read at: the state after `revision`, or in the middle of it, when only its first
 * `subs` changes count. Reads of a transaction between its own changes can be repeated that way.
 */
export interface ReadPoint {
  readonly revision: number;
  readonly subs: number;
}

/** More changes than one revision can have: all of them count. */
export const ALL_SUBS = 0x7fff_ffff;

/** One change of a committed revision, in execution order. */
export interface StoreEvent {
  readonly type: 'put' | 'delete';
  readonly key: Key;
  readonly modRevision: number;
  readonly sub: number;
  /** Encoded mvccpb.KeyValue: the row for a put; {key, mod_revision} for a delete. */
  readonly kv: Uint8Array;
  /** Only puts: create_revision === mod_revision. */
  readonly isCreate: boolean;
  /**
   * The key's row before this revision (prev_kv); null when it had none. As in etcd, changes of the
   * same transaction do not count.
   */
  readonly prev: { readonly main: number; readonly sub: number } | null;
}
