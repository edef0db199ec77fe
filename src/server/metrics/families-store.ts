/** Metrics of the store, its leases and watches, and the disk below. Names, types and labels are etcd's. */
import { counter, gauge, histogram, type MemberFamily } from './scrape.js';

const STORE: readonly MemberFamily[] = [
  gauge(
    'etcd_mvcc_db_total_size_in_bytes',
    'Size of the store on disk.',
    ({ member }) => member.dbSizeBytes,
  ),
  gauge(
    'etcd_mvcc_db_total_size_in_use_in_bytes',
    'Size of the data in the store.',
    ({ member }) => member.dbSizeInUseBytes,
  ),
  gauge(
    'etcd_mvcc_db_open_read_transactions',
    'Reads spread over several turns that are under way.',
    ({ member }) => member.openReads,
  ),
  counter('etcd_mvcc_put_total', 'Puts applied.', ({ member }) => member.puts),
  counter('etcd_mvcc_delete_total', 'Deletes applied.', ({ member }) => member.deletes),
  counter('etcd_mvcc_range_total', 'Ranges read.', ({ member }) => member.ranges),
  counter(
    'etcd_mvcc_txn_total',
    'Transactions of more than one operation applied.',
    ({ member }) => member.txns,
  ),
  histogram(
    'etcd_mvcc_hash_rev_duration_seconds',
    'Durations of hashing the store at a revision.',
    (metrics) => metrics.hashKv,
  ),
  gauge(
    'etcd_debugging_mvcc_keys_total',
    'Keys that exist at the newest revision.',
    ({ member }) => member.keysTotal,
  ),
  gauge(
    'etcd_debugging_mvcc_current_revision',
    'Newest revision.',
    ({ member }) => member.currentRevision,
  ),
  gauge(
    'etcd_debugging_mvcc_compact_revision',
    'Revision of the last compaction.',
    ({ member }) => member.compactRevision,
  ),
  gauge(
    'etcd_debugging_mvcc_total_put_size_in_bytes',
    'Bytes of keys and values put.',
    ({ member }) => member.putBytes,
  ),
];

const COMPACTION: readonly MemberFamily[] = [
  histogram(
    'etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds',
    'Durations of one slice of removing old revisions from the index.',
    (metrics) => metrics.compaction.indexPauseMs,
  ),
  histogram(
    'etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds',
    'Durations of one slice of removing old revisions from the store.',
    (metrics) => metrics.compaction.rowsPauseMs,
  ),
  histogram(
    'etcd_debugging_mvcc_db_compaction_total_duration_milliseconds',
    'Durations of removing old revisions from the store.',
    (metrics) => metrics.compaction.totalMs,
  ),
  counter(
    'etcd_debugging_mvcc_db_compaction_keys_total',
    'Revisions of keys removed by compactions.',
    ({ metrics }) => metrics.compaction.rowsRemoved,
  ),
  gauge(
    'etcd_debugging_mvcc_db_compaction_last',
    'End of the last compaction, as seconds since the epoch; 0 before the first.',
    ({ metrics }) => metrics.compaction.lastEndMs / 1000,
  ),
];

const WATCHES_AND_LEASES: readonly MemberFamily[] = [
  gauge('etcd_debugging_mvcc_watcher_total', 'Watches.', ({ member }) => member.watchers),
  gauge(
    'etcd_debugging_mvcc_watch_stream_total',
    'Streams that carry watches.',
    ({ member }) => member.watchStreams,
  ),
  gauge(
    'etcd_debugging_mvcc_slow_watcher_total',
    'Watches that are catching up.',
    ({ member }) => member.slowWatchers,
  ),
  gauge(
    'etcd_debugging_mvcc_pending_events_total',
    'Events not yet sent.',
    ({ member }) => member.pendingEvents,
  ),
  counter('etcd_debugging_mvcc_events_total', 'Events sent.', ({ member }) => member.eventsSent),
  counter(
    'etcd_debugging_lease_granted_total',
    'Leases granted.',
    ({ member }) => member.leasesGranted,
  ),
  counter(
    'etcd_debugging_lease_revoked_total',
    'Leases revoked.',
    ({ member }) => member.leasesRevoked,
  ),
  counter(
    'etcd_debugging_lease_renewed_total',
    'Renewals of leases.',
    ({ member }) => member.leasesRenewed,
  ),
  histogram(
    'etcd_debugging_lease_ttl_total',
    'Times to live of granted leases, in seconds.',
    (metrics) => metrics.leaseTtl,
  ),
  counter(
    'etcd_debugging_server_lease_expired_total',
    'Leases revoked because their time was up.',
    ({ member }) => member.leasesExpired,
  ),
];

const DISK: readonly MemberFamily[] = [
  histogram(
    'etcd_disk_wal_fsync_duration_seconds',
    'Waits for the log to reach the disk.',
    (metrics) => metrics.walFsync,
  ),
  histogram(
    'etcd_disk_wal_write_duration_seconds',
    'Durations of writes of the log, which include the sync.',
    (metrics) => metrics.walWrite,
  ),
  gauge(
    'etcd_disk_wal_write_bytes_total',
    'Bytes written to the log.',
    ({ metrics }) => metrics.walWrittenBytes,
  ),
  histogram(
    'etcd_disk_backend_commit_duration_seconds',
    'Durations of commits to the store.',
    (metrics) => metrics.backendCommit,
  ),
  histogram(
    'etcd_disk_backend_snapshot_duration_seconds',
    'Durations of sending the whole store to another member.',
    (metrics) => metrics.imageSend,
  ),
  histogram(
    'etcd_disk_backend_defrag_duration_seconds',
    'Durations of giving the space of removed revisions back to the file system.',
    (metrics) => metrics.reclaimDuration,
  ),
  gauge(
    'etcd_disk_defrag_inflight',
    '1 while space is given back to the file system; requests go on meanwhile.',
    ({ metrics }) => Number(metrics.reclaims > 0),
  ),
  histogram(
    'etcd_snap_db_save_total_duration_seconds',
    'Durations of saving a received store, from its first byte until it is durable.',
    (metrics) => metrics.imageSave,
  ),
  histogram(
    'etcd_snap_db_fsync_duration_seconds',
    'Durations of syncing a received store.',
    (metrics) => metrics.imageSync,
  ),
  histogram(
    'etcd_snap_fsync_duration_seconds',
    'Durations of syncing the store before the log lets go of old entries.',
    (metrics) => metrics.markerSync,
  ),
];

export const STORE_FAMILIES: readonly MemberFamily[] = [
  ...STORE,
  ...COMPACTION,
  ...WATCHES_AND_LEASES,
  ...DISK,
];
