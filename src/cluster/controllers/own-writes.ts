import type { KubeObject } from '../api/object.js';
import type { Informer } from '../client/informer.js';
import type { ClusterEnv } from '../env.js';
import { isGoing } from './references.js';

/** Longest time that a write which never shows is waited for. */
const TIMEOUT_MS = 60_000;

interface Write {
  readonly namespace: string;
  readonly name: string;
  /** The revision that the cache must have; undefined: the object must be gone or going. */
  readonly revision: bigint | undefined;
  readonly untilMs: number;
}

/**
 * Writes of a controller to objects of one resource that its cache may not show yet, by the key
 * they were made for. Until it shows them, the cache is no ground to create, delete or resize more.
 * This only saves wrong work: a controller that starts anew has a fresh cache.
 */
export class OwnWrites<T extends KubeObject> {
  private readonly env: ClusterEnv;
  private readonly informer: Informer<T>;
  /** By key, then by uid. */
  private readonly writes = new Map<string, Map<string, Write>>();

  constructor(env: ClusterEnv, informer: Informer<T>) {
    this.env = env;
    this.informer = informer;
    informer.addHandler({
      onDelete: ({ metadata }) => {
        for (const writes of this.writes.values()) writes.delete(metadata.uid ?? '');
      },
    });
  }

  /** `written` is the API server's answer to a creation or an update. */
  wrote(key: string, written: T): void {
    this.note(key, written, BigInt(written.metadata.resourceVersion ?? '0'));
  }

  deleted(key: string, object: T): void {
    this.note(key, object, undefined);
  }

  /** Undefined when the cache shows all writes for the key; else how long it may still take. */
  waitMs(key: string): number | undefined {
    const writes = this.writes.get(key) ?? new Map<string, Write>();
    const nowMs = this.env.monoMs();
    let untilMs = nowMs;
    for (const [uid, write] of writes) {
      if (write.untilMs <= nowMs || this.isSeen(uid, write)) writes.delete(uid);
      else untilMs = Math.max(untilMs, write.untilMs);
    }
    if (writes.size > 0) return untilMs - nowMs;
    this.writes.delete(key);
    return undefined;
  }

  hasDeleted(key: string, { metadata }: T): boolean {
    const write = this.writes.get(key)?.get(metadata.uid ?? '');
    return write !== undefined && write.revision === undefined;
  }

  forget(key: string): void {
    this.writes.delete(key);
  }

  private note(key: string, { metadata }: T, revision: bigint | undefined): void {
    const { namespace = '', name = '', uid = '' } = metadata;
    const writes = this.writes.get(key) ?? new Map<string, Write>();
    this.writes.set(key, writes);
    const untilMs = this.env.monoMs() + TIMEOUT_MS;
    writes.set(uid, { namespace, name, revision, untilMs });
  }

  private isSeen(uid: string, { namespace, name, revision }: Write): boolean {
    const cached = this.informer.get(namespace, name);
    const isThere = cached !== undefined && cached.metadata.uid === uid;
    if (revision === undefined) return !isThere || isGoing(cached);
    // Revisions of one resource can be compared (KEP-5504).
    return isThere && BigInt(cached.metadata.resourceVersion ?? '0') >= revision;
  }
}
