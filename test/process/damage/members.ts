import { createHash } from 'node:crypto';
import type { Done, Env } from '../../../src/base/env/env.js';
import { silentLogger } from '../../../src/base/observe/logger.js';
import type { Message } from '../../../src/raft/types.js';
import { Member } from '../../../src/server/member/member.js';
import type { MemberOptions } from '../../../src/server/member/options.js';
import type { SnapshotSource } from '../../../src/storage/engine.js';
import type { PeerHandler, PeerTransport } from '../../../src/server/peer/types.js';
import { Bucket } from '../../../src/storage/backend.js';
import { verifiedLevelEngine } from '../../../src/storage/level-engine.js';

/** Members of one cluster in one process, on real directories, without a network. */

const HEARTBEAT_MS = 5;
const ELECTION_MS = 50;

/** Carries messages between the members of this process. */
class LocalNet {
  private readonly handlers = new Map<bigint, PeerHandler>();

  transport(id: bigint): PeerTransport {
    const transport: Partial<PeerTransport> = {
      start: (handler: PeerHandler, done: Done) => {
        this.handlers.set(id, handler);
        done(null);
      },
      setPeers: () => undefined,
      send: (messages) => {
        for (const message of messages) this.deliver(id, message);
      },
      sendSnapshot: (message, source, done) => this.stream(id, message, source, done),
      request: (_to, _kind, _body, _timeoutMs, done) => done(new Error('no requests here'), null),
      connectedSince: (other) => (this.handlers.has(other) ? 0 : undefined),
      close: (done) => {
        this.handlers.delete(id);
        done();
      },
    };
    return transport as PeerTransport;
  }

  private deliver(from: bigint, message: Message): void {
    setImmediate(() => this.handlers.get(message.to)?.onMessages(from, [message]));
  }

  private stream(from: bigint, message: Message, source: SnapshotSource, done: Done): void {
    const handler = this.handlers.get(message.to);
    const sink = handler?.onSnapshot(from, message) ?? null;
    const end = (error: Error | null): void => {
      source.close();
      if (error === null) this.deliver(from, message);
      done(error);
    };
    if (sink === null) return end(new Error('the snapshot was refused'));
    const step = (): void => {
      source.next((error, chunk) => {
        if (error !== null) return end(error);
        if (chunk === null) return sink.finish(end);
        sink.write(chunk, (writeError) => (writeError === null ? step() : end(writeError)));
      });
    };
    step();
  }
}

export interface ClusterOptions {
  readonly size: number;
  /** Data directory of member `i`, counted from 0. */
  readonly dataDir: (i: number) => string;
  readonly env: (i: number) => Env;
}

export class LocalCluster {
  private readonly net = new LocalNet();
  private readonly options: ClusterOptions;

  constructor(options: ClusterOptions) {
    this.options = options;
  }

  /** Opens and starts member `i`. */
  open(i: number): Promise<Member> {
    const { size, dataDir, env: envOf } = this.options;
    const env = envOf(i);
    const ids = Array.from({ length: size }, (_, n) => BigInt(n + 1));
    const options: MemberOptions = {
      env,
      log: silentLogger,
      name: `m${i + 1}`,
      dataDir: dataDir(i),
      bootstrap: {
        memberId: BigInt(i + 1),
        clusterId: 9n,
        members: ids.map((id) => ({ id, name: `m${id}`, peerURLs: [`http://m${id}:2380`] })),
      },
      clientUrls: [`http://m${i + 1}:2379`],
      heartbeatMs: HEARTBEAT_MS,
      electionMs: ELECTION_MS,
      preVote: true,
      advanceElection: true,
      snapshotCount: 60,
      snapshotCatchupEntries: 10,
      maxRequestBytes: 1_572_864,
      quotaBytes: Infinity,
      segmentBytes: 32 * 1024,
      maxAppendBytes: 1 << 20,
      noFsync: true,
      leaseCheckpoint: false,
      skippedIndexes: new Set(),
      compaction: { sliceRows: 50, pauseMs: 1 },
      openEngine: verifiedLevelEngine(env, () => undefined),
      createTransport: (identity) => this.net.transport(identity.memberId),
    };
    return new Promise((resolve, reject) => {
      Member.open(options, (error, member) => {
        if (member === null) return reject(error ?? new Error('the member did not open'));
        member.start((startError) => (startError === null ? resolve(member) : reject(startError)));
      });
    });
  }
}

export function stop(member: Member): Promise<void> {
  return new Promise((resolve) => member.stop(resolve));
}

/** Waits until what was acknowledged before the call can be read. */
export function linearizable(member: Member): Promise<void> {
  return new Promise((resolve, reject) => {
    member.roles.reads.linearizable((error) =>
      error === null ? resolve() : reject(new Error(error.message)),
    );
  });
}

/**
 * Everything a client can read from a member, as one text. It has all changes of the remaining
 * history with their values, the newest state by way of the index, leases, members, alarms and the
 * cluster's version.
 */
export async function contentOf(member: Member): Promise<string> {
  const { store } = member;
  const { backend } = store;
  await new Promise<void>((resolve) => store.whenCompacted(store.compactRevision, resolve));
  await new Promise<void>((resolve) => backend.whenWritten(resolve));
  const hash = createHash('sha256');
  hash.update(`${store.currentRevision} ${store.compactRevision};`);
  for (const row of store.list({ start: '', end: null }, store.currentRevision, 0)) {
    hash.update(`${row.key} ${row.modRevision}.${row.sub} ${row.createRevision} ${row.version} `);
    hash.update(store.row(row.modRevision, row.sub));
  }
  for (const bucket of Object.values(Bucket)) {
    if (bucket === Bucket.meta) continue;
    await new Promise<void>((resolve, reject) => {
      backend.forEach(
        bucket,
        (key, payload) => {
          hash.update(`${bucket} ${Buffer.from(key).toString('hex')} `).update(payload);
          return true;
        },
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
  }
  return `${store.currentRevision} ${store.compactRevision} ${hash.digest('hex')}`;
}

/** The checksum of the history as clients get it, with its revision. */
export function historyHashOf(member: Member): Promise<string> {
  const { store } = member;
  return new Promise((resolve, reject) => {
    store.hashKV(0, (error, result) => {
      if (result === null) reject(error instanceof Error ? error : new Error(String(error)));
      else resolve(historyHash(store.currentRevision, result.compactRevision, result.hash));
    });
  });
}

export function historyHash(revision: number, compactRevision: number, hash: number): string {
  return `revision ${revision}, compacted at ${compactRevision}, hash ${hash}`;
}
