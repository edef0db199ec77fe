import type { Disk } from '../../base/env/env.js';
import { StartupError } from '../../base/flags/startup-error.js';
import type { DataDir } from '../contract/data-dir.js';

/** Bolt's magic number in the first meta page, behind a page header of 16 bytes (go.etcd.io/bbolt, db.go). */
const BOLT_MAGIC = 0xed0cdaed;
const BOLT_MAGIC_AT = 16;
/** The first record of each etcd segment: type 4, then its crc, behind a length of 8 bytes (server/storage/wal). */
const ETCD_CRC_RECORD = [0x08, 0x04, 0x10];
const ETCD_RECORD_AT = 8;
/** No such record is longer: type, and crc as a varint. */
const ETCD_CRC_RECORD_MAX_BYTES = 16;

const HEAD_BYTES = 64;

/** True if `bytes` begin as the database of an etcd member does. */
export function isBoltDatabase(bytes: Uint8Array): boolean {
  if (bytes.length < BOLT_MAGIC_AT + 4) return false;
  return viewOf(bytes).getUint32(BOLT_MAGIC_AT, true) === BOLT_MAGIC;
}

/** True if `bytes` begin as a segment of an etcd member's log does. */
export function isEtcdSegment(bytes: Uint8Array): boolean {
  if (bytes.length < ETCD_RECORD_AT + ETCD_CRC_RECORD_MAX_BYTES) return false;
  const length = viewOf(bytes).getUint32(0, true);
  if (length < ETCD_CRC_RECORD.length + 1 || length > ETCD_CRC_RECORD_MAX_BYTES) return false;
  return ETCD_CRC_RECORD.every((byte, i) => bytes[ETCD_RECORD_AT + i] === byte);
}

/**
 * True if a directory without a segment of mainstay's is an etcd member's. Both give their files
 * the same names, so the content decides.
 *
 * Throws: the operating system's error.
 */
export function isEtcdDirectory(disk: Disk, dirs: DataDir): boolean {
  const database = `${dirs.memberDir}/snap/db`;
  if (disk.existsSync(database) && isBoltDatabase(headOf(disk, database))) return true;
  if (!disk.existsSync(dirs.walDir)) return false;
  const names = disk.readdirSync(dirs.walDir).filter((name) => name.endsWith('.wal'));
  return names.some((name) => isEtcdSegment(headOf(disk, `${dirs.walDir}/${name}`)));
}

function headOf(disk: Disk, path: string): Uint8Array {
  const head = new Uint8Array(HEAD_BYTES);
  return head.subarray(0, disk.readIntoSync(path, head));
}

export function etcdRefusal(dataDir: string): StartupError {
  return new StartupError(
    `${dataDir} is the data directory of an etcd member; mainstay does not read it and has left it as it is`,
    'start mainstay with an empty --data-dir and ports of its own beside the running etcd, then copy the keys with\n' +
      '    etcdctl --endpoints=<client URL of etcd> make-mirror <host:port of mainstay>\n' +
      '    (docs/OPERATIONS.md, "Moving from etcd", says what that copies)',
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
