import { encodeConfStateRecord } from '../../../src/gen/peer.js';
import { Backend } from '../../../src/storage/backend.js';
import { openDbSnapshot } from '../../../src/storage/image.js';
import { bytesOf } from '../../../src/base/collections/interval.js';
import { Store } from '../../../src/mvcc/store.js';
import type { SnapshotSource } from '../../../src/storage/engine.js';
import { message, MessageType, type Message } from '../../../src/raft/types.js';
import { Members } from '../../../src/server/membership/members.js';
import { silentLogger } from '../../../src/base/observe/logger.js';
import type { MemberOptions } from '../../../src/server/member/options.js';
import { Member } from '../../../src/server/member/member.js';
import type { PeerHandler } from '../../../src/server/peer/types.js';
import { SteppedEnv } from '../../mvcc/stepped-env.js';
import { FakeTransport } from '../../support/fake-transport.js';
import { MemoryDisk } from '../../support/memory-disk.js';
import {
  MemoryEngine,
  memoryEngineFactory,
  type MemoryDisk as EngineDisk,
} from '../../support/memory-engine.js';
import { ManualEnv } from './manual-env.js';

/** The parts of a machine that outlast a member's process. */
export class Machine {
  readonly disk: MemoryDisk;
  readonly engines = new Map<string, EngineDisk>();
  /** The environment of the process that runs now; work of an earlier one is lost. */
  env: ManualEnv;

  constructor() {
    this.disk = new MemoryDisk({ schedule: (_operation, _bytes, run) => this.env.defer(run) });
    this.env = new ManualEnv(this.disk);
    // Engines live beside the disk; what removes a directory removes its engine.
    const rmSync = this.disk.rmSync.bind(this.disk);
    this.disk.rmSync = (path) => {
      rmSync(path);
      this.engines.delete(path);
    };
  }

  /** Power is lost: `keeps` of what was not synced survives. */
  crash(keeps: boolean): void {
    this.env = new ManualEnv(this.disk);
    this.disk.crash(() => keeps);
    for (const engine of this.engines.values()) {
      if (!keeps) engine.unsynced.length = 0;
      engine.sync();
    }
  }
}

/** A member whose peers are played by the test. */
export class MemberBench {
  member: Member | undefined;
  error: Error | undefined;
  private readonly transport = new FakeTransport();

  constructor(machine: Machine, voters: number, options: Partial<MemberOptions> = {}) {
    const { env } = machine;
    const ids = Array.from({ length: voters }, (_, i) => BigInt(i + 1));
    Member.open(
      {
        env,
        log: silentLogger,
        name: 'm1',
        dataDir: '/data',
        bootstrap: {
          memberId: 1n,
          clusterId: 9n,
          members: ids.map((id) => ({ id, name: `m${id}`, peerURLs: [`http://m${id}:2380`] })),
        },
        clientUrls: ['http://m1:2379'],
        heartbeatMs: 100,
        electionMs: 1000,
        preVote: true,
        advanceElection: false,
        snapshotCount: 1000,
        snapshotCatchupEntries: 10,
        maxRequestBytes: 1_572_864,
        quotaBytes: Infinity,
        segmentBytes: 64 * 1024,
        maxAppendBytes: 1 << 20,
        noFsync: false,
        leaseCheckpoint: false,
        skippedIndexes: new Set(),
        compaction: { sliceRows: 10, pauseMs: 5 },
        openEngine: (dir, done) => {
          machine.disk.mkdirSync(dir);
          memoryEngineFactory(env, machine.engines)(dir, done);
        },
        createTransport: () => this.transport,
        ...options,
      },
      (error, member) => {
        this.error = error ?? undefined;
        this.member = member ?? undefined;
        member?.start(() => undefined);
      },
    );
  }

  get handler(): PeerHandler | undefined {
    return this.transport.handler;
  }

  get sent(): readonly Message[] {
    return this.transport.sent;
  }

  get running(): Member {
    if (this.member === undefined) throw this.error ?? new Error('the member is not open');
    return this.member;
  }
}

export interface Image {
  readonly chunks: readonly Uint8Array[];
  readonly message: Message;
}

/** The image a leader would send: `keys` keys, at `index`, as bytes and as the message that announces it. */
export function imageOf(index: number, term: number, voters: number, keys: number): Image {
  const env = new SteppedEnv(1);
  const backend = new Backend({ engine: new MemoryEngine(env), env });
  const store = env.wait<Store>((done) =>
    Store.open({ backend, env, onLease: () => undefined }, (error, opened) =>
      done(error, opened as Store),
    ),
  );
  const ids = Array.from({ length: voters }, (_, i) => BigInt(i + 1));
  const members = new Members();
  for (const ID of ids) {
    members.set(backend, { ID, name: `m${ID}`, peerURLs: [], clientURLs: [], isLearner: false });
  }
  for (let i = 0; i < keys; i++) {
    const key = `key${i}`;
    const txn = store.begin();
    txn.put(key, bytesOf(key), Buffer.alloc(100, i), 0n);
    txn.end();
  }
  const confState = { voters: ids, learners: [] };
  backend.setConfState(encodeConfStateRecord(confState));
  backend.setApplied(index, term);
  backend.flush();
  const source = env.wait<SnapshotSource>((done) =>
    openDbSnapshot(backend, (error, snapshot) => done(error, snapshot?.source as SnapshotSource)),
  );
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = env.wait<Uint8Array | null>((done) => source.next(done));
    if (chunk === null) break;
    // Cut small, so that there are moments in between.
    for (let at = 0; at < chunk.length; at += 1000) chunks.push(chunk.slice(at, at + 1000));
  }
  source.close();
  const fields = { from: 2n, term, commit: index, snapshot: { index, term, confState } };
  return { chunks, message: message(MessageType.snapshot, 1n, fields) };
}
