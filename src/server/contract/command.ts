import {
  decodeCommandHeader,
  decodeConfChangeEntry,
  decodeMemberInfo,
  encodeCommandHeader,
  type CommandHeader,
} from '../../gen/peer.js';
import { readU32 } from '../../base/bytes/big-endian.js';
import { DecodeError } from '../../base/protobuf/runtime.js';
import { ConfChangeType, type ConfChange } from '../../raft/types.js';

/**
 * The command in a normal log entry: its kind, its proposer, and the client's request unchanged.
 *
 *   command := version u8 (0x81), flags u8, kind u8, origin u32be, sequence u32be, [ header ], body
 *   header  := size u16be, CommandHeader       only if bit 0 of flags is set
 *   0.1.0   := kind u8 (below 0x80), origin u32be, sequence u32be, body
 *
 * Origin is drawn at random for each boot. By it a member recognises its own commands when they are
 * applied, and never takes another member's, or an earlier life's, for its own. The empty entry of
 * a new leader holds no command.
 */

/**
 * Numbers are on disk and on the wire (docs/DATA.md): none is ever used again for something else. Bodies and effects:
 * apply/commands.ts.
 */
export const CommandKind = {
  put: 1,
  deleteRange: 2,
  txn: 3,
  compact: 4,
  leaseGrant: 5,
  leaseRevoke: 6,
  leaseCheckpoint: 7,
  alarm: 8,
  /** A member publishes its name and client URLs. */
  memberAttributes: 9,
  clusterVersion: 10,
  /** A leader ends a lease whose time is up. Body: lease-expiry.ts. */
  leaseExpire: 11,
} as const;
export type CommandKind = (typeof CommandKind)[keyof typeof CommandKind];

const COMMAND_VERSION = 0x81;
/** Bytes before the body of a command without a header. */
export const ENVELOPE_BYTES = 11;
const FLAG_HEADER = 1;
const ORIGIN_AT = 3;
const SEQUENCE_AT = 7;
const OLD_ENVELOPE_BYTES = 9;
const FIRST_VERSIONED = 0x80;
const HEADER_SIZE_BYTES = 2;
const HEADER_BYTES_MAX = 0xffff;
const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(CommandKind));

/** Encodes a command; `request` is copied. `header` names its user (etcd's RequestHeader). */
export function encodeCommand(
  kind: CommandKind,
  origin: number,
  sequence: number,
  request: Uint8Array,
  header?: CommandHeader,
): Uint8Array {
  const head = header === undefined ? undefined : encodeCommandHeader(header);
  if (head !== undefined && head.length > HEADER_BYTES_MAX) {
    throw new RangeError(`a command header of ${head.length} bytes`);
  }
  const bodyAt = ENVELOPE_BYTES + (head === undefined ? 0 : HEADER_SIZE_BYTES + head.length);
  const data = Buffer.allocUnsafe(bodyAt + request.length);
  data[0] = COMMAND_VERSION;
  data[1] = head === undefined ? 0 : FLAG_HEADER;
  data[2] = kind;
  data.writeUInt32BE(origin, ORIGIN_AT);
  data.writeUInt32BE(sequence, SEQUENCE_AT);
  if (head !== undefined) {
    data.writeUInt16BE(head.length, ENVELOPE_BYTES);
    data.set(head, ENVELOPE_BYTES + HEADER_SIZE_BYTES);
  }
  data.set(request, bodyAt);
  return data;
}

/** The sequence of a command of this origin; undefined for another's, and for one of 0.1.0. */
export function sequenceOf(data: Uint8Array, origin: number): number | undefined {
  if (data[0] !== COMMAND_VERSION || readU32(data, ORIGIN_AT) !== origin) return undefined;
  return readU32(data, SEQUENCE_AT);
}

/** The kind's number, also of an unknown kind. `data` is not empty. */
export function kindOf(data: Uint8Array): number {
  return ((data[0] as number) < FIRST_VERSIONED ? data[0] : data[2]) as number;
}

/** The client's request in a command without problems. */
export function bodyOf(data: Uint8Array): Uint8Array {
  return data.subarray(bodyOffset(data));
}

/** User for whom the command runs; undefined without a header. */
export function headerOf(data: Uint8Array): CommandHeader | undefined {
  if (!hasHeader(data)) return undefined;
  return decodeCommandHeader(data.subarray(ENVELOPE_BYTES + HEADER_SIZE_BYTES, bodyOffset(data)));
}

/**
 * The reason why this version cannot apply the envelope of a command, or null. `data` is not empty. The body is not
 * looked at: see `bodyProblem` in apply/commands.ts.
 */
export function envelopeProblem(data: Uint8Array): string | null {
  const version = data[0] as number;
  const isOld = version < FIRST_VERSIONED;
  if (!isOld && version !== COMMAND_VERSION) return `is of envelope version ${version}`;
  if (data.length < (isOld ? OLD_ENVELOPE_BYTES : ENVELOPE_BYTES))
    return 'ends within its envelope';
  if (!isOld && ((data[1] as number) & ~FLAG_HEADER) !== 0)
    return `carries flags ${String(data[1])}`;
  if (bodyOffset(data) > data.length) return 'ends within its header';
  // Users come with authentication: to apply their commands unchecked would bypass permissions.
  if (hasHeader(data)) return 'names a user';
  const kind = kindOf(data);
  return KNOWN_KINDS.has(kind) ? null : `is of kind ${kind}`;
}

/** The reason why the data of a configuration change cannot be read, or null. */
export function confChangeProblem(data: Uint8Array): string | null {
  return readProblem(readConfChange, data);
}

/** Reads the data of a configuration change and the description of the member in it. Throws: DecodeError. */
export function readConfChange(data: Uint8Array): ConfChange {
  const { type, memberId, context } = decodeConfChangeEntry(data);
  const known = Object.values(ConfChangeType).find((value) => value === type);
  if (known === undefined) throw new DecodeError(`a membership change of type ${type}`);
  if (known !== ConfChangeType.removeMember) decodeMemberInfo(context);
  return { type: known, memberId, context };
}

/** The reason why `read` cannot read the body of an entry, or null. */
export function readProblem(
  read: (bytes: Uint8Array) => unknown,
  bytes: Uint8Array,
): string | null {
  try {
    read(bytes);
    return null;
  } catch (error) {
    if (error instanceof DecodeError) return `has a body that cannot be read: ${error.message}`;
    throw error;
  }
}

function hasHeader(data: Uint8Array): boolean {
  return data[0] === COMMAND_VERSION && ((data[1] as number) & FLAG_HEADER) !== 0;
}

/** Beyond the end of `data` if the header is cut. */
function bodyOffset(data: Uint8Array): number {
  if ((data[0] as number) < FIRST_VERSIONED) return OLD_ENVELOPE_BYTES;
  if (!hasHeader(data)) return ENVELOPE_BYTES;
  if (data.length < ENVELOPE_BYTES + HEADER_SIZE_BYTES) return Infinity;
  const size = ((data[ENVELOPE_BYTES] as number) << 8) | (data[ENVELOPE_BYTES + 1] as number);
  return ENVELOPE_BYTES + HEADER_SIZE_BYTES + size;
}
