import type { Server as HttpServer } from 'node:http';
import type { Env } from '../../base/env/env.js';
import { ETCD_VERSION } from '../../base/flags/version.js';
import type { Logger } from '../../base/observe/logger.js';
import { verifiedLevelEngine } from '../../storage/level-engine.js';
import type { LevelFiles } from '../../storage/level-files.js';
import type { ServerConfig } from '../config/server-config.js';
import type { Bootstrap } from '../contract/bootstrap.js';
import { SEGMENT_BYTES } from '../../wal/limits.js';
import { Member } from '../member/member.js';
import { MAX_APPEND_BYTES } from '../member/limits.js';
import type { MemberOptions } from '../member/options.js';
import type { MemberMetrics } from '../metrics/metrics.js';
import { peerMetrics } from '../metrics/peer-metrics.js';
import { TcpPeerTransport } from '../peer/tcp-transport.js';
import type { BoundPorts } from './bound-ports.js';

export interface MemberParts {
  readonly env: Env;
  readonly config: ServerConfig;
  readonly log: Logger;
  readonly metrics: MemberMetrics;
  readonly ports: BoundPorts;
  /** Answers HTTP/1.1 on the ports of peers. */
  readonly peerHttp: HttpServer;
  readonly bootstrap: Bootstrap | undefined;
  readonly onPublished: () => void;
}

/**
 * Opens the member's state, or makes it. No client is served before it is started. Throws:
 * StartupError.
 */
export function openMember(parts: MemberParts): Promise<Member> {
  return new Promise((resolve, reject) => {
    Member.open(memberOptions(parts), (error, member) => {
      if (member === null) reject(error ?? new Error('the member did not open'));
      else resolve(member);
    });
  });
}

function logFiles(log: Logger, { cut, exists, tables, bytes }: LevelFiles): void {
  if (cut !== null) {
    log.warn(
      'the end of the engine’s log was not whole and was cut off; the write-ahead log replays what was in it',
      { path: cut.path, offset: cut.offset, bytes: cut.bytes },
    );
  }
  if (exists) log.info('verified the files of the state', { tables, bytes });
}

function memberOptions(parts: MemberParts): MemberOptions {
  const { env, config, log, metrics, ports, peerHttp, bootstrap, onPublished } = parts;
  return {
    env,
    log,
    name: config.name,
    dataDir: config.dataDir,
    ...(config.walDir === undefined ? {} : { walDir: config.walDir }),
    bootstrap,
    clientUrls: config.advertiseClientUrls,
    heartbeatMs: config.heartbeatMs,
    electionMs: config.electionMs,
    preVote: config.preVote,
    advanceElection: config.initialElectionTickAdvance,
    snapshotCount: config.snapshotCount,
    snapshotCatchupEntries: config.snapshotCatchupEntries,
    maxRequestBytes: config.maxRequestBytes,
    quotaBytes: config.quotaBytes,
    segmentBytes: SEGMENT_BYTES,
    maxAppendBytes: MAX_APPEND_BYTES,
    noFsync: config.unsafeNoFsync,
    skippedIndexes: new Set(config.unsafeSkipEntries),
    leaseCheckpoint: config.featureGates.LeaseCheckpoint,
    compaction: { sliceRows: config.compactionBatchLimit, pauseMs: config.compactionSleepMs },
    openEngine: verifiedLevelEngine(env, (files) => logFiles(log, files)),
    createTransport: (identity) =>
      new TcpPeerTransport({
        env,
        identity,
        ports: ports.peer,
        serverVersion: ETCD_VERSION,
        log: (level, msg, fields) => log[level](msg, fields),
        onHttp: (socket) => peerHttp.emit('connection', socket),
        metrics: peerMetrics(metrics),
      }),
    observer: metrics,
    warningApplyMs: config.warningApplyMs,
    onPublished,
  };
}
