import { crc32c } from '../base/bytes/crc32c.js';

/**
 * Rows outside the key bucket as they are stored: `payload, crc u32be`, the checksum over the
 * engine key and the payload.
 */

const CRC_BYTES = 4;

/** Payload followed by the checksum over key (with its prefix) and payload. */
export function sealRow(full: Uint8Array, payload: Uint8Array): Uint8Array {
  const value = new Uint8Array(payload.length + CRC_BYTES);
  value.set(payload);
  const crc = checksumOf(full, payload);
  value[payload.length] = crc >>> 24;
  value[payload.length + 1] = crc >>> 16;
  value[payload.length + 2] = crc >>> 8;
  value[payload.length + 3] = crc;
  return value;
}

/** The checksum that is stored with a row. */
export function checksumOf(full: Uint8Array, payload: Uint8Array): number {
  return crc32c(payload, crc32c(full));
}

/** The payload of a stored row, or null when its checksum does not match. */
export function verifiedPayload(full: Uint8Array, stored: Uint8Array): Uint8Array | null {
  const end = stored.length - CRC_BYTES;
  if (end < 0) return null;
  const expected =
    (((stored[end] as number) << 24) |
      ((stored[end + 1] as number) << 16) |
      ((stored[end + 2] as number) << 8) |
      (stored[end + 3] as number)) >>>
    0;
  return crc32c(stored, crc32c(full), 0, end) === expected ? stored.subarray(0, end) : null;
}
