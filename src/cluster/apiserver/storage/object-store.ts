/**
 * Objects in the store, through etcd's API and nothing else: `src/client` over gRPC. A key is
 * /registry/<prefix of the kind>/<namespace>/<name>; the value is the object's JSON without
 * resourceVersion. Every write names the revision that it replaces.
 */
import type { EtcdClient } from '../../../client/client.js';
import { ClientError } from '../../../client/channel.js';
import type { KeyValue } from '../../../gen/kv.js';
import type { RequestOpInit } from '../../../gen/rpc.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import { apiError, expired, qualified, serviceUnavailable } from '../../api/status.js';
import type { ClusterEnv } from '../../env.js';
import { Histogram } from '../../../base/observe/histogram.js';
import type { EventLeases } from './event-leases.js';
import { StoredObject, inOrder } from './stored-object.js';

const ROOT = '/registry/';
const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** etcdserverpb.Compare: EQUAL and the target MOD. */
const EQUAL = 0;
const TARGET_MOD = 2;
/** gRPC codes that matter here. */
const OUT_OF_RANGE = 11;
const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;
const UNAVAILABLE = 14;
const DEADLINE_EXCEEDED = 4;

export interface StoredPage {
  readonly items: readonly StoredObject[];
  readonly hasMore: boolean;
  /** Objects in the whole range at that revision, those before `from` left out. */
  readonly count: number;
  readonly revision: number;
}

/** Outcome of a conditional write: the object written, or the state that stands against it. */
export type WriteOutcome =
  | { readonly done: StoredObject }
  | {
      readonly done: undefined;
      /** The object as it is now. */
      readonly current: StoredObject | undefined;
      /** Claims of the write that other objects hold. */
      readonly refusedClaims: readonly string[];
    };

/**
 * Names that only one object may hold at a time, as `serviceips/10.96.0.10`. They are taken and
 * given back in the transaction that writes their holder, so that none is given twice or lost,
 * whoever else writes and whoever dies.
 */
export interface ClaimChange {
  readonly take: readonly string[];
  readonly giveBack: readonly string[];
}

const NO_CLAIMS: ClaimChange = { take: [], giveBack: [] };

/** Seconds (etcd_request_duration_seconds of kube-apiserver). */
const DURATION_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export interface StoreDuration {
  readonly operation: string;
  readonly type: string;
  readonly seconds: Histogram;
}

export class ObjectStore {
  private readonly client: EtcdClient;
  private readonly leases: EventLeases;
  private readonly env: ClusterEnv;
  private readonly measured = new Map<string, StoreDuration>();
  private revisionRead: Promise<number> | undefined;
  private nextRevisionRead: Promise<number> | undefined;

  constructor(client: EtcdClient, leases: EventLeases, env: ClusterEnv) {
    this.client = client;
    this.leases = leases;
    this.env = env;
  }

  durations(): Iterable<StoreDuration> {
    return this.measured.values();
  }

  /** Counts the time of a call, and turns refusals of the store into errors of the API. */
  private async timed<T>(operation: string, kind: Kind, call: Promise<T>): Promise<T> {
    const beganMs = this.env.monoMs();
    try {
      return await refused(call);
    } finally {
      const name = `${operation} ${kind.resource}`;
      let duration = this.measured.get(name);
      if (duration === undefined) {
        const type = qualified(kind);
        duration = { operation, type, seconds: new Histogram(DURATION_BOUNDS) };
        this.measured.set(name, duration);
      }
      duration.seconds.observe((this.env.monoMs() - beganMs) / 1000);
    }
  }

  /** The object as of now; undefined when there is none. */
  async get(kind: Kind, key: string): Promise<StoredObject | undefined> {
    const reply = await this.timed('get', kind, this.client.kv.range({ key: keyBytes(kind, key) }));
    return storedOf(kind, reply.kvs[0]);
  }

  /** Writes the object that was last written at `revision`; 0: that must not be there yet. */
  async write(
    kind: Kind,
    key: string,
    revision: number,
    object: KubeObject,
    claims = NO_CLAIMS,
  ): Promise<WriteOutcome> {
    const keyOf = keyBytes(kind, key);
    const value = valueBytes(object);
    const lease =
      kind.ttlSeconds === undefined ? 0n : await refused(this.leases.leaseFor(kind.ttlSeconds));
    const put = { requestPut: { key: keyOf, value, lease } };
    const outcome = await this.change(kind, key, revision, put, claims);
    if (typeof outcome !== 'number') return outcome;
    return { done: StoredObject.fromObject(kind, key, outcome, object, value) };
  }

  /** Removes the object if it is as given; `done` is its last state at the revision of the removal. */
  async delete(kind: Kind, stored: StoredObject, claims = NO_CLAIMS): Promise<WriteOutcome> {
    const { key, revision } = stored;
    const remove = { requestDeleteRange: { key: keyBytes(kind, key) } };
    const outcome = await this.change(kind, key, revision, remove, claims);
    return typeof outcome === 'number' ? { done: stored.at(outcome) } : outcome;
  }

  /** Returns the revision of the change, or what stood against it. */
  private async change(
    kind: Kind,
    key: string,
    revision: number,
    change: RequestOpInit,
    { take, giveBack }: ClaimChange,
  ): Promise<number | WriteOutcome> {
    const operation =
      change.requestPut === undefined ? 'delete' : revision === 0 ? 'create' : 'update';
    const keyOf = keyBytes(kind, key);
    const taken = take.map(claimBytes);
    const holder = encoder.encode(`${kind.storagePrefix}${key}`);
    const reply = await this.timed(
      operation,
      kind,
      this.client.kv.txn({
        compare: [
          { result: EQUAL, target: TARGET_MOD, key: keyOf, modRevision: revision },
          ...taken.map((claim) => ({
            result: EQUAL,
            target: TARGET_MOD,
            key: claim,
            modRevision: 0,
          })),
        ],
        success: [
          change,
          ...taken.map((claim) => ({ requestPut: { key: claim, value: holder } })),
          ...giveBack.map((claim) => ({ requestDeleteRange: { key: claimBytes(claim) } })),
        ],
        failure: [
          { requestRange: { key: keyOf } },
          ...taken.map((claim) => ({ requestRange: { key: claim, keysOnly: true } })),
        ],
      }),
    );
    if (reply.succeeded) return reply.header?.revision ?? 0;
    const [found, ...claims] = reply.responses.map((one) => one.responseRange?.kvs[0]);
    return {
      done: undefined,
      current: storedOf(kind, found),
      refusedClaims: take.filter((_, i) => claims[i] !== undefined),
    };
  }

  /**
   * Objects whose keys begin with `prefix`, from `from` on, at `revision` (0: now).
   *
   * Throws: ApiError 410 when that revision is compacted.
   */
  async list(
    kind: Kind,
    prefix: string,
    from: string,
    limit: number,
    revision: number,
  ): Promise<StoredPage> {
    const start = from > prefix ? from : prefix;
    const reply = await this.timed(
      'list',
      kind,
      this.client.kv.range({
        key: keyBytes(kind, start),
        rangeEnd: prefixEnd(keyBytes(kind, prefix)),
        limit,
        revision,
      }),
    );
    const items = reply.kvs.map((kv) => storedOf(kind, kv)).filter((item) => item !== undefined);
    return {
      items,
      hasMore: reply.more,
      count: reply.count,
      revision: revision === 0 ? (reply.header?.revision ?? 0) : revision,
    };
  }

  /**
   * A revision that is at least that of every write acknowledged before the call. All callers that
   * wait share one linearizable read; a call during one shares the next, which begins after it.
   */
  currentRevision(): Promise<number> {
    if (this.revisionRead === undefined) {
      this.revisionRead = this.readRevision();
      return this.revisionRead;
    }
    this.nextRevisionRead ??= this.revisionRead.then(
      () => this.startNextRead(),
      () => this.startNextRead(),
    );
    return this.nextRevisionRead;
  }

  private startNextRead(): Promise<number> {
    this.nextRevisionRead = undefined;
    this.revisionRead = this.readRevision();
    return this.revisionRead;
  }

  private async readRevision(): Promise<number> {
    try {
      const reply = await refused(
        this.client.kv.range({ key: encoder.encode(ROOT), countOnly: true }),
      );
      return reply.header?.revision ?? 0;
    } finally {
      this.revisionRead = undefined;
    }
  }

  /** Opens one stream with one watcher on all objects of a kind, from `startRevision` on. */
  watch(kind: Kind, startRevision: number, on: StoreWatchEvents): StoreWatch {
    const prefix = keyBytes(kind, '');
    let isEnded = false;
    const end = (reason: StoreWatchEnd): void => {
      if (isEnded) return;
      isEnded = true;
      on.end(reason);
    };
    const stream = this.client.watch.open({
      message: (response) => {
        if (isEnded) return;
        if (response.canceled) {
          end(response.compactRevision > 0 ? 'compacted' : 'broken');
          stream.cancel();
          return;
        }
        const revision = response.header?.revision ?? 0;
        const changes = response.events.map((event) => changeOf(kind, event.type, event.kv));
        if (changes.length > 0) on.changes(changes);
        else if (!response.created) on.progress(revision);
      },
      end: () => end('broken'),
    });
    stream.send({
      createRequest: { key: prefix, rangeEnd: prefixEnd(prefix), startRevision },
    });
    return {
      requestProgress: () => {
        if (!isEnded) stream.send({ progressRequest: {} });
      },
      cancel: () => {
        isEnded = true;
        stream.cancel();
      },
    };
  }
}

export type StoreWatchEnd = 'compacted' | 'broken';

/** One change of one object. */
export interface StoreChange {
  readonly key: string;
  readonly revision: number;
  /** Undefined: it was removed. */
  readonly stored: StoredObject | undefined;
}

export interface StoreWatchEvents {
  /** In the order of revisions. A revision may be spread over two calls only if it changed several objects. */
  readonly changes: (changes: readonly StoreChange[]) => void;
  /** All changes up to `revision` have been shown. */
  readonly progress: (revision: number) => void;
  readonly end: (reason: StoreWatchEnd) => void;
}

export interface StoreWatch {
  /** Asks for `progress`; the server may leave it unanswered while it is behind. */
  requestProgress(): void;
  cancel(): void;
}

function changeOf(kind: Kind, type: number, kv: KeyValue | undefined): StoreChange {
  const key = kv === undefined ? '' : keyText(kind, kv.key);
  const revision = kv?.modRevision ?? 0;
  // 1 is DELETE.
  const stored = type === 1 ? undefined : storedOf(kind, kv);
  return { key, revision, stored };
}

function storedOf(kind: Kind, kv: KeyValue | undefined): StoredObject | undefined {
  if (kv === undefined) return undefined;
  return StoredObject.fromBytes(kind, keyText(kind, kv.key), kv.modRevision, kv.value);
}

function keyBytes(kind: Kind, key: string): Uint8Array {
  return encoder.encode(`${ROOT}${kind.storagePrefix}${key}`);
}

function claimBytes(claim: string): Uint8Array {
  return encoder.encode(`${ROOT}claims/${claim}`);
}

function keyText(kind: Kind, key: Uint8Array): string {
  return decoder.decode(key).slice(ROOT.length + kind.storagePrefix.length);
}

function valueBytes(object: KubeObject): Uint8Array {
  const { resourceVersion: _, ...metadata } = object.metadata;
  return encoder.encode(JSON.stringify(inOrder({ ...object, metadata })));
}

/** The first key that does not begin with `prefix`. Its last byte is never 0xff: keys are UTF-8. */
function prefixEnd(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  const last = end.length - 1;
  end[last] = (end[last] ?? 0) + 1;
  return end;
}

/** Turns refusals of the store into errors of the API. */
async function refused<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    if (error.code === OUT_OF_RANGE && error.message.includes('compacted')) {
      throw expired('The resourceVersion for the provided list is too old.');
    }
    if (error.code === INVALID_ARGUMENT && error.message.includes('request is too large')) {
      throw apiError(413, 'RequestEntityTooLarge', `etcdserver: request is too large`);
    }
    if (error.code === RESOURCE_EXHAUSTED) throw apiError(500, '', error.message);
    if (error.code === UNAVAILABLE || error.code === DEADLINE_EXCEEDED) {
      throw serviceUnavailable(`the store does not answer: ${error.message}`);
    }
    throw apiError(500, 'InternalError', `Internal error occurred: ${error.message}`);
  }
}
